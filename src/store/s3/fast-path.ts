import { Readable } from 'node:stream'
import { type Dispatcher, errors } from 'undici'
import { ObjectExists, ObjectNotFound, RangeNotSatisfiable } from '../../errors.ts'
import { bufferPool } from '../../io/buffer-pool.ts'
import type { FoundObject, ObjectHead } from '../object-store.ts'
import type { S3Bucket } from './bucket.ts'
import { CACHE_TAG, parseContentRange, rangeHeader, type S3Calls, STALLED } from './calls.ts'
import { scanList } from './list-xml.ts'
import type { FastCall, FastHandler, FastResponse, Transport } from './transport.ts'

const META = 'x-amz-meta-'

/** Longest error response that is read, in bytes. */
const MAX_ERROR = 64 * 1024

/**
 * Makes calls without the SDK's middleware, which takes five to ten times as much processor time as to sign and send a request of 200 KB.
 *
 * Tries once. Understands the plain success of a call, and that there is no such object. Anything else is an error that is not a
 * `ServiceError`: the SDK has to make the call, with its retries.
 *
 * @param downloads connections of their own for `get`: slow readers must not hold up uploads and lists
 */
export function fastPath(
  { full, own }: Pick<S3Bucket, 'full' | 'own'>,
  transport: Transport,
  downloads: Transport,
): S3Calls {
  return {
    async put(key, chunks, sha256, { contentType, metadata, caching, ifNoneMatch }) {
      const headers: Record<string, string> = { 'content-type': contentType }
      for (const [name, value] of Object.entries(metadata)) headers[META + name] = value
      if (caching) {
        headers['cache-control'] = caching.cacheControl
        headers[META + CACHE_TAG] = caching.tag
      }
      if (ifNoneMatch) headers['if-none-match'] = ifNoneMatch
      const { status } = await transport.request({ method: 'PUT', key: full(key), headers, body: chunks, sha256 })
      if (status === 412) throw new ObjectExists()
      if (status !== 200) throw notPlain(status)
      // Only now is it certain that the connection has let go of them
      bufferPool.release(chunks)
    },

    get(key, { range, signal } = {}) {
      const wanted = rangeHeader(range)
      const call = { method: 'GET', key: full(key), ...(wanted && { headers: { range: wanted } }) } as const
      return download(downloads, call, key, signal)
    },

    async head(key, { signal } = {}) {
      const { status, headers } = await transport.request({ method: 'HEAD', key: full(key) }, signal)
      // A HEAD has no body to tell a missing key from a missing bucket by; the SDK says the same
      if (status === 404) throw new ObjectNotFound(key)
      const head = status === 200 ? parseHead(headers) : undefined
      if (!head) throw notPlain(status)
      return head
    },

    async list({ prefix, after, token, delimiter, keys, signal }) {
      const query = {
        'list-type': '2',
        prefix: full(prefix),
        // XML 1.0 has no form for some characters that keys can have
        'encoding-type': 'url',
        ...(token !== undefined && { 'continuation-token': token }),
        ...(token === undefined && after !== undefined && { 'start-after': full(after) }),
        ...(delimiter !== undefined && { delimiter }),
        ...(keys !== undefined && { 'max-keys': String(keys) }),
      }
      const { status, body } = await transport.request({ method: 'GET', query }, signal)
      const page = status === 200 ? scanList(body, own) : undefined
      if (!page) throw notPlain(status)
      return page
    },
  }
}

function notPlain(status: number): Error {
  return new Error(`The fast path does not understand a response with status ${status}`)
}

/** GetObject. Resolves when the headers of the response are there. */
function download(
  transport: Transport,
  call: FastCall,
  key: string,
  signal: AbortSignal | undefined,
): Promise<FoundObject> {
  return new Promise((resolve, reject) => {
    let status = 0
    let refusal = ''
    let body: Download | undefined
    const handler: FastHandler = {
      onResponseStart(controller, statusCode, headers) {
        status = statusCode
        const head = status === 200 || status === 206 ? parseHead(headers) : undefined
        if (!head) return
        const { range, size = head.size } = parseContentRange(headers['content-range'])
        // The client would be told another length than it gets
        if (range && range.end - range.start + 1 !== head.size) return
        body = new Download(controller)
        resolve({ ...head, size, range, body })
      },
      onResponseData(controller, chunk) {
        if (body) body.arrive(chunk)
        else if (refusal.length < MAX_ERROR) refusal += chunk.toString('latin1')
        else controller.abort(notPlain(status))
      },
      onResponseEnd() {
        if (body) body.finish()
        else if (status === 416) reject(new RangeNotSatisfiable())
        else if (status === 404 && refusal.includes('<Code>NoSuchKey</Code>')) reject(new ObjectNotFound(key))
        else reject(notPlain(status))
      },
      onResponseError(_controller, error) {
        body?.destroy(error instanceof errors.BodyTimeoutError ? new Error(STALLED) : error)
        reject(error)
      },
    }
    transport.dispatch(call, handler, signal)
  })
}

/** The body of a response while it arrives. Takes at most 64 KiB more from the connection than its reader has read. */
class Download extends Readable {
  readonly #controller: Dispatcher.DispatchController
  #complete = false

  constructor(controller: Dispatcher.DispatchController) {
    super({ highWaterMark: 64 * 1024 })
    this.#controller = controller
    this.on('error', () => {})
  }

  arrive(chunk: Buffer): void {
    if (!this.push(chunk)) this.#controller.pause()
  }

  /** undici has compared the length with what came. */
  finish(): void {
    this.#complete = true
    this.push(null)
  }

  override _read(): void {
    this.#controller.resume()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.#complete) this.#controller.abort(error ?? new Error('The reader wants no more of it'))
    done(error)
  }
}

/** Reads the headers of GetObject and HeadObject. Returns undefined if they are not those of an object. */
function parseHead(headers: FastResponse['headers']): ObjectHead | undefined {
  const { etag, 'content-length': length, 'last-modified': modified, 'content-type': contentType } = headers
  if (typeof etag !== 'string' || typeof length !== 'string' || typeof modified !== 'string') return undefined
  const metadata: Record<string, string> = {}
  for (const name in headers) {
    if (name.startsWith(META)) metadata[name.slice(META.length)] = String(headers[name])
  }
  return {
    size: Number(length),
    etag,
    lastModified: new Date(modified),
    contentType: typeof contentType === 'string' ? contentType : undefined,
    metadata,
  }
}
