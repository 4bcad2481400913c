import { imageDimensionsFromData } from 'image-dimensions'

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

interface Header {
  /** Bytes of the file's head that hold the size, for the library to read. */
  end: number
  /** Whether the picture is displayed with a quarter turn: its width is the stored height. */
  turned: boolean
  /** Whether nothing that follows can change `end` and `turned`. */
  whole: boolean
}

const HEADERS: Readonly<Record<ImageType, (bytes: Buffer) => Header>> = {
  jpg: jpegHeader,
  png: pngHeader,
  // The logical screen descriptor (GIF89a section 18) up to its height.
  gif: (bytes) => ({ end: 10, turned: false, whole: bytes.length >= 10 }),
  // RIFF header, chunk header and as much of VP8, VP8L or VP8X as the size takes (RFC 9649 section 2).
  webp: (bytes) => ({ end: 30, turned: false, whole: bytes.length >= 30 }),
  avif: avifHeader,
}

/**
 * Walks a JPEG's segments (ITU-T T.81, annex B) to the start of the scan. Segments are skipped by their length, so the
 * thumbnail inside an Exif segment, a JPEG with a size of its own, is never read. Fill bytes and stray ones are skipped
 * as decoders do.
 */
function jpegHeader(bytes: Buffer): Header {
  let turned: boolean | undefined
  let at = 2
  while (at + 4 <= bytes.length) {
    const marker = bytes[at + 1]
    if (bytes[at] !== 0xff || marker === 0xff) {
      at += 1
    } else if (marker === 0x01) {
      at += 2 // TEM has no segment.
    } else if (marker === 0xda) {
      return { end: at, turned: turned ?? false, whole: true }
    } else {
      const next = at + 2 + bytes.readUInt16BE(at + 2)
      if (marker === 0xe1 && bytes.toString('latin1', at + 4, at + 10) === 'Exif\0\0') {
        turned ??= isQuarterTurn(bytes.subarray(at + 10, next))
      }
      at = next
    }
  }
  return { end: bytes.length, turned: turned ?? false, whole: false }
}

/** Walks a PNG's chunks (PNG third edition, section 5.3) to the first pixels. IHDR, always first, ends at byte 33. */
function pngHeader(bytes: Buffer): Header {
  const IDAT = 0x49444154
  const EXIF = 0x65584966
  let turned: boolean | undefined
  let at = 8
  while (at + 8 <= bytes.length) {
    const type = bytes.readUInt32BE(at + 4)
    if (type === IDAT) return { end: 33, turned: turned ?? false, whole: true }
    const next = at + 12 + bytes.readUInt32BE(at)
    if (type === EXIF) turned ??= isQuarterTurn(bytes.subarray(at + 8, next - 4))
    at = next
  }
  return { end: 33, turned: turned ?? false, whole: false }
}

/**
 * Whether Exif data, a TIFF file (TIFF 6.0 section 2), has an Orientation (tag 0x0112, one SHORT) of 5 to 8: those that
 * swap width and height. Undefined: it has none that can be read.
 */
function isQuarterTurn(tiff: Buffer): boolean | undefined {
  const order = tiff.toString('latin1', 0, 4)
  if (tiff.length < 8 || (order !== 'II*\0' && order !== 'MM\0*')) return undefined
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength)
  const little = order === 'II*\0'
  const directory = view.getUint32(4, little)
  if (directory + 2 > tiff.length) return undefined
  const entries = view.getUint16(directory, little)
  for (let at = directory + 2, n = 0; n < entries && at + 12 <= tiff.length; at += 12, n += 1) {
    if (view.getUint16(at, little) !== 0x0112) continue
    if (view.getUint16(at + 2, little) !== 3 || view.getUint32(at + 4, little) !== 1) return undefined
    const orientation = view.getUint16(at + 8, little)
    return orientation >= 5 && orientation <= 8
  }
  return undefined
}

/**
 * Boxes, and bytes of item-property associations, that are read of an AVIF; a grid of 1,000 tiles has some 7,000. The
 * library takes about a microsecond for each, and 5 MiB of associations would overflow its stack.
 */
