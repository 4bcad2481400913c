import { runFolder } from '../support/run-folder.ts'

await runFolder('http', /^[a-e].*\.test\.ts$/)
