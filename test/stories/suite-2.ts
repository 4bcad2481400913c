import { runFolder } from '../support/run-folder.ts'

await runFolder(import.meta.url, /^[l-z].*\.test\.ts$/)
