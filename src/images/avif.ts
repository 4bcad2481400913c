import { NO_BYTES, type Scan, skip, take } from './scan.ts'
import type { Header, Size } from './types.ts'

/** What has been read of an AVIF. */
interface Found {
  primary: number | undefined
  /** Item properties (ISO/IEC 14496-12 section 8.11.14), numbered from 1. */
  readonly properties: { readonly type: string; readonly content: Buffer }[]
  readonly associations: Buffer[]
  /** Bytes of the associations. */
  held: number
  track: Size | undefined
}

/** The properties that determine the size of an image, and most bytes of one to read: `clap` is the largest. */
const SIZES = ['ispe', 'clap', 'irot']
const MAX_PROPERTY = 32

/** Most bytes of associations to hold; a grid of 1,000 tiles has some 7,000. */
const MAX_HELD = 256 * 1024

/**
 * Reads the boxes of an AVIF (ISO/IEC 14496-12 section 4.2) up to the one with its size: `meta`, by its primary item, or in a sequence
 * without one `moov`, by its first track of images. Skips boxes before it, including megabytes of `mdat`.
 */
export function* scanAvif(): Scan<Header | undefined> {
  let size: Size | undefined
  yield* scanBoxes(Number.POSITIVE_INFINITY, function* (type, length) {
    if (type !== 'meta' && type !== 'moov') return yield* skipBox(length)
    const found: Found = { primary: undefined, properties: [], associations: [], held: 0, track: undefined }
    const isWhole = yield* type === 'meta' ? scanMeta(length, found) : scanMovie(length, found)
    size = type === 'meta' ? sizeOfPrimary(found) : found.track
    return isWhole && size === undefined
  })
  return size && { ...size, orientation: 1 }
}

/**
 * Visits the boxes in the next bytes.
 *
 * @param length of all boxes together
 * @param visit takes or skips the content of a box, and returns whether to continue
 * @returns whether all bytes were taken or skipped
 */
function* scanBoxes(length: number, visit: (type: string, length: number) => Scan<boolean>): Scan<boolean> {
  let left = length
  while (left >= 8) {
    const start = yield* take(8)
    if (start.length < 8) return false
    const type = start.toString('latin1', 4)
    let size = start.readUInt32BE()
    let header = 8
    if (size === 1) {
      const large = yield* take(8)
      if (large.length < 8) return false
      size = Number(large.readBigUInt64BE())
      header = 16
    } else if (size === 0) size = left
    if (size < header || size > left) return false
    left -= size
    if (!(yield* visit(type, size - header))) return false
  }
  yield* skip(left)
  return true
}

/** Reads a `meta` box (ISO/IEC 14496-12 section 8.11): `pitm` names the primary item, `iprp` has the properties of all items. */
function* scanMeta(length: number, found: Found): Scan<boolean> {
  if (length < 4) return false
  yield* skip(4)
  return yield* scanBoxes(length - 4, function* (type, length) {
    if (type === 'iprp') return yield* scanBoxes(length, (type, length) => scanProperties(type, length, found))
    if (type !== 'pitm') return yield* skipBox(length)
    const pitm = yield* take(Math.min(length, 8))
    found.primary = readPrimaryItem(pitm)
    return yield* skipBox(length - pitm.length)
  })
}

function* scanProperties(type: string, length: number, found: Found): Scan<boolean> {
  if (type === 'ipma') {
    found.held += length
    if (found.held > MAX_HELD) return false
    found.associations.push(Buffer.from(yield* take(length)))
    return true
  }
  if (type !== 'ipco') return yield* skipBox(length)
  return yield* scanBoxes(length, function* (type, length) {
    const content = SIZES.includes(type) ? Buffer.from(yield* take(Math.min(length, MAX_PROPERTY))) : NO_BYTES
    found.properties.push({ type, content })
    return yield* skipBox(length - content.length)
  })
}

