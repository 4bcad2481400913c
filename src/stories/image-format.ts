import { imageDimensionsFromData } from 'image-dimensions'
import { HEADERS } from './image-header.ts'

export type ImageType = 'jpg' | 'png' | 'gif' | 'webp' | 'avif'

export interface ImageFormat {
  /** Also the file name extension. */
  readonly type: ImageType
  /** Pixels as displayed, 1 or more. */
  readonly width: number
  /** Pixels as displayed, 1 or more. */
  readonly height: number
}

/** The media type of each image type (IANA registry, image/*). */
export const CONTENT_TYPES: Readonly<Record<ImageType, string>> = {
  jpg: 'image/jpeg',
  png: 'image/png',
  gif: 'image/gif',
  webp: 'image/webp',
  avif: 'image/avif',
}

export type Identified =
  | { kind: 'image'; format: ImageFormat }
  /** Not decided by these bytes: ask again with more of the file. */
  | { kind: 'more' }
  /** None of our types, whatever follows. HEIC and SVG are named, so that the sender can be told what to do. */
  | { kind: 'heic' }
  | { kind: 'svg' }
  | { kind: 'unsupported' }
  /** The signature of a type of ours, but no size, or a width or height of 0. */
  | { kind: 'broken'; type: ImageType }

/**
 * Tells an image's type and size by its first bytes. Only signature and headers are read, no pixel is decoded: an answer
 * says what the file claims to be, not that it is undamaged.
 *
 * The size is the displayed one. A quarter turn swaps width and height; respected is what browsers respect:
 * - JPEG: the Orientation of the first Exif segment that has one, ahead of the scan;
 * - PNG: the Orientation of an `eXIf` chunk ahead of the pixels;
 * - AVIF: `irot` of the primary item (HEIF readers are told to ignore Exif here); not `clap`, a crop;
 * - WebP: nothing, its Exif chunk comes after the pixels, where browsers do not look for an orientation;
 * - GIF has none; its size is that of the logical screen.
 *
 * @param head the file's first bytes, from its very start; it is neither changed nor kept
 * @param complete whether `head` is all there is, or all that will ever be looked at: then the answer is never `more`
 * @returns an answer other than `more` stays the same however many bytes follow. The work is linear in `head` (less
 *   than a tenth of a second for 5 MiB made to be slow), so ask again when the bytes have doubled, not per chunk.
 */
export function identifyImage(head: Uint8Array, complete: boolean): Identified {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength)
  if (bytes.length < LONGEST_SIGNATURE && !complete) return { kind: 'more' }
  const type = readSignature(bytes, complete)
  if (type === 'more' || type === 'heic' || type === 'svg' || type === 'unsupported') return { kind: type }

  const { end, turned, whole } = HEADERS[type](bytes)
  if (!whole && !complete) return { kind: 'more' }
  // Only here, so once per file: the library copies what it is given.
  const size = imageDimensionsFromData(bytes.subarray(0, end))
  if (!size?.width || !size.height) return { kind: 'broken', type }
  const [width, height] = turned ? [size.height, size.width] : [size.width, size.height]
  return { kind: 'image', format: { type, width, height } }
}

/** Bytes: WebP's, whose second half is at offset 8. */
const LONGEST_SIGNATURE = 12

function readSignature(bytes: Buffer, complete: boolean): ImageType | 'heic' | 'svg' | 'unsupported' | 'more' {
  const text = bytes.toString('latin1', 0, LONGEST_SIGNATURE)
  if (text.startsWith('\xff\xd8\xff')) return 'jpg'
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return 'png'
  if (/^GIF8[79]a/.test(text)) return 'gif'
  if (/^RIFF.{4}WEBP/s.test(text)) return 'webp'
  if (/^.{4}ftyp/s.test(text)) return readBrands(bytes, complete)
  return readMarkup(bytes, complete)
}

/** Bytes of a `ftyp` box that are looked at; real ones have 20 to 60. */
const BRANDS_WINDOW = 512
const HEVC_BRANDS = ['heic', 'heix', 'heim', 'heis', 'hevc', 'hevx', 'hevm', 'hevs']

/**
 * Tells AVIF from HEIC by the brands of the file type box (ISO/IEC 14496-12 section 4.3): both are HEIF files, both may
 * claim the codec-neutral `mif1` and `msf1` (ISO/IEC 23008-12 section 10). The major brand has the first word.
 */
function readBrands(bytes: Buffer, complete: boolean): 'avif' | 'heic' | 'unsupported' | 'more' {
  const end = Math.min(bytes.readUInt32BE(0), BRANDS_WINDOW)
  if (bytes.length < end && !complete) return 'more'
  const major = bytes.toString('latin1', 8, 12)
  if (HEVC_BRANDS.includes(major)) return 'heic'
  const brands = [major, ...(bytes.toString('latin1', 16, end).match(/.{4}/gs) ?? [])]
  if (brands.includes('avif') || brands.includes('avis')) return 'avif'
  return brands.some((brand) => HEVC_BRANDS.includes(brand) || brand === 'mif1' || brand === 'msf1')
    ? 'heic'
    : 'unsupported'
}

/** Bytes in which an SVG's first tag is looked for: there may be an editor's comment ahead of it. */
const MARKUP_WINDOW = 8192

/** Finds `<svg`, or a doctype of that name, after the white space, instructions and comments an XML file may begin with. */
function readMarkup(bytes: Buffer, complete: boolean): 'svg' | 'unsupported' | 'more' {
  const text = decode(bytes.subarray(0, MARKUP_WINDOW))
  // Nothing follows the repeated group, so the expression cannot fail and never goes back.
  const rest = text.replace(/^\s*(?:(?:<\?.*?\?>|<!--.*?-->)\s*)*/s, '')
  if (/^<(?:!doctype\s+)?(?:[\w.-]+:)?svg[\s/>[]/i.test(rest)) return 'svg'
  const unfinished = rest === '' || /^<(?:\?|!--|[^>]*$)/.test(rest)
  return unfinished && bytes.length < MARKUP_WINDOW && !complete ? 'more' : 'unsupported'
}

/**
 * UTF-16 by its byte order mark or by a `<` of two bytes (XML 1.0, appendix F), otherwise UTF-8; without the mark, and
 * without a character that is cut off at the end.
 */
function decode(bytes: Buffer): string {
  const start = bytes.toString('latin1', 0, 2)
  const little = start === '\xff\xfe' || start === '<\0'
  const big = start === '\xfe\xff' || start === '\0<'
  return new TextDecoder(little ? 'utf-16le' : big ? 'utf-16be' : 'utf-8').decode(bytes, { stream: true })
}
