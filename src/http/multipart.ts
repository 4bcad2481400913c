import type { MultipartFile } from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
import { BLOCK_BYTES, takeBlock } from '../blocks.ts'
import {
  BrokenMultipart,
  ClientGone,
  FieldTooLarge,
  FilesAsText,
  FileTooLarge,
  NoBoundary,
  ServiceError,
  TooManyFields,
  TooManyFiles,
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

/** What the first chunks of a file are collected in: for a small one that is all. */
const SMALL_BYTES = 16 * 1024

/** The one name that file parts may have. */
const FILES = 'files'

/**
 * The images of an upload, each the body of a file part, in the order of the parts. Names and types that the client sends along
 * are not looked at. Each body has to be read to its end before the next one is asked for.
 *
 * @throws {ServiceError} for a request that is not as the contract says
 */
export async function* readImages(
  request: FastifyRequest,
  limits: { readonly maxFiles: number; readonly maxFileSize: number },
): AsyncGenerator<Body> {
  const parts = request.parts({
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
      headerSize: MAX_PART_HEADER_BYTES,
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
  // `truncated` is true only once the part was read
  file.once('end', () => finish(() => (file.truncated ? new FileTooLarge(number, maxFileSize) : undefined)))
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
    case 'FST_MP_PREMATURE_CLOSE':
    case 'ECONNRESET':
      return new ClientGone().because(error)
  }
  if (error.message === 'Multipart: Boundary not found') return new NoBoundary()
  return new BrokenMultipart().because(error)
}
