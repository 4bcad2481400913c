import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Bucket,
  carryOut,
  type Dialect,
  keysToDelete,
  type MultipartUpload,
  newObject,
  type Operation,
  operationOf,
  type StoredObject,
} from './s3-in-memory.ts'
import { type Answer, errorAnswer, failure } from './s3-wire.ts'
import { isSigned } from './signature.ts'

export type { MultipartUpload, Operation, StoredObject } from './s3-in-memory.ts'

/**
 * What can go wrong with a call. Unless it says otherwise, the call is not carried out and its request was read to the
 * end. An answer without a body (PutObject, HeadObject, …) cannot break in the middle: then nothing of it is sent.
 *
 * - `reset`: the connection is reset instead of an answer; the caller cannot tell it from `answer-lost`
 * - `reset-mid-request-body`: reset when half of the request's body has been read (at once if there is none)
 * - `answer-lost`: carried out, then reset
 * - `reset-mid-response-body`: carried out, reset after at most half of the answer's body
 * - `stall`: never answered
 * - `stall-mid-body`: carried out, nothing more comes after half of the answer's body
 * - `status-500`: InternalError. `status-503`: SlowDown. `access-denied`: 403. `storage-full`: 507, as MinIO says it
 * - `error-in-200`: status 200, then an error in the body, which S3 may do for CompleteMultipartUpload:
 *   https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
 * - `per-key-error`: DeleteObjects answers 200, keeps the keys that match and reports an error for each of them
 * - `{ delayMs }`: carried out that much later, also when the caller has gone meanwhile: a late write. Delays add up, and
 *   another fault may follow them
 * - `{ status, code }`: any other S3 error, say 403 RequestTimeTooSkewed
 *
 * A port that refuses connections is `stop()`: before a connection is there, nobody knows which call it is for.
 */
export type Fault =
  | 'reset'
  | 'reset-mid-request-body'
  | 'answer-lost'
  | 'reset-mid-response-body'
  | 'stall'
  | 'stall-mid-body'
  | 'status-500'
  | 'status-503'
  | 'access-denied'
  | 'storage-full'
  | 'error-in-200'
  | 'per-key-error'
  | { readonly delayMs: number }
  | { readonly status: number; readonly code: string }

export interface Call {
  readonly operation: Operation
  /** the object's key; the prefix of ListObjectsV2; the first key of DeleteObjects */
  readonly key: string
  /** every key of DeleteObjects, else `[key]` */
  readonly keys: readonly string[]
  /** 1 for the first call of this operation */
  readonly n: number
}

export interface Match {
  readonly operation?: Operation
  /** against any of the call's keys */
  readonly key?: RegExp
  /** only from the nth matching call on, counted from `fail`, 1 for the next one; `times` is 1 then unless given */
  readonly nth?: number
}

export interface S3StandIn {
  readonly endpoint: string
  readonly bucket: string
  /** What is stored; tests may change it. */
  readonly objects: Map<string, StoredObject>
  /** Keys with a delete marker and the version below it, in a bucket with versioning; tests may change it. */
  readonly deleted: Bucket['deleted']
  /** upload id → multipart upload neither completed nor aborted: what a clean failure leaves empty */
  readonly multipartUploads: ReadonlyMap<string, MultipartUpload>
  /** Every call so far, in the order in which they came in, failed ones and retries included. */
  readonly calls: readonly Call[]
  readonly openConnections: number
  /** Requests that came in and are neither answered nor given up. */
  readonly runningRequests: number
  /** Awaited when a call has come in, before its body is read (DeleteObjects: after) and before it is carried out. */
  onCall: ((call: Call) => void | Promise<void>) | undefined
  /** Stores an object without a call. */
  place(key: string, body: string | Buffer, about?: Partial<Omit<StoredObject, 'body' | 'etag'>>): void
  /** Makes matching calls fail, `times` of them (default: all until `clearFaults`). Of several, the oldest is taken. */
  fail(match: Match, fault: Fault, times?: number): void
  /** Calls that stall go on stalling. */
  clearFaults(): void
  /** Refuses connections and resets those that are open. */
  stop(): Promise<void>
  /** Listens again, on the same port. */
  start(): Promise<void>
  close(): Promise<void>
}

