import type { Stripped } from '../types.ts'
import { stripIndex } from './avif-index.ts'
import { blank, type Edit, hold, keep, MAX_BLOCK, put } from './editor.ts'
import { stripExif } from './exif.ts'
import { intersect, type Metadata, merge, OutOfReach, planOverwrites, type Range } from './ranges.ts'
import { stripThumbnail } from './thumbnail.ts'
import { stripXmp } from './xmp.ts'

/** Most boxes side by side in a file, of which the rest is removed. Real files have some ten. */
const MAX_FILE_BOXES = 1000

/**
 * Removes metadata from an AVIF (AVIF 1.1, ISO/IEC 14496-12, ISO/IEC 23008-12). Offsets in it count from the start of the file, so every
 * byte stays in its place: Exif and XMP are cleaned where they are, other metadata becomes zeros, and boxes that are not of the picture
 * become `free` ones. Removes what follows the last box, and a second file after the first.
 *
 * @throws {OutOfReach} while the edit runs, if there is metadata before the index that is not in the head any more, or if the
 * index is larger than 256 KiB, or names more than 10,000 places
 */
export function* stripAvif(head: Buffer, what: Stripped): Edit {
  const file: Progress = { at: 0, metadata: [], pictures: [], plan: [], passed: [] }
  const seen = new Set<string>()
  for (let boxes = 0; boxes < MAX_FILE_BOXES; boxes += 1) {
    const header = yield* holdHeader()
    if (!header || (header.type === 'ftyp' && boxes > 0)) return
    const { type, bytes, length } = header
    file.at += bytes.length
    const isFirst = !seen.has(type)
    seen.add(type)
    if (isFirst && (type === 'meta' || type === 'moov')) {
      const isInHead = file.at + length <= head.length
      const content = isInHead ? head.subarray(file.at, file.at + length) : yield* holdIndex(length)
      if (!content) return
      readIndex(file, type, content, isInHead ? head : undefined, what)
      yield put(bytes)
      yield isInHead ? keep(length) : put(content)
      file.at += content.length
    } else if (type === 'mdat' || type === 'ftyp') {
      yield put(bytes)
      yield* overwrite(file.plan, file.at, file.at + length, what)
      if (type === 'mdat') file.passed.push({ start: file.at, end: file.at + length })
      file.at += length
    } else {
      // A box up to the end of the file is removed, unless an index names a picture in it: then only its header is damaged
      if (!Number.isFinite(length) && !file.pictures.some(({ end }) => end > file.at)) return
      bytes.write('free', 4, 'latin1')
      yield put(bytes)
      yield* overwriteBox(file, length, what)
      file.at += length
    }
  }
}

interface Progress {
  /** Offset up to which the file has been read. */
  at: number
  /** Metadata that the indexes name after the end of the last one. */
  metadata: Metadata[]
  /** Pictures that the indexes name, anywhere in the file. */
  pictures: Range[]
  /** What to overwrite after the last index. */
  plan: Metadata[]
  /** Contents of `mdat` and `idat` boxes that have been read. */
  readonly passed: Range[]
}

interface BoxHeader {
  readonly type: string
  readonly bytes: Buffer
  /** Bytes of the content; infinite up to the end of the file. */
  readonly length: number
}

/** Holds the header of a box (ISO/IEC 14496-12 section 4.2). Returns undefined at the end, and for a size that cannot be. */
function* holdHeader(): Edit<BoxHeader | undefined> {
  const start = yield hold(8)
  if (start.length < 8) return undefined
  let size = start.readUInt32BE() || Number.POSITIVE_INFINITY
  const large = yield hold(size === 1 ? 8 : 0)
  if (size === 1) size = large.length < 8 ? 0 : Number(large.readBigUInt64BE())
  const bytes = Buffer.concat([start, large])
  return size < bytes.length ? undefined : { type: start.toString('latin1', 4), bytes, length: size - bytes.length }
}

