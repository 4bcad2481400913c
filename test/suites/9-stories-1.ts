import { runFolder } from '../support/run-folder.ts'

await runFolder('stories', /^[a-k].*\.test\.ts$/)
await runFolder('layout')
