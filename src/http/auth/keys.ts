import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { listed } from '../../config.ts'

export type Scope = 'read' | 'write' | 'delete' | 'delete-all' | 'metrics'

export interface ApiKey {
  /** Names the caller in logs, limits and idempotency keys. Two keys may have one name, while one replaces the other. */
  readonly name: string
  readonly scopes: ReadonlySet<Scope>
  /** SHA-256 of the key. A slow hash, as for passwords, would add nothing, because nobody finds a random key by trying. */
  readonly hash: Buffer
}

/** Parses the setting `API_KEYS`, which the configuration has checked. */
export function parseApiKeys(text: string | undefined): ApiKey[] {
  return listed(text).map((entry) => {
    const [name = '', scopes = '', hash = ''] = entry.split(':')
    return { name, scopes: new Set(scopes.split('+') as Scope[]), hash: Buffer.from(hash, 'hex') }
  })
}

/** Returns the key of a request, from `Authorization: Bearer KEY` (RFC 6750 section 2.1) or `X-API-Key: KEY`. */
export function keyIn(headers: IncomingHttpHeaders): string | undefined {
  const [, bearer] = /^bearer +(\S+) *$/i.exec(headers.authorization ?? '') ?? []
  // An empty header has no key
  return bearer ?? ((headers['x-api-key'] as string | undefined) || undefined)
}

/** Finds a key in constant time: compares it with all keys. */
export function findKey(keys: readonly ApiKey[], text: string): ApiKey | undefined {
  const hash = createHash('sha256').update(text).digest()
  let found: ApiKey | undefined
  for (const key of keys) if (timingSafeEqual(key.hash, hash)) found = key
  return found
}
