import { call } from './api.ts'
import { settings } from './settings.ts'

/** Most paths of one request, and seconds that a signature is good for. */
const AT_ONCE = 1000
const LIFETIME = 12 * 60 * 60
const MARGIN_MS = 60_000

interface Signed {
  readonly url: string
  /** Milliseconds since 1970. */
  readonly until: number
}

const signed = new Map<string, Signed>()

/** Gets what images need to be shown: a signature where they are private. */
export async function makeReady(paths: readonly string[]): Promise<void> {
  if (!settings.privateImages) return
  const missing = paths.filter((path) => !isReady(path))
  for (let start = 0; start < missing.length; start += AT_ONCE) {
    const some = missing.slice(start, start + AT_ONCE)
    const answer = await call('POST', 'api/v1/signed-urls', { paths: some, expires_in: LIFETIME })
    const { urls } = (await answer.json()) as { urls: string[] }
    const until = Date.now() + LIFETIME * 1000 - MARGIN_MS
    for (const [index, path] of some.entries()) signed.set(path, { url: urls[index] ?? path, until })
  }
}

/** Whether an image can be asked for now: a signature ends some day. */
function isReady(path: string): boolean {
  return !settings.privateImages || (signed.get(path)?.until ?? 0) > Date.now()
}

/** The image as it was uploaded. Relative, since the server may be behind a prefix of a proxy. */
export function imageUrl(path: string): string {
  return (signed.get(path)?.url ?? path).replace(/^\//, '')
}

/** The image made smaller, in the best format that the browser takes. @param width the least that is enough */
export function variantUrl(path: string, width: number): string {
  const url = imageUrl(path)
  const made = settings.widths.find((one) => one >= width) ?? settings.widths.at(-1)
  return `${url}${url.includes('?') ? '&' : '?'}w=${made}&format=auto`
}

/** All that the browser can choose from. @param most width that makes sense */
export function srcset(path: string, most = Number.POSITIVE_INFINITY): string {
  const widths = settings.widths.filter((width, index) => width <= most || index === 0)
  return widths.map((width) => `${variantUrl(path, width)} ${width}w`).join(', ')
}