const AVIF_STEPS = 20_000

/**
 * Walks an AVIF's boxes to the end of `meta`, and looks there for a quarter turn of the primary item: `pitm` names the
 * item, `ipco` lists properties, `ipma` tells whose they are (ISO/IEC 23008-12 section 9.3, ISO/IEC 14496-12 section 8.11).
 */
function avifHeader(bytes: Buffer): Header {
  const budget = { steps: AVIF_STEPS }
  let meta: Box | undefined
  for (const box of readBoxes(bytes, budget)) {
    // What follows must not count, or the answer could change with the length of the head.
    if (box.type === 'meta') {
      meta = box
      break
    }
  }
  if (!meta) return { end: 0, turned: false, whole: budget.steps < 0 }

  let primary: number | undefined
  const turns = new Set<number>()
  const associations: Buffer[] = []
  for (const box of readBoxes(meta.content.subarray(4), budget)) {
    if (box.type === 'pitm') primary = readPrimaryItem(box.content)
    if (box.type !== 'iprp') continue
    for (const part of readBoxes(box.content, budget)) {
      if (part.type === 'ipco') {
        let index = 0
        for (const property of readBoxes(part.content, budget)) {
          index += 1 // properties are counted from 1
          // Section 6.5.10: quarter turns in the two low bits.
          if (property.type === 'irot' && isOdd(property.content[0])) turns.add(index)
        }
      } else if (part.type === 'ipma') {
        budget.steps -= part.content.length
        associations.push(part.content)
      }
    }
  }
  if (budget.steps < 0) return { end: 0, turned: false, whole: true }
  const turned = associations.some((ipma) => readProperties(ipma, primary).some((index) => turns.has(index)))
  return { end: meta.end, turned, whole: true }
}

interface Box {
  type: string
  content: Buffer
  /** Offset of the first byte after the box, from the start of what was read. */
  end: number
}

/** The boxes side by side in `bytes` (ISO/IEC 14496-12 section 4.2); one that does not end in there ends the list. */
function* readBoxes(bytes: Buffer, budget: { steps: number }): Generator<Box> {
  for (let at = 0; at + 8 <= bytes.length && budget.steps >= 0; budget.steps -= 1) {
    const type = bytes.toString('latin1', at + 4, at + 8)
    let start = at + 8
    let size = bytes.readUInt32BE(at)
    if (size === 1 && at + 16 <= bytes.length) {
      start = at + 16
      size = Number(bytes.readBigUInt64BE(at + 8))
    }
    const end = at + size
    if (end < start || end > bytes.length) break
    yield { type, content: bytes.subarray(start, end), end }
    at = end
  }
}

/** The item number in a `pitm` box: 16 bits in its version 0, 32 bits later. */
function readPrimaryItem(pitm: Buffer): number | undefined {
  const length = pitm[0] === 0 ? 2 : 4
  return pitm.length < 4 + length ? undefined : pitm.readUIntBE(4, length)
}

/** The numbers of an item's properties in an `ipma` box (ISO/IEC 14496-12 section 8.11.14). */
function readProperties(ipma: Buffer, item: number | undefined): number[] {
  const idLength = ipma[0] === 0 ? 2 : 4
  const length = isOdd(ipma[3]) ? 2 : 1
  // The top bit says that a reader must know the property.
  const mask = length === 2 ? 0x7fff : 0x7f
  const found: number[] = []
  for (let at = 8; at + idLength < ipma.length; ) {
    const id = ipma.readUIntBE(at, idLength)
    const end = at + idLength + 1 + ipma.readUInt8(at + idLength) * length
    if (end > ipma.length) break
    if (id === item) {
      for (let index = at + idLength + 1; index < end; index += length)
        found.push(ipma.readUIntBE(index, length) & mask)
    }
    at = end
  }
  return found
}

/** False for a byte that is not there. */
function isOdd(byte: number | undefined): boolean {
  return byte !== undefined && byte % 2 === 1
}
