import { runFolder } from '../support/run-folder.ts'

await runFolder(import.meta.url, /^(?!full-store|idempotency|key|leftovers|story-ids).*\.test\.ts$/)
