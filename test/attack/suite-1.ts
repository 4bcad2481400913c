import { runFolder } from '../support/run-folder.ts'

// What happens in a browser and is not about the pages of `web/`: one browser is started for all of it
await runFolder(import.meta.url, /^(browser|cross-site)\.test\.ts$/)
await runFolder(new URL('../client/', import.meta.url).href, /^browser\.test\.ts$/)
await runFolder(new URL('../variants/', import.meta.url).href, /^as-in-browsers\.test\.ts$/)
