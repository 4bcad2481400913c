import { createHmac, hash } from 'node:crypto'
import type { Readable } from 'node:stream'
import { HeadBucketCommand, type S3Client } from '@aws-sdk/client-s3'
import {
  ALGORITHM_IDENTIFIER,
  createScope,
  getSigningKey,
  SignatureV4Base,
  type SignatureV4CryptoInit,
  type SignatureV4Init,
} from '@smithy/signature-v4'
import type { AwsCredentialIdentity, HttpRequest } from '@smithy/types'
import { type Dispatcher, Pool } from 'undici'
import { callbacksOf } from '../../aborted.ts'
import { StoreBusy } from '../../errors.ts'

/** Most connections to the store, for downloads and for all else. */
export const SOCKETS = 256

/** Most calls that wait for a connection, of each kind; further ones are refused at once. */
const MAX_WAITING = 4 * SOCKETS

/** Connections that are older than this are replaced, so that a change of the store's address is followed; in milliseconds. */
const CONNECTION_AGE = 60_000

/**
 * How long an unused connection is kept, in milliseconds, unless the store says less. One that the store closes at the very moment it
 * is used again costs a repetition by the SDK.
 */
const IDLE_MS = 30_000

/** Longest answer that is read whole, in bytes: a list of 1,000 keys of 1,024 bytes, each of them escaped, is about 4 MB. */
const MAX_ANSWER = 8 * 1024 * 1024

export interface FastCall {
  readonly method: 'GET' | 'HEAD' | 'PUT'
  /** With the prefix of the store; none for a call about the bucket. */
  readonly key?: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: readonly Uint8Array[]
  /** Of the body, in hexadecimal: signed, so that the store checks the bytes. */
  readonly sha256?: string
}

/** Without methods that look at `this`. */
export interface FastHandler extends Omit<Dispatcher.DispatchHandler, 'onResponseError'> {
  onResponseError(controller: unknown, error: Error): void
}

export interface FastResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

/**
 * Signed requests to the bucket without the SDK's middleware, whose work costs five to ten times as much processor time as signing
 * and sending a request of 200 KB. What the SDK knows is taken from its client: endpoint, region, credentials, the clock's offset.
 *
 * It tries once and judges no answer: whatever is not the plain success or "not there" of a call is for the SDK, with its retries.
 */
export interface FastPath {
  /**
   * Resolves with an answer of any status, read to its end; rejects when there is none.
   *
   * @throws {StoreBusy} when no connection becomes free in time
   */
  request(call: FastCall, signal?: AbortSignal): Promise<FastResponse>
  /**
   * Begins a call whose answer goes to `handler`; so does `StoreBusy`. Rejects, without the handler being called, when it can't be
   * signed.
   */
  dispatch(call: FastCall, handler: FastHandler): Promise<void>
  close(): Promise<void>
}

/**
 * @param client whose configuration is followed
 * @param timeout milliseconds without a free connection, without an answer, or without the next bytes of one
 * @returns nothing when the bucket's endpoint wants another kind of signature than SigV4
 */
export async function openFastPath(client: S3Client, bucket: string, timeout: number): Promise<FastPath | undefined> {
  const endpoint = await findEndpoint(client, bucket)
  if (!endpoint) return undefined
  const { origin, hostname, protocol } = endpoint.url
  const base = endpoint.url.pathname.replace(/\/$/, '')
  const host = endpoint.url.host
  const { config } = client
  const signer = new Signer({
    service: endpoint.service,
    region: endpoint.region,
    credentials: config.credentials,
    sha256: config.sha256,
    uriEscapePath: false,
    applyChecksum: false,
  })
  const pool = new Pool(origin, {
    connections: SOCKETS,
    clientTtl: CONNECTION_AGE,
    keepAliveTimeout: IDLE_MS,
    headersTimeout: timeout,
    bodyTimeout: timeout,
    connect: { timeout: Math.min(5000, timeout) },
  })

  let waiting = 0

  async function dispatch(call: FastCall, handler: FastHandler): Promise<void> {
    const { method, key, query = {}, body, sha256 = SHA256_OF_NOTHING } = call
    const path = `${base}/${key === undefined ? '' : escapePath(key)}`
    const headers = await signer.sign(
      {
        method,
        protocol,
        hostname,
        path,
        query,
        headers: { ...call.headers, host, 'x-amz-content-sha256': sha256 },
      },
      Date.now() + config.systemClockOffset,
    )
    if (body) headers['content-length'] = String(body.reduce((size, { length }) => size + length, 0))
    const text = queryText(query)
    if (waiting >= MAX_WAITING) throw new StoreBusy()
    let isSent = false
    let timer: NodeJS.Timeout | undefined
    const leave = () => {
      isSent = true
      if (!timer) return
      clearTimeout(timer)
      timer = undefined
      waiting -= 1
    }
    let isRefused = false
    const isTaken = !pool.dispatch(
      {
        method,
        path: text === '' ? path : `${path}?${text}`,
        headers,
        body: body && body.length > 1 ? oneAfterAnother(body) : (body?.[0] ?? null),
      },
      {
        ...handler,
        onRequestStart(controller, context) {
          leave()
          handler.onRequestStart?.(controller, context)
          if (isRefused) controller.abort(new StoreBusy())
        },
        onResponseError(controller, error) {
          leave()
          handler.onResponseError?.(controller, error)
        },
      },
    )
    if (!isTaken || isSent) return
    // It stays in the pool's queue, and in the count, until it would be sent
    waiting += 1
    timer = setTimeout(() => {
      isRefused = true
      handler.onResponseError?.(undefined, new StoreBusy())
    }, timeout)
  }

  return {
    dispatch,

    request: (call, signal) =>
      new Promise((resolve, reject) => {
        let status = 0
        let headers: FastResponse['headers'] = {}
        let size = 0
        let abort = () => {}
        const chunks: Buffer[] = []
        const done = () => signal && callbacksOf(signal).delete(onAbort)
        // Not only the call: it may still wait for a connection
        const onAbort = () => {
          abort()
          done()
          reject(signal?.reason)
        }
        if (signal) callbacksOf(signal).add(onAbort)
        dispatch(call, {
          onRequestStart(controller) {
            abort = () => controller.abort(signal?.reason)
            if (signal?.aborted) abort()
          },
          onResponseStart(_controller, statusCode, answerHeaders) {
            status = statusCode
            headers = answerHeaders
          },
          onResponseData(controller, chunk) {
            size += chunk.length
            if (size > MAX_ANSWER) controller.abort(new Error('The answer of the store is too long'))
            else chunks.push(chunk)
          },
          onResponseEnd() {
            done()
            resolve({ status, headers, body: chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks) })
          },
          onResponseError(_controller, error) {
            done()
            reject(error)
          },
        }).catch((error) => {
          done()
          reject(error)
        })
      }),

    close: () => pool.destroy(),
  }
}

