import { type PurgeTarget, refusalOf } from './purger.ts'

/** Cloudflare takes 100 tags at once, and Fastly 256. */
const BATCH = 100

/** URL that purges a list of tags (Fastly, "Purging", bulk purge). */
const FASTLY = /\/service\/[^/]+\/purge$/

/**
 * Purges by a POST request: one for each story if its URL has the tag in it, and otherwise one with a list of them in its body, in JSON:
 * `{"tags":[…]}` as Cloudflare takes it, or `{"surrogate_keys":[…]}` for Fastly.
 *
 * @param url with `{tag}` for the id of a story, or without
 * @param header as `Name: value`
 */
export function webhook(url: string, header: string | undefined): PurgeTarget {
  const isSingle = url.includes('{tag}')
  const list = FASTLY.test(url) ? 'surrogate_keys' : 'tags'
  const headers: Record<string, string> = isSingle ? {} : { 'content-type': 'application/json' }
  if (header !== undefined) {
    const colon = header.indexOf(':')
    headers[header.slice(0, colon)] = header.slice(colon + 1).trim()
  }
  return {
    maxBatch: isSingle ? 1 : BATCH,
    async send(ids, signal) {
      const response = await fetch(url.replaceAll('{tag}', ids[0] ?? ''), {
        method: 'POST',
        headers,
        redirect: 'manual',
        signal,
        ...(!isSingle && { body: JSON.stringify({ [list]: ids }) }),
      })
      await response.body?.cancel()
      if (!response.ok) throw refusalOf(response)
    },
  }
}