export interface StandInOptions {
  readonly bucket?: string
  /** Most keys of a page of a list. */
  readonly pageSize?: number
  readonly dialect?: Dialect
  /** In front of the bucket in every URL, as with Supabase: "/storage/v1/s3". */
  readonly path?: string
  /** The secret key, when signatures are checked. */
  readonly secret?: string
}

/**
 * An S3 engine in memory on a free loopback port, path-style, for the faults which a real engine cannot be made to have.
 * It checks digests, and signatures if it has a secret; it does what story-images needs of S3; anything else is answered 501.
 */
export async function startS3StandIn({
  bucket: name = 'images',
  pageSize = 1000,
  dialect = {},
  path = '',
  secret,
}: StandInOptions = {}): Promise<S3StandIn> {
  const bucket: Bucket = {
    name,
    dialect,
    pageSize,
    objects: new Map(),
    deleted: new Map(),
    multipartUploads: new Map(),
    lifecycle: undefined,
  }
  const calls: Call[] = []
  const sockets = new Set<Socket>()
  const running = new Set<ServerResponse>()
  let rules: Rule[] = []

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    running.add(response)
    response.once('close', () => running.delete(response))

    const url = request.url ?? '/'
    const { bucketName, key, query } = readTarget(url.startsWith(`${path}/`) ? url.slice(path.length) : '/')
    const operation = operationOf(request.method ?? '', key, query)
    const early = operation === 'DeleteObjects' ? await readBody(request) : undefined
    const keys = early === undefined ? [key || (query.get('prefix') ?? '')] : keysToDelete({ body: early })
    const n = calls.filter((call) => call.operation === operation).length + 1
    const call: Call = { operation, key: keys[0] ?? '', keys, n }
    calls.push(call)
    const { fault, delayMs, undeletable } = takeFault(rules, call)
    await standIn.onCall?.(call)

    const half = fault === 'reset-mid-request-body' ? Number(request.headers['content-length'] ?? 0) / 2 : undefined
    const body = early ?? (await readBody(request, half))
    if (body === undefined || half !== undefined) return void request.socket.resetAndDestroy()
    if (delayMs > 0) await sleep(delayMs, undefined, { ref: false })
    if (fault === 'reset') return void request.socket.resetAndDestroy()
    if (fault === 'stall') return

    const isRefused = secret !== undefined && !isSigned(request, secret)
    const carriedOut = () =>
      bucketName === name
        ? carryOut(operation, bucket, { key, query, headers: request.headers, body, undeletable })
        : failure('NoSuchBucket', { BucketName: bucketName })
    const answer = errorOf(fault) ?? (isRefused ? failure('SignatureDoesNotMatch') : carriedOut())
    if (fault === 'answer-lost') return void request.socket.resetAndDestroy()
    if (fault === 'reset-mid-response-body' || fault === 'stall-mid-body') return breakOff(response, answer, fault)
    writeHead(response, answer)
    response.end(answer.body)
  }

  // Idle connections stay open: one that the server closes just when a client uses it again would be a fault of chance.
  const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, serve)
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }
  const stop = async () => {
    if (!server.listening) return
    const closed = [server, ...sockets].map((emitter) => once(emitter, 'close'))
    for (const socket of sockets) {
      // Node.js can't reset a socket that is already ending
      if (socket.writableEnded) socket.destroy()
      else socket.resetAndDestroy()
    }
    server.close()
    await Promise.all(closed)
  }
  const port = await listen(0)

  const standIn: S3StandIn = {
    endpoint: `http://127.0.0.1:${port}${path}`,
    bucket: name,
    objects: bucket.objects,
    deleted: bucket.deleted,
    multipartUploads: bucket.multipartUploads,
    calls,
    get openConnections() {
      return sockets.size
    },
    get runningRequests() {
      return running.size
    },
    onCall: undefined,
    place: (key, body, about) => void bucket.objects.set(key, newObject(Buffer.from(body), about)),
    fail: (match, fault, times = match.nth === undefined ? Number.POSITIVE_INFINITY : 1) => {
      rules.push({ match, fault, times, seen: 0 })
    },
    clearFaults: () => {
      rules = []
    },
    stop,
    start: async () => void (server.listening || (await listen(port))),
    close: stop,
  }
  return standIn
}

