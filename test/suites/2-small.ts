import { runFolder } from '../support/run-folder.ts'

// Each of these folders has few tests, and small ones
const FOLDERS = ['.', 'cdn', 'images', 'images/metadata', 'io', 'telemetry', 'readme', 'support', 'torture']
for (const folder of FOLDERS) await runFolder(folder)
// 4-browser.ts has the others: they need a browser
await runFolder('client', /^(?!browser).*\.test\.ts$/)
