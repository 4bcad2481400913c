import { runFolder } from '../support/run-folder.ts'

await runFolder('http', /^[f-z].*\.test\.ts$/)
