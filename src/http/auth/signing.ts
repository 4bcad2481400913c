import { createHmac, timingSafeEqual } from 'node:crypto'
import { listed } from '../../config.ts'

/** Signs texts and verifies signatures: HMAC-SHA256, as 43 characters of base64url. */
export interface Signer {
  sign(text: string): string
  /** Returns whether the signature was made with one of the secrets. */
  verify(text: string, signature: string): boolean
}

/**
 * Makes the signer of the setting `SIGNING_SECRETS`: its first secret signs, all of them verify. Returns undefined without secrets.
 *
 * A signed text begins with its kind, `v1.` for a ticket and `/` for a URL, so that neither passes for the other.
 */
export function signerOf(secrets: string | undefined): Signer | undefined {
  const all = listed(secrets)
  const [first] = all
  if (first === undefined) return undefined
  return {
    sign: (text) => hmac(first, text),
    verify(text, signature) {
      const given = Buffer.from(signature)
      let isGood = false
      for (const secret of all) {
        // Compared as text, because several texts decode to the same bytes
        const right = Buffer.from(hmac(secret, text))
        if (given.length === right.length && timingSafeEqual(given, right)) isGood = true
      }
      return isGood
    },
  }
}

function hmac(secret: string, text: string): string {
  return createHmac('sha256', secret).update(text).digest('base64url')
}

/** Returns the Unix time in whole seconds. */
export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000)
}

/** Formats a Unix time as the API does: UTC, to the second. */
export function timeOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
}
