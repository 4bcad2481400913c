import type { ImageType } from './image-format.ts'

/** Where an image's header ends, and how the image is turned: what `image-dimensions` does not tell. */
interface Header {
  /** Bytes of the file's head that hold the size, for the library to read. */
  end: number
  /** Whether the picture is displayed with a quarter turn: its width is the stored height. */
  turned: boolean
  /** Whether nothing that follows can change `end` and `turned`. */
  whole: boolean
}

export const HEADERS: Readonly<Record<ImageType, (bytes: Buffer) => Header>> = {
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
