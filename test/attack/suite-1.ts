import { runFolder } from '../support/run-folder.ts'

// What happens in a browser, which is started once for all of it
await runFolder(import.meta.url, /^(browser|cross-site)\.test\.ts$/)
await runFolder(new URL('../client/', import.meta.url).href, /^browser\.test\.ts$/)
await runFolder(new URL('../web/', import.meta.url).href)
// Last: it leaves sharp without SVG, of which other tests make pictures
await runFolder(new URL('../variants/', import.meta.url).href, /^as-in-browsers\.test\.ts$/)
