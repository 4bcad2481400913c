import { runFolder } from '../support/run-folder.ts'

await runFolder('acceptance', /^[i-z].*\.test\.ts$/)
