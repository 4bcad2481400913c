import type { Readable } from 'node:stream'
import type { MultipartFile } from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
import {
  BrokenMultipart,
  ClientGone,
  CompressedBody,
  FieldTooLarge,
  FilesAsText,
  FileTooLarge,
  InvalidJsonField,
  NoBoundary,
  NoFiles,
  NotMultipart,
  ReservedName,
  ServiceError,
  TicketTooManyBytes,
  TooManyFields,
  TooManyFiles,
  UploadTooLarge,
  WrongPartName,
} from '../errors.ts'
import { BUFFER_BYTES, bufferPool } from '../io/buffer-pool.ts'
import type { Body } from '../store/object-store.ts'
import { Delimiters, type PartLimits } from './delimiters.ts'
import { withoutPadding } from './transport-padding.ts'

/** Bounds of the text fields of a request. */
const MAX_FIELDS = 16
const MAX_FIELD_BYTES = 1024
const PART_LIMITS: PartLimits = { maxBytes: 8 * 1024, maxFields: 32 }

/** Bytes that the parser may read ahead. Then the client has to wait. */
const READ_AHEAD = 256 * 1024

/** Most bytes of whole files that wait to be read. The parser alone would accept any number of files below `READ_AHEAD`. */
const WAITING_BYTES = 1024 * 1024

/** Bytes of the buffer for the first chunks of a file. A small file needs no other. */
const SMALL_BYTES = 16 * 1024

/** The name of file parts. `files[]` and `files[0]` are the same name to PHP and to clients made for it. */
const FILES = /^files(?:\[\d*\])?$/

/** Most bytes of the headers of a part and its boundary: busboy reads no more, and a boundary has at most 70 characters. */
const MAX_PART_OVERHEAD = 2 * PART_LIMITS.maxBytes + 1024

export interface UploadLimits {
  readonly maxFiles: number
  /** Bytes. */
  readonly maxFileSize: number
}

/**
 * Checks the headers of an upload before its body is read.
 *
 * @throws {NoFiles} @throws {NotMultipart} @throws {CompressedBody} @throws {NoBoundary} @throws {UploadTooLarge} @throws {TicketTooManyBytes}
 */
export function checkHeaders(request: FastifyRequest, { maxFiles, maxFileSize }: UploadLimits): void {
  const { headers, access } = request
  const length = Number(headers['content-length'] ?? 0)
  if (length === 0 && headers['transfer-encoding'] === undefined) throw new NoFiles()
  if (!request.isMultipart()) throw new NotMultipart()
  if (!/^(identity)?$/i.test(headers['content-encoding'] ?? '')) throw new CompressedBody()
  boundaryOf(request)
  const parts = maxFiles + MAX_FIELDS + 1
  const fileBytes = length - parts * MAX_PART_OVERHEAD - MAX_FIELDS * MAX_FIELD_BYTES
  if (fileBytes > maxFiles * maxFileSize) throw new UploadTooLarge(maxFiles, maxFileSize)
  if (access.ticket && fileBytes > access.ticket.bytes) throw new TicketTooManyBytes(access.ticket.bytes)
}

/**
 * Returns the boundary parameter of the Content-Type (RFC 2046 section 5.1.1).
 *
 * @throws {NoBoundary} also for an empty one, which the parser would accept
 */
function boundaryOf({ headers }: FastifyRequest): string {
  const [, quoted, token] = BOUNDARY.exec(headers['content-type'] ?? '') ?? []
  const boundary = quoted?.replace(/\\(.)/g, '$1') ?? token
  if (!boundary) throw new NoBoundary()
  return boundary
}

const BOUNDARY = /;\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))/i

/**
 * Yields the images of an upload, each the body of a file part, in the order of the parts. Ignores the file names and types that the
 * client sends. Each body has to be read to its end before the next one is requested.
 *
 * @param signal ends the wait for the first bytes
 * @throws {ServiceError} for a request that is not as the contract says
 */