/**
 * The library's signature (AWS, "Authenticating Requests: Using the Authorization Header"), with the key of the day kept: the
 * library's own signer computes an HMAC for each request to look its key up.
 */
class Signer extends SignatureV4Base {
  readonly #region: string
  #second = { second: Number.NaN, longDate: '', shortDate: '' }
  #key: { readonly credentials: AwsCredentialIdentity; readonly day: string; readonly key: Uint8Array } | undefined

  constructor(options: SignatureV4Init & SignatureV4CryptoInit & { region: string }) {
    super(options)
    this.#region = options.region
  }

  /**
   * @param request whose headers have lower-case names, `host` and `x-amz-content-sha256` among them, and values without runs of
   *   spaces (with them the signature is wrong, and the SDK makes the call)
   * @param time milliseconds since 1970
   * @returns its headers, with those of the signature
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
    const key = this.#keptKey(credentials, shortDate) ?? (await this.#newKey(credentials, shortDate))
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

  #keptKey(credentials: AwsCredentialIdentity, day: string): Uint8Array | undefined {
    return this.#key?.credentials === credentials && this.#key.day === day ? this.#key.key : undefined
  }

  async #newKey(credentials: AwsCredentialIdentity, day: string): Promise<Uint8Array> {
    const key = await getSigningKey(this.sha256, credentials, day, this.#region, this.service)
    this.#key = { credentials, day, key }
    return key
  }
}

const SHA256_OF_NOTHING = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/** Where the SDK would send a call about the bucket, and how it would sign it; asked by a call that ends before it is sent. */
export async function findEndpoint(client: S3Client, bucket: string) {
  const command = new HeadBucketCommand({ Bucket: bucket })
  let found: { url: URL; service: string; region: string } | undefined
  command.middlewareStack.add(
    (_next, context) => async () => {
      const { endpointV2 } = context
      const schemes = endpointV2?.properties?.authSchemes as readonly AuthScheme[] | undefined
      const scheme = schemes?.find(({ name }) => name === 'sigv4')
      const region = scheme?.signingRegion ?? (await client.config.region())
      if (endpointV2 && scheme) found = { url: endpointV2.url, service: scheme.signingName ?? 's3', region }
      return { output: { $metadata: {} }, response: undefined }
    },
    { step: 'build' },
  )
  // What is wrong the SDK says again at the first call
  await client.send(command).catch(() => {})
  return found
}

interface AuthScheme {
  readonly name: string
  readonly signingName?: string
  readonly signingRegion?: string
}

/** undici takes any iterable of bytes as a body, though its types name streams alone. */
function oneAfterAnother(bytes: readonly Uint8Array[]): Readable {
  async function* all() {
    yield* bytes
  }
  return all() as unknown as Readable
}

/** RFC 3986 section 2.3, as signatures want it. */
function escapeText(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

function escapePath(key: string): string {
  return PLAIN_KEY.test(key) ? key : key.split('/').map(escapeText).join('/')
}

const PLAIN_KEY = /^[\w./-]*$/

function queryText(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) => `${escapeText(name)}=${escapeText(value)}`)
    .join('&')
}
