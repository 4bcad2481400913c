import { runFolder } from '../support/run-folder.ts'

for (const folder of ['.', '../store/disk/']) await runFolder(new URL(folder, import.meta.url).href)
