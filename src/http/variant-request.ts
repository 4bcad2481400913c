import type { FastifyRequest } from 'fastify'
import Negotiator from 'negotiator'
import { BadQuery } from '../errors.ts'
import type { ImageType } from '../images/types.ts'
import { FORMATS, type Form, type Format } from '../variants/variant.ts'

export interface VariantRequest {
  /** Most pixels. */
  readonly width: number
  readonly form: Form
  /** Whether the form depends on what the client accepts. */
  readonly isNegotiated: boolean
}

/** Whether a smaller form of an image is asked for. */
export function asksForVariant(query: unknown): boolean {
  return (query as Record<string, unknown>).w !== undefined
}

/**
 * Which smaller form of an image is asked for; nothing when it is the image itself.
 *
 * @param type of the image
 * @param widths that there are
 * @throws {BadQuery} for a width or format that there is not
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
  if (!isFormat(format)) throw new BadQuery('format', oneOf(FORMATS))
  const isNegotiated = format === 'auto'
  return { width: Number(w), form: isNegotiated ? acceptedForm(request, type) : format, isNegotiated }
}

/** Only what the client names: `*` and `image/*` are sent by many that show neither. */
function acceptedForm(request: FastifyRequest, type: ImageType): Form {
  const accepted = new Negotiator(request).mediaTypes()
  // As AVIF an animation would be its first frame
  const mayMove = type === 'gif' || type === 'webp'
  if (!mayMove && accepted.includes('image/avif')) return 'avif'
  if (accepted.includes('image/webp')) return 'webp'
  return type === 'jpg' ? 'jpeg' : 'plain'
}

function isFormat(format: unknown): format is Format {
  return FORMATS.includes(format as Format)
}

function oneOf(values: readonly string[]): string {
  return `one of ${values.join(', ')}`
}
