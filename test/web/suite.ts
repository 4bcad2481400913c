import { runFolder } from '../support/run-folder.ts'

// test/attack/suite-1.ts has the others
await runFolder(import.meta.url, /^(?!upload).*\.test\.ts$/)
