import { call } from './api.ts'
import { settings } from './settings.ts'

/** The most paths of one request, and seconds that a signature is valid. */
const AT_ONCE = 1000
const LIFETIME = 12 * 60 * 60
const MARGIN_MS = 60_000

interface Signed {
  readonly url: string
  /** Milliseconds since 1970. */
  readonly until: number
}

const signed = new Map<string, Signed>()

/** Gets what images need to be shown: a signature if they are private. */
export async function makeReady(paths: readonly string[]): Promise<void> {
  if (!settings.privateImages) return
  const missing = paths.filter((path) => !isReady(path))
  for (let start = 0; start < missing.length; start += AT_ONCE) {
    const some = missing.slice(start, start + AT_ONCE)
    const urls = await call((client) => client.signUrls(some, { expiresIn: LIFETIME }))
    const until = Date.now() + LIFETIME * 1000 - MARGIN_MS
    for (const [index, path] of some.entries()) signed.set(path, { url: urls[index] ?? path, until })
  }
}

/** Returns whether an image can be requested now: a signature expires. */
function isReady(path: string): boolean {
  return !settings.privateImages || (signed.get(path)?.until ?? 0) > Date.now()
}

/** Returns the URL of an image as it was uploaded: that of a CDN, or a relative one because a proxy may serve the page below a prefix. */
export function imageUrl(path: string): string {
  return (signed.get(path)?.url ?? settings.imageUrl + path).replace(/^\//, '')
}

/** Returns the URL of a variant, in the best format that the browser accepts. @param width the least that is enough */
export function variantUrl(path: string, width: number): string {
  const variant = settings.widths.find((one) => one >= width) ?? settings.widths.at(-1)
  return withQuery(path, `w=${variant}`)
}

/** Returns the variants that the browser can choose from. @param most the largest width that makes sense */
export function srcset(path: string, most = Number.POSITIVE_INFINITY): string {
  const widths = settings.widths.filter((width, index) => width <= most || index === 0)
  return widths.map((width) => `${variantUrl(path, width)} ${width}w`).join(', ')
}

/** Returns the variants for a cover: cropped to its shape, if the server has such crops. @param ratio of width to height */
export function coverSrcset(path: string, ratio: number, most: number): string {
  const crops = settings.crops.filter(({ width, height }) => width / height === ratio && width <= most)
  if (crops.length === 0) return srcset(path, most)
  return crops.map(({ width, height }) => `${withQuery(path, `w=${width}&h=${height}`)} ${width}w`).join(', ')
}

function withQuery(path: string, query: string): string {
  const url = imageUrl(path)
  return `${url}${url.includes('?') ? '&' : '?'}${query}&format=auto`
}
