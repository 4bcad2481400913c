import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { GetObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3'
import { type Dispatcher, errors } from 'undici'
import { callbacksOf } from '../../aborted.ts'
import { ObjectNotFound, RangeNotSatisfiable, StoreFailure } from '../../errors.ts'
import { onStall } from '../../stall.ts'
import type { ByteRange, FoundObject, ObjectHead } from '../object-store.ts'
import type { S3Bucket } from './bucket.ts'
import type { FastCall, FastHandler, FastPath, FastResponse } from './fast-path.ts'
import { storeError } from './store-error.ts'

const STALLED = 'The store stopped sending'

/** `ObjectStore.head` */
export async function headObject(bucket: S3Bucket, key: string, signal?: AbortSignal): Promise<ObjectHead> {
  const call = { method: 'HEAD', key: bucket.full(key) } as const
  const attempt = async (path: FastPath) => {
    const { status, headers } = await path.request(call, signal)
    // A HEAD has no body to tell a missing key from a missing bucket by; the SDK says the same
    if (status === 404) throw new ObjectNotFound(key)
    return status === 200 ? headOf(headers) : undefined
  }
  const found = await bucket.fast('HeadObject', attempt, signal)
  if (found) return found
  const command = new HeadObjectCommand({ Bucket: bucket.settings.bucket, Key: bucket.full(key) })
  try {
    return describe(await bucket.client.send(command, bucket.bounded(signal)))
  } catch (error) {
    throw storeError(error, key, signal)
  }
}

/** `ObjectStore.get` */
export async function getObject(
  bucket: S3Bucket,
  key: string,
  options: { range?: ByteRange; signal?: AbortSignal } = {},
): Promise<FoundObject> {
  const { range: wanted, signal } = options
  // Ceph RGW answers it with the whole object; RFC 9110 section 14.1.2 calls it unsatisfiable
  if (wanted && 'suffix' in wanted && wanted.suffix === 0) throw new RangeNotSatisfiable()
  const Key = bucket.full(key)
  const Range = wanted && rangeHeader(wanted)
  const call = { method: 'GET', key: Key, ...(Range && { headers: { range: Range } }) } as const
  const found = await bucket.fastDownload('GetObject', (path) => download(path, call, key, signal), signal)
  if (found) return found
  const command = new GetObjectCommand({ Bucket: bucket.settings.bucket, Key, ...(Range && { Range }) })
  try {
    const answer = await bucket.downloads.send(command, signal ? { abortSignal: signal } : {})
    const body = answer.Body as IncomingMessage
    body.on('error', () => {})
    let head: ObjectHead
    try {
      head = describe(answer)
    } catch (error) {
      body.destroy()
      throw error
    }
    onStall(body, bucket.settings.timeout, () => body.destroy(new Error(STALLED)))
    return { ...head, ...partOf(answer.ContentRange), body }
  } catch (error) {
    throw storeError(error, key, signal)
  }
}

/** Longest error of the store that is read, in bytes. */
const MAX_ERROR = 64 * 1024

/**
 * A GetObject on the fast path: resolves when the head of the answer is there, with nothing when the answer is for the SDK.
 *
 * @throws {ObjectNotFound}
 * @throws {RangeNotSatisfiable}
 */
function download(
  path: FastPath,
  call: FastCall,
  key: string,
  signal: AbortSignal | undefined,
): Promise<FoundObject | undefined> {
  return new Promise((resolve, reject) => {
    let status = 0
    let refusal = ''
    let body: Download | undefined
    let abort = () => {}
    const done = () => signal && callbacksOf(signal).delete(onAbort)
    const failed = (error: unknown) => {
      done()
      reject(error)
    }
    // Not only the call: it may still wait for a connection
    const onAbort = () => {
      abort()
      failed(signal?.reason)
    }
    if (signal) callbacksOf(signal).add(onAbort)
    const handler: FastHandler = {
      onRequestStart(controller) {
        abort = () => controller.abort(signal?.reason)
        if (signal?.aborted) abort()
      },
      onResponseStart(controller, statusCode, headers) {
        status = statusCode
        const head = status === 200 || status === 206 ? headOf(headers) : undefined
        if (!head) return
        const { size: length, etag, lastModified, contentType, metadata } = head
        const { range, size = length } = partOf(headers['content-range'])
        // Else the client would be told another length than it gets
        if (range && range.end - range.start + 1 !== length) return
        body = new Download(controller)
        resolve({ size, etag, lastModified, contentType, metadata, range, body })
      },
      onResponseData(controller, chunk) {
        if (body) body.arrive(chunk)
        else if (refusal.length < MAX_ERROR) refusal += chunk.toString('latin1')
        else controller.abort(new Error('This is no answer to GetObject'))
      },
      onResponseEnd() {
        done()
        if (body) body.finish()
        else if (status === 416) reject(new RangeNotSatisfiable())
        else if (status === 404 && refusal.includes('<Code>NoSuchKey</Code>')) reject(new ObjectNotFound(key))
        else resolve(undefined)
      },
      onResponseError(_controller, error) {
        if (body) body.destroy(error instanceof errors.BodyTimeoutError ? new Error(STALLED) : error)
        failed(error)
      },
    }
    path.dispatch(call, handler).catch(failed)
  })
}

/** The body of an answer while it arrives. It takes no more from the connection than its reader does, but for 64 KiB. */
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

/**
 * What GetObject and HeadObject say of an object.
 *
 * @throws {StoreFailure}
 */
function describe(answer: {
  ContentLength?: number | undefined
  ETag?: string | undefined
  LastModified?: Date | undefined
  ContentType?: string | undefined
  Metadata?: Record<string, string> | undefined
}): ObjectHead {
  const { ContentLength: size, ETag: etag, LastModified: lastModified } = answer
  // Something in between has answered, not the store
  if (size === undefined || !etag || !lastModified) throw new StoreFailure()
  return {
    size,
    etag,
    lastModified,
    contentType: answer.ContentType,
    metadata: answer.Metadata ?? {},
  }
}

const META = 'x-amz-meta-'

/** The same from the headers of an answer; nothing when they are not those of an object. */
function headOf(headers: FastResponse['headers']): ObjectHead | undefined {
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

function rangeHeader(range: ByteRange): string {
  return 'suffix' in range ? `bytes=-${range.suffix}` : `bytes=${range.start}-${range.end ?? ''}`
}

/** RFC 9110 section 14.4. A server that ignores ranges sends none, and the whole object. */
function partOf(contentRange: unknown): Pick<FoundObject, 'range'> & { readonly size?: number } {
  const match = typeof contentRange === 'string' && /^bytes (\d+)-(\d+)\/(\d+)$/.exec(contentRange)
  if (!match) return { range: undefined }
  return { range: { start: Number(match[1]), end: Number(match[2]) }, size: Number(match[3]) }
}