export async function* readImages(
  request: FastifyRequest,
  limits: UploadLimits,
  signal: AbortSignal,
): AsyncGenerator<Body> {
  const boundary = boundaryOf(request)
  const raw = await withoutPadding(request.raw, boundary, signal)
  const body = new MultipartBody(raw, boundary)
  const source: FastifyRequest = raw === request.raw ? request : Object.create(request, { raw: { value: raw } })
  const parts = source.parts({
    isPartAFile(name?: string, type?: string, filename?: string) {
      if (name !== undefined || filename !== undefined) body.reported += 1
      return filename !== undefined || type === 'application/octet-stream'
    },
    // With less the parser would pause and resume the connection for every chunk
    highWaterMark: READ_AHEAD,
    fileHwm: READ_AHEAD,
    limits: {
      files: limits.maxFiles,
      fileSize: limits.maxFileSize,
      fields: MAX_FIELDS,
      fieldSize: MAX_FIELD_BYTES,
      parts: limits.maxFiles + MAX_FIELDS + 1,
      headerPairs: PART_LIMITS.maxFields,
      // The parser cuts longer headers. With twice the limit, headers that are too long can still be seen
      headerSize: 2 * PART_LIMITS.maxBytes,
    },
  })
  let number = 0
  try {
    for (;;) {
      const { done, value: part } = await body.wait(parts.next())
      if (done) break
      if (part.type === 'field') {
        if (FILES.test(part.fieldname)) throw new FilesAsText()
        if (part.valueTruncated) throw new FieldTooLarge(MAX_FIELD_BYTES)
        continue
      }
      const image = bodyOf(part, number + 1, limits.maxFileSize, body)
      // Browsers send such a part for a file input in which nothing was chosen
      if (part.filename === '' && (await image.isEmpty())) continue
      number++
      if (!FILES.test(part.fieldname)) throw new WrongPartName(number)
      yield image
    }
    body.checkParts()
  } catch (error) {
    throw multipartError(error, limits.maxFiles)
  } finally {
    body.stop()
  }
}

/**
 * Watches the raw bytes of a multipart body. Finds parts that the parser skips, and pauses the client while whole files wait for their
 * reader: the parser alone would accept any number of small ones.
 */
class MultipartBody {
  /** Number of parts with a name that the parser has reported. */
  reported = 0
  readonly #raw: Readable
  readonly #delimiters: Delimiters
  #failure: { readonly error: unknown } | undefined
  #endWait: ((error: unknown) => void) | undefined
  /** Bytes since the reader was last ready for more, or undefined while it is ready. */
  #unread: number | undefined = 0
  #isHeld = false

