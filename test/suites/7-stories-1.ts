import { runFolder } from '../support/run-folder.ts'

await runFolder('stories', /^[a-k].*\.test\.ts$/)
for (const folder of ['layout', 'store/disk']) await runFolder(folder)
