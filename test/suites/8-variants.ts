import { runFolder } from '../support/run-folder.ts'

// 4-browser.ts has the others: they need a browser
await runFolder('variants', /^(?!as-in-browsers).*\.test\.ts$/)
