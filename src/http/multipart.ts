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

/** What a request may hold beside its images. */
const MAX_FIELDS = 16
const MAX_FIELD_BYTES = 1024
const PART_LIMITS: PartLimits = { maxBytes: 8 * 1024, maxFields: 32 }

/** Bytes that the parser may be ahead of whoever reads; then the client has to wait. */
const READ_AHEAD = 256 * 1024

/** Bytes of whole files that may wait to be read; the parser alone would take any number of files below `READ_AHEAD`. */
const WAITING_BYTES = 1024 * 1024

/** What the first chunks of a file are collected in: for a small one that is all. */
const SMALL_BYTES = 16 * 1024

/** The name that file parts have to have; `files[]` and `files[0]` are the same name to PHP and to clients made for it. */
const FILES = /^files(?:\[\d*\])?$/

/** What the headers of a part and its boundary can take, at most: busboy reads no more, and a usable boundary has 70 characters. */
const MAX_PART_OVERHEAD = 2 * PART_LIMITS.maxBytes + 1024

export interface UploadLimits {
  readonly maxFiles: number
  /** Bytes. */
  readonly maxFileSize: number
}

/**
 * Checks the headers of an upload, which can refuse it before its body is read.
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
 * Reads the parameter of multipart types that parts are told apart by (RFC 2046 section 5.1.1).
 *
 * @throws {NoBoundary} also for an empty one, which the parser would take
 */
function boundaryOf({ headers }: FastifyRequest): string {
  const [, quoted, token] = BOUNDARY.exec(headers['content-type'] ?? '') ?? []
  const boundary = quoted?.replace(/\\(.)/g, '$1') ?? token
  if (!boundary) throw new NoBoundary()
  return boundary
}

const BOUNDARY = /;\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))/i

/**
 * The images of an upload, each the body of a file part, in the order of the parts. Names and types that the client sends along
 * are not looked at. Each body has to be read to its end before the next one is asked for.
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
      if (name !== undefined || filename !== undefined) body.shown += 1
      return filename !== undefined || type === 'application/octet-stream'
    },
    // With less the parser would stop and start the connection for every chunk of it
    highWaterMark: READ_AHEAD,
    fileHwm: READ_AHEAD,
    limits: {
      files: limits.maxFiles,
      fileSize: limits.maxFileSize,
      fields: MAX_FIELDS,
      fieldSize: MAX_FIELD_BYTES,
      parts: limits.maxFiles + MAX_FIELDS + 1,
      headerPairs: PART_LIMITS.maxFields,
      // What is longer gets cut, so that one too long is still to be seen
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
      const blocks = blocksOf(part, number + 1, limits.maxFileSize, body)
      // What browsers send of a file input in which nothing was chosen
      if (part.filename === '' && (await blocks.isEmpty())) continue
      number++
      if (!FILES.test(part.fieldname)) throw new WrongPartName(number)
      yield blocks
    }
    body.checkParts()
  } catch (error) {
    throw multipartError(error, limits.maxFiles)
  } finally {
    body.stop()
  }
}

/**
 * The raw bytes of a multipart body, beside the parser. Finds what the parser passes over, and lets the client wait while whole files
 * wait for their reader: the parser alone would take any number of small ones.
 */
class MultipartBody {
  /** Parts that the parser has shown, with a name. */
  shown = 0
  readonly #raw: Readable
  readonly #delimiters: Delimiters
  #failure: { readonly error: unknown } | undefined
  #endWait: ((error: unknown) => void) | undefined
  /** Bytes since the reader was last ready for more; undefined while it is. */
  #unread: number | undefined = 0
  #isHeld = false

  constructor(raw: Readable, boundary: string) {
    this.#raw = raw
    this.#delimiters = new Delimiters(boundary, PART_LIMITS)
    raw.on('data', this.#onData)
  }

  /** Waits for the parser, and lets it go on meanwhile. Rejects when the body turns out to be broken. */
  async wait<T>(work: Promise<T>): Promise<T> {
    this.#unread = undefined
    this.#release()
    try {
      // Not Promise.race: a promise that lives as long as the upload would keep something of every chunk
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

  /** @throws {BrokenMultipart} when there were parts that the parser has not shown */
  checkParts(): void {
    if (this.shown !== this.#delimiters.count) throw new BrokenMultipart()
  }

  /** Leaves the rest of the body to others. */
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

interface Blocks extends AsyncIterableIterator<Uint8Array> {
  /** Returns whether no byte is left. Waits for the next byte or the end of the file. */
  isEmpty(): Promise<boolean>
}

/**
 * The bytes of a file in blocks, each of them full but for the last one; a file that came in one chunk is that chunk.
 *
 * Chunks that are kept as they come can hold far more memory than their own length, each being a window on a buffer of the socket:
 * 300,000 of one byte were seen to hold 157 MB. And what is done for each of them is done seldom for blocks.
 */
function blocksOf({ file }: MultipartFile, number: number, maxFileSize: number, body: MultipartBody): Blocks {
  const full: Uint8Array[] = []
  let alone: Uint8Array | undefined
  let block: Buffer | undefined
  let filled = 0
  let end: { error: unknown } | undefined
  let wake = () => {}

  function collect(chunk: Uint8Array): void {
    if (filled + chunk.length <= SMALL_BYTES) block ??= Buffer.allocUnsafeSlow(SMALL_BYTES)
    else if (block?.length === SMALL_BYTES) {
      const small = block
      block = bufferPool.acquire()
      block.set(small)
    }
    for (let at = 0; at < chunk.length; ) {
      block ??= bufferPool.acquire()
      const count = Math.min(chunk.length - at, block.length - filled)
      block.set(count === chunk.length ? chunk : chunk.subarray(at, at + count), filled)
      filled += count
      at += count
      if (filled < BUFFER_BYTES) continue
      full.push(block)
      block = undefined
      filled = 0
    }
  }

  function finish(error?: () => unknown): void {
    if (end) return
    end = { error: error?.() }
    if (alone) full.push(alone)
    else if (block) full.push(block.subarray(0, filled))
    wake()
  }

  file.on('data', (chunk: Uint8Array) => {
    if (!alone && !block && full.length === 0) {
      alone = chunk
      return
    }
    if (alone) collect(alone)
    alone = undefined
    collect(chunk)
    if (full.length === 0) return
    file.pause()
    wake()
  })
  // Long before the end of the file, which nobody has to send
  const refuse = () => finish(() => new FileTooLarge(number, maxFileSize))
  file.once('limit', refuse)
  if (file.truncated) refuse()
  file.once('end', () => finish())
  file.on('error', (error) => finish(() => multipartError(error, 0)))
  file.once('close', () => finish(() => new ClientGone()))
  // One that broke while the image before it was stored says so no more
  if (file.destroyed) finish(() => (file.errored ? multipartError(file.errored, 0) : new ClientGone()))

  /** Waits for the next block, or for the end. */
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

  const blocks: Blocks = {
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
    [Symbol.asyncIterator]: () => blocks,
  }
  return blocks
}

function multipartError(error: unknown, maxFiles: number): unknown {
  if (error instanceof ServiceError || !(error instanceof Error)) return error
  switch ('code' in error ? error.code : undefined) {
    case 'FST_PARTS_LIMIT':
    case 'FST_FILES_LIMIT':
      return new TooManyFiles(maxFiles)
    case 'FST_FIELDS_LIMIT':
      return new TooManyFields(MAX_FIELDS)
    // The parser keeps fields in an object and takes no name of a member that every object has, and reads JSON by itself
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
