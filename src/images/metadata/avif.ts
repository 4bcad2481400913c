import { UnremovableMetadata } from '../../errors.ts'
import { type Index, stripIndex } from './avif-index.ts'
import { blank, type Edit, hold, keep, MAX_BLOCK, put } from './editor.ts'
import { stripExif } from './exif.ts'
import { intersect, type Metadata, planOverwrites, type Range } from './ranges.ts'
import type { Stripped } from './strip.ts'
import { stripXmp } from './xmp.ts'

/** Most boxes side by side in a file, of which the rest is removed. Real files have some ten. */
const MAX_FILE_BOXES = 10_000

/**
 * Removes metadata from an AVIF (AVIF 1.1, ISO/IEC 14496-12, ISO/IEC 23008-12). Offsets in it count from the start of the file, so every
 * byte stays in its place: Exif and XMP are cleaned where they are, other metadata becomes zeros, and boxes that are not of the picture
 * become `free` ones. Removes what follows the last box, and a second file after the first.
 *
 * @throws {UnremovableMetadata} while the edit runs, if there is metadata before the index that is not in the head any more, or if the
 * index is larger than 256 KiB
 */
export function* stripAvif(head: Buffer, what: Stripped): Edit {
  /** What is known of the bytes that follow. */
  const ahead = { metadata: [] as Metadata[], pictures: [] as Range[] }
  let plan: Metadata[] = []
  /** Where data was that is not needed by the index. */
  const passed: Range[] = []
  let at = 0
  for (let boxes = 0; boxes < MAX_FILE_BOXES; boxes += 1) {
    const header = yield* holdHeader()
    if (!header || (header.type === 'ftyp' && boxes > 0)) return
    const { type, bytes, length } = header
    at += bytes.length
    const end = at + length
    if (type === 'meta' || type === 'moov') {
      const isInHead = end <= head.length
      const content = isInHead ? head.subarray(at, end) : yield* hold(Math.min(length, MAX_BLOCK + 1))
      if (!isInHead && content.length > MAX_BLOCK) throw new UnremovableMetadata()
      if (content.length < length && Number.isFinite(length)) return
      const index = stripIndex(type, content, at, what)
      ahead.pictures = [...ahead.pictures, ...index.pictures]
      passed.push(...index.data)
      overwriteBehind(index, ahead.pictures, passed, what, (part) => {
        if (part.start >= at) return content.subarray(part.start - at, part.end - at)
        // Once the head was written, it is somebody else's
        if (!isInHead) throw new UnremovableMetadata()
        return head.subarray(part.start, part.end)
      })
      at += content.length
      ahead.metadata = [...ahead.metadata, ...index.metadata].flatMap((entry) => after(at, entry))
      plan = planOverwrites(ahead.metadata, ahead.pictures)
      yield* put(bytes)
      yield* isInHead ? keep(content.length) : put(content)
    } else if (type === 'mdat' || type === 'ftyp') {
      yield* put(bytes)
      yield* overwrite(plan, at, end, what)
      if (type === 'mdat') passed.push({ start: at, end })
      at = end
    } else {
      if (!Number.isFinite(length)) return
      bytes.write('free', 4, 'latin1')
      yield* put(bytes)
      yield* overwrite(planOverwrites([{ start: at, end, kind: 'other' }], ahead.pictures), at, end, what)
      at = end
    }
  }
}

interface BoxHeader {
  readonly type: string
  readonly bytes: Buffer
  /** Bytes of the content; infinite up to the end of the file. */
  readonly length: number
}

/** Holds the header of a box (ISO/IEC 14496-12 section 4.2). Returns undefined at the end, and for a size that cannot be. */
function* holdHeader(): Edit<BoxHeader | undefined> {
  const start = yield* hold(8)
  if (start.length < 8) return undefined
  let size = start.readUInt32BE() || Number.POSITIVE_INFINITY
  const large = yield* hold(size === 1 ? 8 : 0)
  if (size === 1) size = large.length < 8 ? 0 : Number(large.readBigUInt64BE())
  const bytes = Buffer.concat([start, large])
  return size < bytes.length ? undefined : { type: start.toString('latin1', 4), bytes, length: size - bytes.length }
}

/**
 * Overwrites metadata before the end of its index.
 *
 * @param data where the file has data that is not an index, so far
 * @param bytesOf returns the memory of a range that is still to be written
 */
function overwriteBehind(
  { metadata }: Index,
  pictures: readonly Range[],
  data: readonly Range[],
  what: Stripped,
  bytesOf: (part: Range) => Buffer,
): void {
  for (const { range, part } of intersect(planOverwrites(metadata, pictures), data)) {
    const isWhole = part.start === range.start && part.end === range.end
    clean(bytesOf(part), isWhole ? range.kind : 'other', what)
  }
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
    yield* keep(start - next)
    next = Math.min(range.end, end)
    if (range.kind === 'other' || start > range.start || next < range.end) yield* blank(next - start)
    else {
      const bytes = yield* hold(next - start)
      clean(bytes, range.kind, what)
      yield* put(bytes)
    }
  }
  yield* keep(end - next)
}

function clean(bytes: Buffer, kind: Metadata['kind'], what: Stripped): void {
  if (kind === 'exif') stripExifItem(bytes, what)
  else if (kind === 'xmp') stripXmp(bytes, what)
  else bytes.fill(0)
}

const EXIF_NAME = Buffer.from('Exif\0\0')

/** Cleans an Exif item (ISO/IEC 23008-12 annex A.2.1): an offset, up to that often a name as in a JPEG, and then a TIFF file. */
function stripExifItem(bytes: Buffer, what: Stripped): void {
  const start = bytes.length < 4 ? bytes.length : 4 + bytes.readUInt32BE()
  const before = bytes.subarray(4, start)
  if (start > bytes.length) bytes.fill(0)
  else if (!before.equals(EXIF_NAME)) before.fill(0)
  stripExif(bytes.subarray(start > bytes.length ? 4 : start), what)
}
