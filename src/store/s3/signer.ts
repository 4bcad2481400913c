import { createHmac, hash } from 'node:crypto'
import {
  ALGORITHM_IDENTIFIER,
  createScope,
  getSigningKey,
  SignatureV4Base,
  type SignatureV4CryptoInit,
  type SignatureV4Init,
} from '@smithy/signature-v4'
import type { AwsCredentialIdentity, HttpRequest } from '@smithy/types'

/**
 * Signs requests (AWS, "Authenticating Requests: Using the Authorization Header") and keeps the key of the day, which the library's own
 * signer looks up by an HMAC for each request.
 */
export class Signer extends SignatureV4Base {
  readonly #region: string
  #second = { second: Number.NaN, longDate: '', shortDate: '' }
  #key: { readonly credentials: AwsCredentialIdentity; readonly day: string; readonly key: Uint8Array } | undefined

  constructor(options: SignatureV4Init & SignatureV4CryptoInit & { region: string }) {
    super(options)
    this.#region = options.region
  }

  /**
   * Signs a request.
   *
   * @param request whose headers have lower-case names, `host` and `x-amz-content-sha256` among them, and values without runs of
   *   spaces: with those the signature is wrong, and the SDK makes the call
   * @param time milliseconds since 1970
   * @returns its headers and those of the signature
   */
  async sign(request: HttpRequest, time: number): Promise<Record<string, string>> {
    const credentials = await this.credentialProvider()
    const { longDate, shortDate } = this.#dateAt(time)
    const { headers } = request
    headers['x-amz-date'] = longDate
    if (credentials.sessionToken) headers['x-amz-security-token'] = credentials.sessionToken
    const scope = createScope(shortDate, this.#region, this.service)
    const canonical = this.createCanonicalRequest(request, headers, headers['x-amz-content-sha256'] ?? '')
    const text = `${ALGORITHM_IDENTIFIER}\n${longDate}\n${scope}\n${hash('sha256', canonical)}`
    const key = this.#cachedKey(credentials, shortDate) ?? (await this.#newKey(credentials, shortDate))
    const signature = createHmac('sha256', key).update(text).digest('hex')
    const signed = this.getCanonicalHeaderList(headers)
    headers.authorization = `${ALGORITHM_IDENTIFIER} Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${signed}, Signature=${signature}`
    return headers
  }

  #dateAt(time: number): { readonly longDate: string; readonly shortDate: string } {
    const second = Math.floor(time / 1000)
    if (this.#second.second !== second) this.#second = { second, ...this.formatDate(new Date(time)) }
    return this.#second
  }

  #cachedKey(credentials: AwsCredentialIdentity, day: string): Uint8Array | undefined {
    return this.#key?.credentials === credentials && this.#key.day === day ? this.#key.key : undefined
  }

  async #newKey(credentials: AwsCredentialIdentity, day: string): Promise<Uint8Array> {
    const key = await getSigningKey(this.sha256, credentials, day, this.#region, this.service)
    this.#key = { credentials, day, key }
    return key
  }
}
