import type { FastifyRequest } from 'fastify'
import Negotiator from 'negotiator'
import { BadQuery } from '../errors.ts'
import type { ImageType } from '../images/types.ts'
import { type Format, REQUEST_FORMATS, type VariantShape } from '../layout/variant.ts'

export interface VariantRequest extends VariantShape {
  /** Whether the format depends on the client's `Accept`. */
  readonly isNegotiated: boolean
}

/** What a variant may be requested in. */
export interface AllowedSizes {
  readonly widths: readonly string[]
  /** Sizes of cropped variants, such as "320x240". */
  readonly sizes: readonly string[]
}

/** Returns whether the query requests a variant of an image. */
export function requestsVariant(query: unknown): boolean {
  return (query as Record<string, unknown>).w !== undefined
}

/**
 * Reads which variant of an image is requested. Returns undefined for the image itself.
 *
 * @param type of the image
 * @param allowed widths, and sizes such as "320x240", that may be requested
 * @throws {BadQuery} for any other width, size or format
 */
export function readVariant(
  request: FastifyRequest,
  type: ImageType,
  { widths, sizes }: AllowedSizes,
): VariantRequest | undefined {
  const { w, h, format = 'auto' } = request.query as Record<string, unknown>
  if (w === undefined) {
    if ('h' in (request.query as object)) throw new BadQuery('h', `sent with "w", as ${oneOf(sizes)}`)
    if ('format' in (request.query as object)) throw new BadQuery('format', `sent with "w", ${oneOf(widths)}`)
    return undefined
  }
  if (h === undefined && !isOneOf(widths, w)) throw new BadQuery('w', oneOf(widths))
  if (h !== undefined && !isOneOf(sizes, `${w}x${h}`)) throw new BadQuery('h', `sent with "w", as ${oneOf(sizes)}`)
  if (!isOneOf(REQUEST_FORMATS, format)) throw new BadQuery('format', oneOf(REQUEST_FORMATS))
  const isNegotiated = format === 'auto'
  return {
    width: Number(w),
    height: h === undefined ? undefined : Number(h),
    format: isNegotiated ? acceptedFormat(request, type) : format,
    isNegotiated,
  }
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

function isOneOf<Value extends string>(values: readonly Value[], value: unknown): value is Value {
  return values.includes(value as Value)
}

function oneOf(values: readonly string[]): string {
  return `one of ${values.join(', ')}`
}
