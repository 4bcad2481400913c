import { parseHttpDate } from './http-date.ts'

/**
 * Statuses after which the same request can succeed: a body stalled (408), an upload with the same key still runs (409), too many
 * requests (429), the server is busy (503), its store is full (507), or a proxy does not reach it (502, 504).
 */
export const TRY_AGAIN: ReadonlySet<number> = new Set([408, 409, 429, 502, 503, 504, 507])

/**
 * Parses a `Retry-After` header, which is a number of seconds or an HTTP-date (RFC 9110 section 10.2.3).
 *
 * @param now in milliseconds since 1970
 * @returns seconds, 0 or more; undefined if there is no header, or it is neither
 */
export function parseRetryAfter(header: string | null, now = Date.now()): number | undefined {
  const text = header?.trim() ?? ''
  if (/^\d{1,9}$/.test(text)) return Number(text)
  const time = parseHttpDate(text)
  return time === undefined ? undefined : Math.max(0, Math.ceil((time - now) / 1000))
}
