import { scanAvif } from './avif.ts'
import { readOrientation } from './exif.ts'
import { NO_BYTES, type Scan, seek, skip, take } from './scan.ts'
import type { Header, ImageType, Orientation, Size } from './types.ts'

/** Read the header of an image from the first byte of the file. Return undefined if it has no size. */
export const HEADERS: Readonly<Record<ImageType, () => Scan<Header | undefined>>> = {
  jpg: scanJpeg,
  png: scanPng,
  gif: scanGif,
  webp: scanWebp,
  avif: scanAvif,
}

/**
 * Reads the segments of a JPEG (ITU-T T.81, annex B) up to the start of the scan. Skips segments by their length, so it never takes the
 * thumbnail in an Exif segment for the image and holds no megabytes of metadata. Skips fill bytes and stray ones, as decoders do.
 */
function* scanJpeg(): Scan<Header | undefined> {
  let size: Size | undefined
  let orientation: Orientation | undefined
  let hasExif = false
  yield* skip(2)
  for (;;) {
    yield* seek(0xff)
    let marker = 0xff
    while (marker === 0xff) marker = (yield* take(1))[0] ?? EOI
    if (marker === EOI || marker === 0xda) break
    // A stray byte, TEM, RST0 to RST7 and SOI have no segment
    if (marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8)) continue
    const length = yield* take(2)
    let left = length.length < 2 ? 0 : length.readUInt16BE() - 2
    if (marker === 0xe1) {
      const segment = yield* take(left)
      left -= segment.length
      // The name is followed by two bytes of 0; decoders accept another second one
      if (!hasExif && segment.toString('latin1', 0, 5) === 'Exif\0') {
        hasExif = true
        orientation = readOrientation(segment.subarray(6))
      }
    } else if (isFrameHeader(marker) && !size) {
      const frame = yield* take(Math.min(left, 5))
      left -= frame.length
      if (frame.length === 5) size = { height: frame.readUInt16BE(1), width: frame.readUInt16BE(3) }
    }
    yield* skip(left)
  }
  return size && { ...size, orientation: orientation ?? 1 }
}

const EOI = 0xd9

/** SOF0 to SOF15, except the three codes of other segments among them. */
function isFrameHeader(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc
}

/** Most bytes of an `eXIf` chunk to read: its first directory comes first. */
const EXIF_WINDOW = 64 * 1024

/** Reads the chunks of a PNG (PNG third edition, section 5.3) up to the first pixels: `IHDR`, which comes first, and `eXIf`. */
function* scanPng(): Scan<Header | undefined> {
  yield* skip(8)
  const header = yield* take(25)
  if (header.length < 16 || header.toString('latin1', 4, 8) !== 'IHDR') return undefined
  const [width, height] = [header.readUInt32BE(8), header.readUInt32BE(12)]
  let orientation: Orientation | undefined
  for (;;) {
    const start = yield* take(8)
    if (start.length < 8) break
    const length = start.readUInt32BE()
    const type = start.toString('latin1', 4)
    if (type === 'IDAT') break
    let content = NO_BYTES
    if (type === 'eXIf') {
      content = yield* take(Math.min(length, EXIF_WINDOW))
      orientation ??= readOrientation(content)
    }
    yield* skip(length - content.length + 4)
  }
  return { width, height, orientation: orientation ?? 1 }
}

/**
 * Reads the logical screen of a GIF (GIF89a section 18) and its first image descriptor (section 20): browsers enlarge the screen to the
 * first frame.
 */
function* scanGif(): Scan<Header | undefined> {
  const screen = yield* take(13)
  if (screen.length < 10) return undefined
  let [width, height] = [screen.readUInt16LE(6), screen.readUInt16LE(8)]
  const flags = screen[10] ?? 0
  // The global color table
  if (flags & 0x80) yield* skip(3 * 2 ** ((flags & 7) + 1))
  for (;;) {
    const separator = (yield* take(1))[0]
    if (separator === 0x2c) {
      const frame = yield* take(8)
      if (frame.length < 8) break
      width = Math.max(width, frame.readUInt16LE(0) + frame.readUInt16LE(4))
      height = Math.max(height, frame.readUInt16LE(2) + frame.readUInt16LE(6))
    }
    if (separator !== 0x21) break
    // The label of an extension, and its blocks, of which the last one is empty
    yield* skip(1)
    for (let length = 1; length > 0; yield* skip(length)) length = (yield* take(1))[0] ?? 0
  }
  return { width, height, orientation: 1 }
}

/**
 * Reads the size in the first chunk of a WebP (RFC 9649 section 2). Browsers ignore the orientation in its Exif chunk, which comes after
 * the pixels.
 */
function* scanWebp(): Scan<Header | undefined> {
  const bytes = yield* take(30)
  const type = bytes.toString('latin1', 12, 16)
  if (type === 'VP8L' && bytes.length >= 25 && bytes[20] === 0x2f) {
    const bits = bytes.readUInt32LE(21)
    return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >> 14) & 0x3fff), orientation: 1 }
  }
  if (bytes.length < 30) return undefined
  if (type === 'VP8X')
    return { width: 1 + bytes.readUIntLE(24, 3), height: 1 + bytes.readUIntLE(27, 3), orientation: 1 }
  // The start code of a key frame (RFC 6386 section 9.1)
  if (type !== 'VP8 ' || bytes.readUIntBE(23, 3) !== 0x9d012a) return undefined
  return { width: bytes.readUInt16LE(26) & 0x3fff, height: bytes.readUInt16LE(28) & 0x3fff, orientation: 1 }
}
