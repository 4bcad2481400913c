import { createHmac, timingSafeEqual } from 'node:crypto'
import { listed } from '../../config.ts'

/** Signs texts and knows its signatures again: HMAC-SHA256, as 43 characters of base64url. */
export interface Signer {
  sign(text: string): string
  /** Whether one of the secrets has made the signature. */
  verify(text: string, signature: string): boolean
}

/**
 * What is signed begins with what it is, `v1.` for a ticket and `/` for a URL, so neither can be shown as the other.
 *
 * @param secrets the option `SIGNING_SECRETS`: the first one signs, all of them verify
 * @returns nothing when there are none
 */
export function signerOf(secrets: string | undefined): Signer | undefined {
  const all = listed(secrets)
  const [first] = all
  if (first === undefined) return undefined
  return {
    sign: (text) => hmac(first, text),
    verify(text, signature) {
      const shown = Buffer.from(signature)
      let isGood = false
      for (const secret of all) {
        // As text, since several texts can be the same base64url
        const right = Buffer.from(hmac(secret, text))
        if (shown.length === right.length && timingSafeEqual(shown, right)) isGood = true
      }
      return isGood
    },
  }
}

function hmac(secret: string, text: string): string {
  return createHmac('sha256', secret).update(text).digest('base64url')
}

/** The present, in the whole seconds that expiry times are in. */
export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000)
}

/** As the API writes times: UTC, to the second. */
export function timeOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
}
