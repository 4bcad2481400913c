import type { EventEmitter } from 'node:events'
import type { Readable } from 'node:stream'
import type { MultipartFile } from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
import { BLOCK_BYTES, takeBlock } from '../blocks.ts'
import {
  BrokenMultipart,
  ClientGone,
  CompressedBody,
  FieldTooLarge,
  FilesAsText,
  FileTooLarge,
  InvalidJsonField,
  NoBoundary,
  NotMultipart,
  ReservedName,
  ServiceError,
  TicketTooManyBytes,
  TooManyFields,
  TooManyFiles,
  UnusablePart,
  UploadTooLarge,
  WrongPartName,
} from '../errors.ts'
import type { Body } from '../store/object-store.ts'

/** What a request may hold beside its images. */
const MAX_FIELDS = 16
const MAX_FIELD_BYTES = 1024
const MAX_PART_HEADER_BYTES = 8 * 1024
const MAX_PART_HEADERS = 32

/** Bytes that the parser may be ahead of whoever reads; then the client has to wait. */
const READ_AHEAD = 256 * 1024

/** Bytes of whole files that may wait to be read; the parser alone would take any number of files below `READ_AHEAD`. */
const WAITING_BYTES = 1024 * 1024

/** What the first chunks of a file are collected in: for a small one that is all. */
const SMALL_BYTES = 16 * 1024

/** In a header it is no end of a line (RFC 5322 section 2.2). */
const BARE_LINE_BREAK = /\r(?!\n)|(?<!\r)\n/

/** The one name that file parts may have. */
const FILES = 'files'

/** What the headers of a part and its boundary can take, at most: busboy reads no more, and a usable boundary has 70 characters. */
const MAX_PART_OVERHEAD = 2 * MAX_PART_HEADER_BYTES + 1024

export interface UploadLimits {
  readonly maxFiles: number
  /** Bytes. */
  readonly maxFileSize: number
}

/**
 * Checks the headers of an upload, which can refuse it before its body is read.
 *
 * @throws {NotMultipart} @throws {CompressedBody} @throws {NoBoundary} @throws {UploadTooLarge} @throws {TicketTooManyBytes}
 */
export function checkHeaders(request: FastifyRequest, { maxFiles, maxFileSize }: UploadLimits): void {
  const { headers, access } = request
  if (!request.isMultipart()) throw new NotMultipart()
  if (!/^(identity)?$/i.test(headers['content-encoding'] ?? '')) throw new CompressedBody()
  // To the parser an empty boundary is one
  if (!/;\s*boundary\s*=\s*"?[^\s";]/i.test(headers['content-type'] ?? '')) throw new NoBoundary()
  const parts = maxFiles + MAX_FIELDS + 1
  const fileBytes = Number(headers['content-length'] ?? 0) - parts * MAX_PART_OVERHEAD - MAX_FIELDS * MAX_FIELD_BYTES
  if (fileBytes > maxFiles * maxFileSize) throw new UploadTooLarge(maxFiles, maxFileSize)
  if (access.ticket && fileBytes > access.ticket.bytes) throw new TicketTooManyBytes(access.ticket.bytes)
}

/**
 * The images of an upload, each the body of a file part, in the order of the parts. Names and types that the client sends along
 * are not looked at. Each body has to be read to its end before the next one is asked for.
 *
 * @throws {ServiceError} for a request that is not as the contract says
 */
export async function* readImages(request: FastifyRequest, limits: UploadLimits): AsyncGenerator<Body> {
  const parts = request.parts({
    isPartAFile: watchParts(request),
    // With less the parser would stop and start the connection for every chunk of it
    highWaterMark: READ_AHEAD,
    fileHwm: READ_AHEAD,
    limits: {
      files: limits.maxFiles,
      fileSize: limits.maxFileSize,
      fields: MAX_FIELDS,
      fieldSize: MAX_FIELD_BYTES,
      parts: limits.maxFiles + MAX_FIELDS + 1,
      headerPairs: MAX_PART_HEADERS,
      // What is longer gets cut, so that one too long is still to be seen
      headerSize: 2 * MAX_PART_HEADER_BYTES,
    },
  })
  let number = 0
  try {
    for await (const part of parts) {
      if (part.type === 'field') {
        if (part.fieldname === FILES) throw new FilesAsText()
        if (part.valueTruncated) throw new FieldTooLarge(MAX_FIELD_BYTES)
        continue
      }
      number++
      if (part.fieldname !== FILES) throw new WrongPartName(number)
      yield blocksOf(part, number, limits.maxFileSize)
    }
  } catch (error) {
    throw multipartError(error, limits.maxFiles)
  }
}

