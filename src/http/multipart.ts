import type { MultipartFile } from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
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

/** Bytes that the parser may be ahead of whoever reads a file; then the client has to wait. */
const READ_AHEAD = 256 * 1024

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
      yield bytesOf(part, number, limits.maxFileSize)
    }
  } catch (error) {
    throw multipartError(error, limits.maxFiles)
  }
}

/** A stream's own iterator would pause it after each chunk and copy what came meanwhile. */
function bytesOf({ file }: MultipartFile, number: number, maxFileSize: number): AsyncIterableIterator<Uint8Array> {
  const unread: Uint8Array[] = []
  let unreadBytes = 0
  let end: { readonly error?: unknown } | undefined
  let waiting: (() => void) | undefined

  function wake(): void {
    waiting?.()
    waiting = undefined
  }
  function finish(error?: () => unknown): void {
    end ??= { error: error?.() }
    wake()
  }
  file.on('data', (chunk: Uint8Array) => {
    unread.push(chunk)
    unreadBytes += chunk.length
    if (unreadBytes >= READ_AHEAD) file.pause()
    wake()
  })
  // `truncated` is true only once the part was read
  file.once('end', () => finish(() => (file.truncated ? new FileTooLarge(number, maxFileSize) : undefined)))
  file.on('error', (error) => finish(() => multipartError(error, 0)))
  file.once('close', () => finish(() => new ClientGone()))

  const chunks: AsyncIterableIterator<Uint8Array> = {
    async next() {
      while (unread.length === 0 && !end) {
        await new Promise<void>((resolve) => {
          waiting = resolve
        })
      }
      const value = unread.shift()
      if (value) {
        unreadBytes -= value.length
        if (unread.length === 0 && file.isPaused()) file.resume()
        return { done: false, value }
      }
      if (end?.error !== undefined) throw end.error
      return { done: true, value: undefined }
    },
    async return() {
      file.destroy()
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]: () => chunks,
  }
  return chunks
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
