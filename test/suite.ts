import { runFolder } from './support/run-folder.ts'

// Each of these folders has few tests, and small ones
const FOLDERS = ['.', 'cdn', 'images', 'images/metadata', 'io', 'telemetry', 'readme', 'support', 'torture']
for (const folder of FOLDERS) await runFolder(new URL(`${folder}/`, import.meta.url).href)
// test/attack/suite-1.ts has the others: they need a browser
await runFolder(new URL('./client/', import.meta.url).href, /^(?!browser).*\.test\.ts$/)
