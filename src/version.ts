import { readFileSync } from 'node:fs'

/** Of this package; package.json is beside `src/` and `dist/`. */
export const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string
}
