import { runFolder } from '../support/run-folder.ts'

await runFolder(import.meta.url, /^(?!claim|full-store|key|leftovers|story-ids).*\.test\.ts$/)
