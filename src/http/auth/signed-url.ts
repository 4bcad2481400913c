import { SignatureExpired, SignatureInvalid } from '../../errors.ts'
import { nowSeconds, type Signer } from './signing.ts'

/**
 * Signs the path of an image. Returns it with `?expires=…&signature=…`; the signature covers everything before `&signature=`.
 *
 * @param expires Unix time in seconds
 */
export function signUrl(signer: Signer, path: string, expires: number): string {
  const signed = `${path}?expires=${expires}`
  return `${signed}&signature=${signer.sign(signed)}`
}

/**
 * Checks the signature and the time of a signed URL.
 *
 * @param path of the request, with its percent-encoding
 * @throws {SignatureInvalid}
 * @throws {SignatureExpired}
 */
export function checkSignedUrl(signer: Signer, path: string, expires: unknown, signature: unknown): void {
  if (typeof expires !== 'string' || typeof signature !== 'string') throw new SignatureInvalid()
  if (!signer.verify(`${path}?expires=${expires}`, signature)) throw new SignatureInvalid()
  // A signed text may be something other than a number
  if (!(Number(expires) > nowSeconds())) throw new SignatureExpired()
}