/**
 * Holds the content of an index. Returns undefined if it is cut off.
 *
 * @throws {OutOfReach} if it is too large
 */
function* holdIndex(length: number): Edit<Buffer | undefined> {
  const content = yield hold(Math.min(length, MAX_BLOCK + 1))
  if (content.length > MAX_BLOCK) throw new OutOfReach()
  return content.length < length && Number.isFinite(length) ? undefined : content
}

/**
 * Cleans an index, and the metadata that it names up to its own end, and plans what to overwrite after that.
 *
 * @param head the start of the file, if the index is in it: once it was written, its memory is somebody else's
 * @throws {OutOfReach} if there is metadata before an index without a head
 */
function readIndex(
  file: Progress,
  type: 'meta' | 'moov',
  content: Buffer,
  head: Buffer | undefined,
  what: Stripped,
): void {
  const { at, passed } = file
  const index = stripIndex(type, content, at, what)
  file.pictures = merge([...file.pictures, ...index.pictures])
  passed.push(...index.data)
  for (const { range, part } of intersect(planOverwrites(index.metadata, file.pictures), passed)) {
    const isBefore = part.start < at
    const bytes = isBefore ? head?.subarray(part.start, part.end) : content.subarray(part.start - at, part.end - at)
    if (!bytes) throw new OutOfReach()
    clean(bytes, part.start === range.start && part.end === range.end ? range.kind : 'other', what)
  }
  file.metadata = [...file.metadata, ...index.metadata].flatMap((entry) => after(at + content.length, entry))
  file.plan = planOverwrites(file.metadata, file.pictures)
}

/** Returns the part of metadata that is not before an offset. */
function after(offset: number, { start, end, kind }: Metadata): Metadata[] {
  if (end <= offset) return []
  return start >= offset ? [{ start, end, kind }] : [{ start: offset, end, kind: 'other' }]
}

/** Passes the next bytes on, and overwrites what the plan says: from `at` on in the file up to `end`. */
function* overwrite(plan: readonly Metadata[], at: number, end: number, what: Stripped): Edit {
  let next = at
  for (const range of plan) {
    if (range.end <= next) continue
    if (range.start >= end) break
    const start = Math.max(range.start, next)
    yield keep(start - next)
    next = Math.min(range.end, end)
    if (range.kind === 'other' || start > range.start || next < range.end) yield blank(next - start)
    else {
      const bytes = yield hold(next - start)
      clean(bytes, range.kind, what)
      yield put(bytes)
    }
  }
  yield keep(end - next)
}

/** Overwrites the content of a box that is not of the picture, except what the index takes for a picture. */
function* overwriteBox({ at, pictures }: Progress, length: number, what: Stripped): Edit {
  const end = at + length
  const inside = pictures.filter((picture) => picture.start < end && picture.end > at)
  yield* overwrite(planOverwrites([{ start: at, end, kind: 'other' }], inside), at, end, what)
}

function clean(bytes: Buffer, kind: Metadata['kind'], what: Stripped): void {
  if (kind === 'exif') stripExifItem(bytes, what)
  else if (kind === 'xmp') stripXmp(bytes, what)
  else if (kind === 'jpeg') stripThumbnail(bytes)
  else bytes.fill(0)
}

const EXIF_NAME = Buffer.from('Exif\0\0')

/**
 * Cleans an Exif item (ISO/IEC 23008-12 annex A.2.1): four bytes with the offset of a TIFF file from their end, often the name that
 * precedes such a file in a JPEG, and the TIFF file.
 */
function stripExifItem(bytes: Buffer, what: Stripped): void {
  const start = bytes.length < 4 ? bytes.length : 4 + bytes.readUInt32BE()
  const before = bytes.subarray(4, start)
  if (start > bytes.length) bytes.fill(0)
  else if (!before.equals(EXIF_NAME)) before.fill(0)
  stripExif(bytes.subarray(start > bytes.length ? 4 : start), what)
}
