import { runFolder } from '../support/run-folder.ts'

// What happens in a browser, which is started once for all of it
await runFolder('attack', /^(browser|cross-site)\.test\.ts$/)
await runFolder('client', /^browser\.test\.ts$/)
await runFolder('web')
// Last: it leaves sharp without SVG, of which other tests make pictures
await runFolder('variants', /^as-in-browsers\.test\.ts$/)