/** Reads the size of the first track in a `moov` box whose handler is `pict` or `vide` (ISO/IEC 23008-12 section 7.2). */
function* scanMovie(length: number, found: Found): Scan<boolean> {
  return yield* scanBoxes(length, function* (type, length) {
    if (type !== 'trak' || found.track) return yield* skipBox(length)
    let size: Size | undefined
    return yield* scanBoxes(length, function* (type, length) {
      if (type === 'mdia') return yield* scanBoxes(length, (type, length) => scanHandler(type, length, found, size))
      if (type !== 'tkhd') return yield* skipBox(length)
      const header = yield* take(Math.min(length, 96))
      size = readTrackSize(header) ?? size
      return yield* skipBox(length - header.length)
    })
  })
}

function* scanHandler(type: string, length: number, found: Found, size: Size | undefined): Scan<boolean> {
  if (type !== 'hdlr') return yield* skipBox(length)
  const handler = yield* take(Math.min(length, 12))
  if (['pict', 'vide'].includes(handler.toString('latin1', 8, 12))) found.track ??= size
  return yield* skipBox(length - handler.length)
}

function* skipBox(length: number): Scan<boolean> {
  yield* skip(length)
  return true
}

/**
 * Returns the displayed size of the primary item: its `ispe`, cropped by `clap` and turned by `irot` in the order of its properties
 * (ISO/IEC 23008-12 section 6.5). Readers ignore an Exif orientation here.
 */
function sizeOfPrimary({ primary, properties, associations }: Found): Size | undefined {
  const own = associations.flatMap((ipma) => readAssociations(ipma).get(primary ?? Number.NaN) ?? [])
  let size: Size | undefined
  for (const index of own) {
    const { type, content } = properties[index - 1] ?? {}
    if (!content) continue
    if (type === 'ispe' && content.length >= 12)
      size ??= { width: content.readUInt32BE(4), height: content.readUInt32BE(8) }
    if (!size) continue
    if (type === 'clap') size = crop(size, content)
    // Quarter turns in the two low bits
    if (type === 'irot' && ((content[0] ?? 0) & 1) === 1) size = { width: size.height, height: size.width }
  }
  return size
}

/**
 * Crops a size to a clean aperture (ISO/IEC 14496-12 section 12.1.4): width, height and offset of its center as fractions. Ignores one
 * outside the image.
 */
function crop(size: Size, clap: Buffer): Size {
  if (clap.length < 32) return size
  const [width, height] = [0, 8].map((at) => Math.round(clap.readUInt32BE(at) / clap.readUInt32BE(at + 4))) as [
    number,
    number,
  ]
  const [x, y] = [16, 24].map((at) => clap.readInt32BE(at) / clap.readUInt32BE(at + 4)) as [number, number]
  const fits = (part: number, whole: number, offset: number) => part >= 1 && part / 2 + Math.abs(offset) <= whole / 2
  return fits(width, size.width, x) && fits(height, size.height, y) ? { width, height } : size
}

/** Reads the size in a `tkhd` box (ISO/IEC 14496-12 section 8.3.2): its last two numbers, with 16 bits before the point. */
export function readTrackSize(tkhd: Buffer): Size | undefined {
  if (tkhd.length < 84) return undefined
  return { width: tkhd.readUInt16BE(tkhd.length - 8), height: tkhd.readUInt16BE(tkhd.length - 4) }
}

/** Reads the item number in a `pitm` box: 16 bits in version 0, 32 bits in later ones. */
export function readPrimaryItem(pitm: Buffer): number | undefined {
  const length = pitm[0] === 0 ? 2 : 4
  return pitm.length < 4 + length ? undefined : pitm.readUIntBE(4, length)
}

/** Reads the property numbers of each item in an `ipma` box (ISO/IEC 14496-12 section 8.11.14), without the "essential" bit. */
export function readAssociations(ipma: Buffer): Map<number, number[]> {
  const idLength = ipma[0] === 0 ? 2 : 4
  const length = (ipma[3] ?? 0) & 1 ? 2 : 1
  const mask = length === 2 ? 0x7fff : 0x7f
  const found = new Map<number, number[]>()
  for (let at = 8; at + idLength < ipma.length; ) {
    const id = ipma.readUIntBE(at, idLength)
    const start = at + idLength + 1
    const end = start + ipma.readUInt8(start - 1) * length
    if (end > ipma.length) break
    const properties: number[] = []
    for (let index = start; index < end; index += length) properties.push(ipma.readUIntBE(index, length) & mask)
    found.set(id, properties)
    at = end
  }
  return found
}
