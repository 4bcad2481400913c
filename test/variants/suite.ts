import { runFolder } from '../support/run-folder.ts'

// test/attack/suite-1.ts has the others: they need a browser
await runFolder(import.meta.url, /^(?!as-in-browsers).*\.test\.ts$/)
