import { runFolder } from '../support/run-folder.ts'

await runFolder(import.meta.url, /^(?!debris|full-store|idempotency|story-ids).*\.test\.ts$/)