  constructor(raw: Readable, boundary: string) {
    this.#raw = raw
    this.#delimiters = new Delimiters(boundary, PART_LIMITS)
    raw.on('data', this.#onData)
  }

  /** Waits for the parser, which continues meanwhile. Rejects if the body turns out to be broken. */
  async wait<T>(work: Promise<T>): Promise<T> {
    this.#unread = undefined
    this.#release()
    try {
      // Not Promise.race: a promise that lives as long as the upload would hold memory for every chunk
      return await new Promise<T>((resolve, reject) => {
        this.#endWait = reject
        work.then(resolve, reject)
        if (this.#failure) reject(this.#failure.error)
      })
    } finally {
      this.#endWait = undefined
      this.#unread = 0
    }
  }

  /** @throws {BrokenMultipart} if there were parts that the parser has not reported */
  checkParts(): void {
    if (this.reported !== this.#delimiters.count) throw new BrokenMultipart()
  }

  /** Stops watching the rest of the body. */
  stop(): void {
    this.#raw.off('data', this.#onData)
    this.#release()
  }

  #release(): void {
    if (this.#isHeld) this.#raw.resume()
    this.#isHeld = false
  }

  readonly #onData = (chunk: Buffer): void => {
    try {
      this.#delimiters.read(chunk)
    } catch (error) {
      this.#failure = { error }
      this.#endWait?.(error)
      this.#raw.off('data', this.#onData)
    }
    if (this.#unread === undefined) return
    this.#unread += chunk.length
    if (this.#unread <= WAITING_BYTES) return
    this.#isHeld = true
    this.#raw.pause()
  }
}

interface FileBody extends AsyncIterableIterator<Uint8Array> {
  /** Returns whether no byte is left. Waits for the next byte or the end of the file. */
  isEmpty(): Promise<boolean>
}

/**
 * Collects the bytes of a file in buffers of the pool, all of them full except the last one. A file that came in one chunk is that chunk.
 *
 * A chunk can hold far more memory than its length, because it is a view of a buffer of the socket: 300,000 chunks of one byte held
 * 157 MB. Full buffers also make work that is done for each of them rare.
 */
function bodyOf({ file }: MultipartFile, number: number, maxFileSize: number, body: MultipartBody): FileBody {
  const full: Uint8Array[] = []
  let onlyChunk: Uint8Array | undefined
  let buffer: Buffer | undefined
  let filled = 0
  let end: { error: unknown } | undefined
  let wake = () => {}

  function collect(chunk: Uint8Array): void {
    if (filled + chunk.length <= SMALL_BYTES) buffer ??= Buffer.allocUnsafeSlow(SMALL_BYTES)
    else if (buffer?.length === SMALL_BYTES) {
      const small = buffer
      buffer = bufferPool.acquire()
      buffer.set(small)
    }
    for (let at = 0; at < chunk.length; ) {
      buffer ??= bufferPool.acquire()
      const count = Math.min(chunk.length - at, buffer.length - filled)
      buffer.set(count === chunk.length ? chunk : chunk.subarray(at, at + count), filled)
      filled += count
      at += count
      if (filled < BUFFER_BYTES) continue
      full.push(buffer)
      buffer = undefined
      filled = 0
    }
  }

  function finish(error?: () => unknown): void {
    if (end) return
    end = { error: error?.() }
    if (onlyChunk) full.push(onlyChunk)
    else if (buffer) full.push(buffer.subarray(0, filled))
    wake()
  }

  file.on('data', (chunk: Uint8Array) => {
    if (!onlyChunk && !buffer && full.length === 0) {
      onlyChunk = chunk
      return
    }
    if (onlyChunk) collect(onlyChunk)
    onlyChunk = undefined
    collect(chunk)
    if (full.length === 0) return
    file.pause()
    wake()
  })
  // At once, since the client need not send the rest of the file
  const refuse = () => finish(() => new FileTooLarge(number, maxFileSize))
  file.once('limit', refuse)
  if (file.truncated) refuse()
  file.once('end', () => finish())
  file.on('error', (error) => finish(() => multipartError(error, 0)))
  file.once('close', () => finish(() => new ClientGone()))
  // A file that broke while the image before it was stored emits nothing any more
  if (file.destroyed) finish(() => (file.errored ? multipartError(file.errored, 0) : new ClientGone()))

  /** Waits for the next full buffer, or for the end. */
  async function ready(): Promise<void> {
    while (full.length === 0 && !end) {
      if (file.isPaused()) file.resume()
      await body.wait(
        new Promise<void>((resolve) => {
          wake = resolve
        }),
      )
    }
    if (end?.error !== undefined) throw end.error
  }

  const fileBody: FileBody = {
    async isEmpty() {
      await ready()
      return full.length === 0
    },
    async next() {
      await ready()
      const value = full.shift()
      return value ? { done: false, value } : { done: true, value: undefined }
    },
    async return() {
      file.destroy()
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]: () => fileBody,
  }
  return fileBody
}

function multipartError(error: unknown, maxFiles: number): unknown {
  if (error instanceof ServiceError || !(error instanceof Error)) return error
  switch ('code' in error ? error.code : undefined) {
    case 'FST_PARTS_LIMIT':
    case 'FST_FILES_LIMIT':
      return new TooManyFiles(maxFiles)
    case 'FST_FIELDS_LIMIT':
      return new TooManyFields(MAX_FIELDS)
    // The parser keeps fields in an object, so it refuses names that every object has. It also parses JSON fields
    case 'FST_PROTO_VIOLATION':
      return new ReservedName()
    case 'FST_INVALID_JSON_FIELD_ERROR':
      return new InvalidJsonField(MAX_FIELD_BYTES)
    case 'FST_MP_PREMATURE_CLOSE':
    case 'ECONNRESET':
      return new ClientGone({ cause: error })
  }
  if (error.message === 'Multipart: Boundary not found') return new NoBoundary()
  return new BrokenMultipart({ cause: error })
}
