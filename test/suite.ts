import { runFolder } from './support/run-folder.ts'

// Each of these folders has few tests, and small ones
for (const folder of ['.', './cdn/', './images/', './io/', './telemetry/', './readme/', './support/', './torture/'])
  await runFolder(new URL(folder, import.meta.url).href)
// test/attack/suite-1.ts has the others
await runFolder(new URL('./client/', import.meta.url).href, /^(?!browser).*\.test\.ts$/)
