import type { FastifyRequest } from 'fastify'
import Negotiator from 'negotiator'
import { type Config, listed } from '../config.ts'
import { BadQuery } from '../errors.ts'
import type { ImageType } from '../images/types.ts'
import { type Format, REQUEST_FORMATS, type VariantShape } from '../layout/variant.ts'

export interface VariantRequest extends VariantShape {
  /** Whether the format depends on the client's `Accept`. */
  readonly isNegotiated: boolean
}

/** The sizes that variants may be requested in. */
export interface AllowedSizes {
  readonly widths: readonly string[]
  /** Sizes of cropped variants, such as "320x240". There may be none. */
  readonly crops: readonly string[]
}

/** Returns the widths and the sizes of crops in `VARIANT_SIZES`. */
export function allowedSizes({ VARIANT_SIZES }: Pick<Config, 'VARIANT_SIZES'>): AllowedSizes {
  const sizes = listed(VARIANT_SIZES)
  return {
    widths: sizes.filter((size) => !size.includes('x')),
    crops: sizes.filter((size) => size.includes('x')),
  }
}

/** Returns whether the query requests a variant of an image. */
export function requestsVariant(query: unknown): boolean {
  return (query as Record<string, unknown>).w !== undefined
}

/**
 * Reads which variant of an image is requested. Returns undefined for the image itself.
 *
 * @param type of the image
 * @throws {BadQuery} for any other width, size or format
 */
export function readVariant(
  request: FastifyRequest,
  type: ImageType,
  { widths, crops }: AllowedSizes,
): VariantRequest | undefined {
  const { w, h, format = 'auto' } = request.query as Record<string, unknown>
  if (w === undefined) {
    if ('h' in (request.query as object)) throw badHeight(crops)
    if ('format' in (request.query as object)) throw new BadQuery('format', `sent with "w", ${oneOf(widths)}`)
    return undefined
  }
  if (h === undefined && !isOneOf(widths, w)) throw new BadQuery('w', oneOf(widths))
  if (h !== undefined && !isOneOf(crops, `${w}x${h}`)) throw badHeight(crops)
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

function badHeight(crops: readonly string[]): Error {
  return new BadQuery('h', crops.length > 0 ? `sent with "w", as ${oneOf(crops)}` : 'left out')
}

function oneOf(values: readonly string[]): string {
  return `one of ${values.join(', ')}`
}
