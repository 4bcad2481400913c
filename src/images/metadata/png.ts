import { crc32 } from 'node:zlib'
import { readOrientation } from '../exif.ts'
import type { Stripped } from '../types.ts'
import { hasCoordinates } from './coordinates.ts'
import { drop, type Edit, hold, keep, keepUntil, MAX_BLOCK, MAX_BLOCKS, put } from './editor.ts'
import { ORIENTATION_BYTES, ORIENTATION_WINDOW, stripExif } from './exif.ts'
import { stripXmp } from './xmp.ts'

/**
 * Removes metadata from a PNG (PNG third edition, section 5.3). Keeps the chunks of the picture, with their CRC and in their order.
 * `location` also keeps `tIME`, text, `eXIf` and XMP, the last two cleaned and with a new CRC; `all` also keeps the orientation of `eXIf`.
 * Removes every other chunk, and what follows `IEND`.
 */
export function* stripPng(_head: Buffer, what: Stripped): Edit {
  yield keep(8)
  for (let blocks = 0; blocks < MAX_BLOCKS; ) {
    yield keepUntil(skipPictureChunks)
    const start = yield hold(8)
    if (start.length < 8) return
    const length = start.readUInt32BE()
    const type = start.toString('latin1', 4)
    if (length > MAX_LENGTH) return
    if (type === 'IEND') {
      yield put(END)
      return
    }
    if (!PICTURE.has(type)) blocks += 1
    if (PICTURE.has(type) || (type === 'tIME' && what === 'location')) {
      yield put(start)
      yield keep(length + 4)
    } else if (type === 'eXIf') yield* stripExifChunk(length, what)
    else if (TEXT.has(type) && what === 'location') yield* stripText(start, length)
    else yield drop(length + 4)
  }
}

/** Section 5.3: decoders refuse a longer chunk. */
const MAX_LENGTH = 2 ** 31 - 1

/** An `IEND` chunk, which has no content. */
const END = Buffer.from('0000000049454e44ae426082', 'hex')

/** Chunks of the picture, its colours and its animation (section 4.7, with their older names, and the registered `oFFs`, `sCAL`, `sTER`). */
const PICTURE = new Set(
  'IHDR PLTE IDAT tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI mDCv cLLi bKGD hIST pHYs sPLT acTL fcTL fdAT oFFs sCAL sTER'.split(
    ' ',
  ),
)
const TEXT = new Set(['tEXt', 'zTXt', 'iTXt'])

/** Finds the first chunk that is not of the picture, or is not whole in these bytes. */
function skipPictureChunks(bytes: Buffer, at: number): number {
  while (at + 8 <= bytes.length && PICTURE.has(bytes.toString('latin1', at + 4, at + 8))) {
    const end = at + 12 + bytes.readUInt32BE(at)
    if (end > bytes.length) break
    at = end
  }
  return at
}

/**
 * Removes positions from an `eXIf` chunk. If everything is to be removed, or the chunk is too large to hold, keeps only an orientation
 * other than 1, or removes the chunk if it has none.
 */
function* stripExifChunk(length: number, what: Stripped): Edit {
  const isHeld = length <= MAX_BLOCK
  const tiff = yield hold(isHeld ? length : ORIENTATION_WINDOW)
  yield drop(length - tiff.length)
  // A chunk that is cut off is left out
  if ((yield hold(4)).length < 4) return
  const removed = isHeld ? what : 'all'
  stripExif(tiff, removed)
  if (removed === 'location') yield* putChunk('eXIf', tiff)
  else if ((readOrientation(tiff) ?? 1) > 1) yield* putChunk('eXIf', tiff.subarray(0, ORIENTATION_BYTES))
}

const XMP = 'XML:com.adobe.xmp'
/** Bytes of the longest keyword, and the 0 after it (section 11.3.3.1). */
const KEYWORD_WINDOW = 80

/**
 * Keeps text as it is, with three exceptions. Text with coordinates is removed; compressed text is not searched for them, and of text above
 * 256 KiB only the first 80 bytes are. XMP is cleaned, or removed if it is compressed or too large to hold. Text is removed if its keyword
 * names a place, as ImageMagick's `exif:GPSLatitude` does, or other metadata, such as a profile in hexadecimal digits.
 */
function* stripText(start: Buffer, length: number): Edit {
  const begin = yield hold(Math.min(length, KEYWORD_WINDOW))
  const left = length - begin.length
  const keyword = begin.toString('latin1', 0, begin.indexOf(0)).toLowerCase()
  const isXmp = keyword === XMP.toLowerCase()
  if (isXmp && start.toString('latin1', 4) === 'iTXt' && length <= MAX_BLOCK) {
    const content = Buffer.concat([begin, yield hold(left)])
    const crc = yield hold(4)
    const text = startOfText(content)
    if (text === undefined || crc.length < 4) return
    stripXmp(content.subarray(text), 'location')
    yield* putChunk('iTXt', content)
  } else if (isXmp || begin.indexOf(0) < 1 || HIDDEN.test(keyword)) yield drop(left + 4)
  else {
    const rest = yield hold(length <= MAX_BLOCK ? left : 0)
    const after = left - rest.length + 4
    if (hasCoordinates(Buffer.concat([begin, rest]).toString('latin1'))) yield drop(after)
    else {
      yield put(start)
      yield put(begin)
      yield put(rest)
      yield keep(after)
    }
  }
}

/** Keywords of text that is or can hold a position, in small letters. */
const HIDDEN =
  /^raw profile type|^(xmp|exif|iptc|8bim)$|maker ?note|gps|geo|location|latitude|longitude|altitude|coordinates|place|position|address|city|country|province|state|region|sublocation|(?<![a-z])(lat|lon|lng)(?![a-z])/

/** Returns where the text of an `iTXt` chunk begins (section 11.3.3.4), or undefined if it is compressed or broken. */
function startOfText(content: Buffer): number | undefined {
  const flag = content.indexOf(0) + 1
  if (content[flag] !== 0) return undefined
  // After the flag, the method of compression, and two texts that end with 0
  const language = content.indexOf(0, flag + 2)
  const keyword = language < 0 ? -1 : content.indexOf(0, language + 1)
  return keyword < 0 ? undefined : keyword + 1
}

function* putChunk(type: string, content: Buffer): Edit {
  const chunk = Buffer.alloc(content.length + 12)
  chunk.writeUInt32BE(content.length)
  chunk.write(type, 4, 'latin1')
  content.copy(chunk, 8)
  chunk.writeUInt32BE(crc32(chunk.subarray(4, -4)), chunk.length - 4)
  yield put(chunk)
}