/** What busboy does not show of itself. */
interface Parser extends EventEmitter {
  readonly hitPartsLimit?: true
  readonly _parser: { readonly parser: Dicer }
}
interface Dicer extends EventEmitter {
  readonly _bparser: EventEmitter
  readonly _dashes: number
  readonly _hparser: { readonly buffer: string; _parseHeader(): void }
}
type PartHeaders = Readonly<Record<string, readonly string[]>>

/**
 * Does what busboy does not. It passes over a part whose headers do not say what it is, without a word, and that may be a picture:
 * here the upload fails. Nor does it say that it leaves out the headers behind a bare line break, which may make a text of a picture,
 * or that it misses a boundary behind one that ends in a single dash: the upload fails as well. And it takes more files while those
 * before are not read yet: here the client has to wait.
 *
 * @returns busboy's question whether a part is a file, which it asks for every part that it does not pass over
 */
function watchParts({ raw }: FastifyRequest): (name?: string, type?: string, filename?: string) => boolean {
  let number = 0
  let isUnclear = false
  let hasBareLineBreak = false
  const watch = (parser: Parser) => {
    const check = () => {
      if (isUnclear && !parser.hitPartsLimit) parser.emit('error', new UnusablePart(number, MAX_PART_HEADER_BYTES))
      isUnclear = false
    }
    const onPart = (part: EventEmitter) => {
      // One that is over before its headers are has said nothing
      check()
      number++
      isUnclear = true
      part.on('header', (headers: PartHeaders) => {
        isUnclear ||= hasBareLineBreak || Object.entries(headers).flat(2).join('').length > MAX_PART_HEADER_BYTES
        check()
      })
    }
    const form = parser._parser.parser.on('part', onPart).on('finish', check)
    const headers = form._hparser
    const parse = headers._parseHeader
    headers._parseHeader = () => {
      hasBareLineBreak = BARE_LINE_BREAK.test(headers.buffer)
      parse.call(headers)
    }
    form._bparser.on('info', (isBoundary: boolean) => {
      // It counts the dashes behind each boundary that it sees from 0
      if (isBoundary && form._dashes === 1) parser.emit('error', new BrokenMultipart())
    })

    const unread = new Set<Readable>()
    const isFull = () => {
      let count = 0
      for (const file of unread) count += file.readableLength
      // The last one still gets its bytes, and stops the parser by itself
      return unread.size > 1 && count > WAITING_BYTES
    }
    parser.on('file', (_name: string, file: Readable) => {
      unread.add(file)
      if (isFull()) raw.pause()
      file.once('close', () => {
        unread.delete(file)
        if (raw.isPaused() && !isFull()) raw.resume()
      })
    })
  }
  // The plugin makes the parser when the first part is asked for, and shows it to nobody but the request
  const { pipe } = raw
  raw.pipe = (destination, options) => {
    raw.pipe = pipe
    if ('_parser' in destination) watch(destination as unknown as Parser)
    return raw.pipe(destination, options)
  }
  return (name, type, filename) => {
    isUnclear = name === undefined
    return filename !== undefined || type === 'application/octet-stream'
  }
}

/**
 * The bytes of a file in blocks, each of them full but for the last one; a file that came in one chunk is that chunk.
 *
 * Chunks that are kept as they come can hold far more memory than their own length, each being a window on a buffer of the socket:
 * 300,000 of one byte were seen to hold 157 MB. And what is done for each of them is done seldom for blocks.
 */
function blocksOf({ file }: MultipartFile, number: number, maxFileSize: number): AsyncIterableIterator<Uint8Array> {
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
      block = takeBlock()
      block.set(small)
    }
    for (let at = 0; at < chunk.length; ) {
      block ??= takeBlock()
      const count = Math.min(chunk.length - at, block.length - filled)
      block.set(count === chunk.length ? chunk : chunk.subarray(at, at + count), filled)
      filled += count
      at += count
      if (filled < BLOCK_BYTES) continue
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

  const blocks: AsyncIterableIterator<Uint8Array> = {
    async next() {
      while (full.length === 0 && !end) {
        if (file.isPaused()) file.resume()
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      if (end?.error !== undefined) throw end.error
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
      return new ClientGone().because(error)
  }
  if (error.message === 'Multipart: Boundary not found') return new NoBoundary()
  return new BrokenMultipart().because(error)
}
