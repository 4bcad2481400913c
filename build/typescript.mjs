// For `node --import`: runs TypeScript as it is. Each file is compiled once, and kept in a folder below node_modules/.cache; packages are
// left to Node.js, so a process starts in half the time that it takes with a loader that looks at every module.
import { register } from 'node:module'

process.setSourceMapsEnabled(true)
register('./typescript-hooks.mjs', import.meta.url)
