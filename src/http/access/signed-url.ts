import { SignatureExpired, SignatureInvalid } from '../../errors.ts'
import { nowSeconds, type Signer } from './signing.ts'

/**
 * @param path of an image, as the API gives it
 * @param expires Unix time in seconds
 * @returns the path with `?expires=…&signature=…`; the signature is that of all in front of `&signature=`
 */
export function signUrl(signer: Signer, path: string, expires: number): string {
  const signed = `${path}?expires=${expires}`
  return `${signed}&signature=${signer.sign(signed)}`
}

/**
 * @param path as the request has it, with its percent-encoding
 * @throws {SignatureInvalid}
 * @throws {SignatureExpired}
 */
export function checkSignedUrl(signer: Signer, path: string, expires: unknown, signature: unknown): void {
  if (typeof expires !== 'string' || typeof signature !== 'string') throw new SignatureInvalid()
  if (!signer.verify(`${path}?expires=${expires}`, signature)) throw new SignatureInvalid()
  // What was signed may be no number
  if (!(Number(expires) > nowSeconds())) throw new SignatureExpired()
}
