import type { FastifyRequest } from 'fastify'
import Negotiator from 'negotiator'
import { BadQuery } from '../errors.ts'
import type { ImageType } from '../images/types.ts'
import { type Format, REQUEST_FORMATS, type RequestFormat } from '../layout/variant.ts'

export interface VariantRequest {
  readonly width: number
  readonly format: Format
  /** Whether the format depends on the client's `Accept`. */
  readonly isNegotiated: boolean
}

/** Returns whether the query requests a variant of an image. */
export function requestsVariant(query: unknown): boolean {
  return (query as Record<string, unknown>).w !== undefined
}

/**
 * Reads which variant of an image is requested. Returns undefined for the image itself.
 *
 * @param type of the image
 * @param widths that may be requested
 * @throws {BadQuery} for any other width or format
 */
export function readVariant(
  request: FastifyRequest,
  type: ImageType,
  widths: readonly string[],
): VariantRequest | undefined {
  const { w, format = 'auto' } = request.query as Record<string, unknown>
  if (w === undefined) {
    if ('format' in (request.query as object)) throw new BadQuery('format', `sent with "w", ${oneOf(widths)}`)
    return undefined
  }
  if (typeof w !== 'string' || !widths.includes(w)) throw new BadQuery('w', oneOf(widths))
  if (!isFormat(format)) throw new BadQuery('format', oneOf(REQUEST_FORMATS))
  const isNegotiated = format === 'auto'
  return { width: Number(w), format: isNegotiated ? acceptedFormat(request, type) : format, isNegotiated }
}

/** Uses only formats that the client names: many that show neither AVIF nor WebP send `*` or `image/*`. */
function acceptedFormat(request: FastifyRequest, type: ImageType): Format {
  const accepted = new Negotiator(request).mediaTypes()
  // An animation as AVIF would be its first frame only
  const mayMove = type === 'gif' || type === 'webp'
  if (!mayMove && accepted.includes('image/avif')) return 'avif'
  if (accepted.includes('image/webp')) return 'webp'
  return type === 'jpg' ? 'jpeg' : 'plain'
}

function isFormat(format: unknown): format is RequestFormat {
  return REQUEST_FORMATS.includes(format as RequestFormat)
}

function oneOf(values: readonly string[]): string {
  return `one of ${values.join(', ')}`
}
