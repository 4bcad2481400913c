import { runFolder } from '../support/run-folder.ts'

await runFolder('acceptance', /^[a-h].*\.test\.ts$/)
