import { readFileSync } from 'node:fs'

/** The folder of the code: `src/`, or `dist/` when the code is bundled. This file is at the top of both. */
export const CODE = new URL('.', import.meta.url)

/** The folder with the pages that `npm run build` has bundled from `web/`. */
export const PAGES = new URL('../dist/web/', CODE)

/** The version of this package, from package.json, which is next to `src/` and `dist/`. */
export const { version } = JSON.parse(readFileSync(new URL('../package.json', CODE), 'utf8')) as { version: string }
