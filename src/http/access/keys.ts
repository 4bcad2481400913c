import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { listed } from '../../config.ts'

export type Scope = 'read' | 'write' | 'delete' | 'delete-all' | 'metrics'

export interface ApiKey {
  /** What logs, limits and idempotency keys know its holder by; two keys may have one name, to change from one to the other. */
  readonly name: string
  readonly scopes: ReadonlySet<Scope>
  /**
   * SHA-256 of the key. A slow hash, as for passwords, would add nothing: a key is random, so nobody finds it by trying.
   */
  readonly hash: Buffer
}

/** @param text the option `API_KEYS`, which the configuration has checked */
export function parseApiKeys(text: string | undefined): ApiKey[] {
  return listed(text).map((entry) => {
    const [name = '', scopes = '', hash = ''] = entry.split(':')
    return { name, scopes: new Set(scopes.split('+') as Scope[]), hash: Buffer.from(hash, 'hex') }
  })
}

/** The key that a request shows: `Authorization: Bearer KEY` (RFC 6750 section 2.1) or `X-API-Key: KEY`. */
export function shownKey(headers: IncomingHttpHeaders): string | undefined {
  const [, bearer] = /^bearer +(\S+) *$/i.exec(headers.authorization ?? '') ?? []
  // An empty header shows none
  return bearer ?? ((headers['x-api-key'] as string | undefined) || undefined)
}

/** Takes as long for a key that is nearly right as for every other one, and looks at all of them. */
export function findKey(keys: readonly ApiKey[], shown: string): ApiKey | undefined {
  const hash = createHash('sha256').update(shown).digest()
  let found: ApiKey | undefined
  for (const key of keys) if (timingSafeEqual(key.hash, hash)) found = key
  return found
}
