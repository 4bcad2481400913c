import { runFolder } from '../support/run-folder.ts'

await runFolder('attack', /^(?!browser|cross-site).*\.test\.ts$/)
