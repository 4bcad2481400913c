import type { Readable } from 'node:stream'
import type { S3Client } from '@aws-sdk/client-s3'
import { type Dispatcher, Pool } from 'undici'
import { StoreBusy } from '../../errors.ts'
import { callbacksOf } from '../../io/aborted.ts'
import { findEndpoint } from './endpoint.ts'
import { Signer } from './signer.ts'

/** Most connections to the store: of downloads, and of everything else. */
export const SOCKETS = 256

/** Most calls of each kind that wait for a connection. Further ones are refused at once. */
const MAX_WAITING = 4 * SOCKETS

/** Age in milliseconds at which a connection is replaced, so that a change of the store's address is followed. */
const CONNECTION_AGE = 60_000

/**
 * How long an unused connection is kept, in milliseconds, unless the store says less. If the store closes one while it is used again, the
 * SDK repeats the call.
 */
const IDLE_MS = 30_000

/** Longest response that is read whole, in bytes: a list of 1,000 keys of 1,024 bytes, each of them escaped, is about 4 MB. */
const MAX_RESPONSE = 8 * 1024 * 1024

export interface FastCall {
  readonly method: 'GET' | 'HEAD' | 'PUT'
  /** With the bucket's prefix. Left out in a call about the bucket itself. */
  readonly key?: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: readonly Uint8Array[]
  /** Of the body, in hexadecimal. It is signed, so the store checks the bytes. */
  readonly sha256?: string
}

/** A handler of undici whose methods don't use `this`. */
export interface FastHandler extends Omit<Dispatcher.DispatchHandler, 'onResponseError'> {
  onResponseError(controller: unknown, error: Error): void
}

export interface FastResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

/** Sends signed requests to a bucket, each of them once. */
export interface Transport {
  /**
   * Resolves with the whole response, of any status.
   *
   * @throws {StoreBusy} when no connection becomes free in time
   */
  request(call: FastCall, signal?: AbortSignal): Promise<FastResponse>
  /** Starts a call. Its response goes to the handler, and so does its failure, perhaps more than once. */
  dispatch(call: FastCall, handler: FastHandler, signal?: AbortSignal): void
  close(): Promise<void>
}

/**
 * Opens connections to a bucket with the endpoint, region, credentials and clock offset of a client of the SDK.
 *
 * @param timeout milliseconds without a free connection, without a response, or without the next bytes of one
 * @returns undefined if the endpoint wants another kind of signature than SigV4
 */
export async function openTransport(client: S3Client, bucket: string, timeout: number): Promise<Transport | undefined> {
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

  function dispatch(call: FastCall, handler: FastHandler, signal?: AbortSignal): void {
    let controller: Dispatcher.DispatchController | undefined
    let reason: Error | undefined
    let isWaiting = true
    let timer: NodeJS.Timeout | undefined
    const stopWaiting = () => {
      isWaiting = false
      if (!timer) return
      clearTimeout(timer)
      timer = undefined
      waiting -= 1
    }
    const end = () => signal && callbacksOf(signal).delete(onAbort)
    const fail = (error: Error) => {
      end()
      handler.onResponseError(undefined, error)
    }
    // A call that waits for a connection fails at once. It stays in the pool's queue, and in the count, until it would be sent
    const giveUp = (error: Error) => {
      reason = error
      controller?.abort(error)
      fail(error)
    }
    const onAbort = () => giveUp(signal?.reason)
    if (signal) callbacksOf(signal).add(onAbort)

    async function send(): Promise<void> {
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
      if (reason) return
      if (waiting >= MAX_WAITING) throw new StoreBusy()
      const isQueued = !pool.dispatch(
        {
          method,
          path: text === '' ? path : `${path}?${text}`,
          headers,
          body: body && body.length > 1 ? iterate(body) : (body?.[0] ?? null),
        },
        {
          ...handler,
          onRequestStart(started) {
            stopWaiting()
            controller = started
            if (reason) started.abort(reason)
          },
          onResponseEnd(ended, trailers) {
            end()
            handler.onResponseEnd?.(ended, trailers)
          },
          onResponseError(_failed, error) {
            stopWaiting()
            fail(error)
          },
        },
      )
      if (!isQueued || !isWaiting) return
      waiting += 1
      timer = setTimeout(() => giveUp(new StoreBusy()), timeout)
    }

    send().catch(fail)
  }

  return {
    dispatch,

    request: (call, signal) =>
      new Promise((resolve, reject) => {
        let status = 0
        let headers: FastResponse['headers'] = {}
        let size = 0
        const chunks: Buffer[] = []
        const handler: FastHandler = {
          onResponseStart(_controller, statusCode, responseHeaders) {
            status = statusCode
            headers = responseHeaders
          },
          onResponseData(controller, chunk) {
            size += chunk.length
            if (size > MAX_RESPONSE) controller.abort(new Error('The response of the store is too long'))
            else chunks.push(chunk)
          },
          onResponseEnd() {
            resolve({ status, headers, body: chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks) })
          },
          onResponseError(_controller, error) {
            reject(error)
          },
        }
        dispatch(call, handler, signal)
      }),

    close: () => pool.destroy(),
  }
}

const SHA256_OF_NOTHING = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

/** Makes a body of chunks. undici takes any iterable, though its types name only streams. */
function iterate(chunks: readonly Uint8Array[]): Readable {
  async function* all() {
    yield* chunks
  }
  return all() as unknown as Readable
}

/** Escapes all but the unreserved characters (RFC 3986 section 2.3), as signatures require. */
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
