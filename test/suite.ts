import { runFolder } from './support/run-folder.ts'

// Each of these folders has few tests, and small ones
for (const folder of ['.', './support/', './torture/']) await runFolder(new URL(folder, import.meta.url).href)
