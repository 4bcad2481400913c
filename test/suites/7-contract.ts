import { runFolder } from '../support/run-folder.ts'

for (const folder of ['contract', 'store/disk']) await runFolder(folder)
