import { runFolder } from '../support/run-folder.ts'

await runFolder(import.meta.url, /^[a-k].*\.test\.ts$/)
await runFolder(new URL('../layout/', import.meta.url).href)