interface Rule {
  readonly match: Match
  readonly fault: Fault
  readonly times: number
  /** matching calls so far */
  seen: number
}

type MidBody = 'reset-mid-response-body' | 'stall-mid-body'

type Failure = Exclude<Fault, 'per-key-error' | { delayMs: number }>

function takeFault(rules: readonly Rule[], call: Call) {
  const taken: { fault?: Failure; undeletable?: RegExp; delayMs: number } = { delayMs: 0 }
  for (const rule of rules) {
    const { match, fault, times } = rule
    if (match.operation !== undefined && match.operation !== call.operation) continue
    if (match.key !== undefined && !call.keys.some((key) => key.search(match.key ?? '') >= 0)) continue
    rule.seen += 1
    const first = match.nth ?? 1
    if (rule.seen < first || rule.seen >= first + times) continue
    if (fault === 'per-key-error') taken.undeletable ??= match.key ?? /^/
    else if (typeof fault === 'object' && 'delayMs' in fault) taken.delayMs += fault.delayMs
    else taken.fault ??= fault
  }
  return taken
}

function errorOf(fault: Failure | undefined): Answer | undefined {
  if (typeof fault === 'object') return errorAnswer(fault.status, fault.code, 'A fault that the test asked for.')
  if (fault === 'status-500') return failure('InternalError')
  if (fault === 'status-503') return failure('SlowDown')
  if (fault === 'access-denied') return failure('AccessDenied')
  if (fault === 'storage-full') return failure('XMinioStorageFull')
  if (fault === 'error-in-200') return { ...failure('InternalError'), status: 200 }
  return undefined
}

/** By hand: URL() would resolve `..` and other segments that are legal in keys. */
function readTarget(url: string): { bucketName: string; key: string; query: URLSearchParams } {
  const [, path = '', query] = /^\/?([^?]*)\??(.*)$/.exec(url) ?? []
  const slash = path.indexOf('/')
  const bucketName = slash < 0 ? path : path.slice(0, slash)
  const key = slash < 0 ? '' : decodeURIComponent(path.slice(slash + 1))
  return { bucketName, key, query: new URLSearchParams(query) }
}

/** undefined when the client went away in the middle; stops when `enough` bytes are there. */
async function readBody(request: IncomingMessage, enough = Number.POSITIVE_INFINITY): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      size += chunk.length
      // Leaving the loop closes the connection in order, so it is reset first.
      if (size >= enough) request.socket.resetAndDestroy()
    }
  } catch {
    return undefined
  }
  return Buffer.concat(chunks)
}

function writeHead(response: ServerResponse, { status, headers, body }: Answer): void {
  const length = status === 204 || status === 304 ? {} : { 'content-length': body.length }
  response.writeHead(status, { ...headers, ...length })
}

async function breakOff(response: ServerResponse, answer: Answer, fault: MidBody): Promise<void> {
  if (response.req.method !== 'HEAD' && answer.body.length > 1) {
    writeHead(response, answer)
    response.write(answer.body.subarray(0, answer.body.length / 2))
    // A reset throws away what this side's kernel has not sent, so the head gets time to arrive.
    await sleep(50, undefined, { ref: false })
  }
  if (fault === 'reset-mid-response-body') response.req.socket.resetAndDestroy()
}
