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

async function* bytesOf(part: MultipartFile, number: number, maxFileSize: number): AsyncGenerator<Uint8Array> {
  try {
    yield* part.file
  } catch (error) {
    throw multipartError(error, 0)
  }
  // True only once the part was read
  if (part.file.truncated) throw new FileTooLarge(number, maxFileSize)
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
