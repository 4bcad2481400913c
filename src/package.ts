import { readFileSync } from 'node:fs'

/** Where the code is: `src/`, or `dist/` with the bundle of it. This file is at its top either way, so that it can tell. */
export const CODE = new URL('.', import.meta.url)

/** What `npm run build` has made of web/. */
export const PAGES = new URL('../dist/web/', CODE)

/** Of this package; package.json is beside `src/` and `dist/`. */
export const { version } = JSON.parse(readFileSync(new URL('../package.json', CODE), 'utf8')) as { version: string }
