import { runFolder } from '../support/run-folder.ts'

await runFolder('stories', /^[l-z].*\.test\.ts$/)
