import { readOrientation } from '../exif.ts'
import type { Stripped } from '../types.ts'
import { hasCoordinates } from './coordinates.ts'
import { merge, type Range } from './ranges.ts'
import { stripThumbnail } from './thumbnail.ts'

/**
 * Removes metadata from Exif data (CIPA DC-008, Exif 3.0), which is a TIFF file (TIFF 6.0 section 2), in place: its length stays.
 *
 * `location` keeps the tags of the standard that cannot hold a position, with their values and the thumbnail. The GPS directory, maker
 * notes, XMP, IPTC and every tag that is not in the list are removed, and bytes that belong to no tag are zeroed. `all` keeps the
 * orientation, if it is not 1. So does either of them if the data cannot be parsed.
 */
export function stripExif(tiff: Buffer, what: Stripped): void {
  if (what === 'all' || !stripLocation(tiff)) keepOrientation(tiff)
}

/** Bytes of Exif data without anything but an orientation: the header of a TIFF file, and a directory of one entry. */
export const ORIENTATION_BYTES = 26

/** Bytes of Exif data too large to hold in which to look for an orientation: the directory that browsers read comes first. */
export const ORIENTATION_WINDOW = 64 * 1024

/** Leaves a first directory with the orientation, or an empty one, and zeros after it. */
function keepOrientation(tiff: Buffer): void {
  const orientation = readOrientation(tiff) ?? 1
  tiff.fill(0)
  Buffer.from('4d4d002a000000080000', 'hex').copy(tiff)
  if (orientation !== 1) Buffer.from(`00010112000300000001000${orientation}0000`, 'hex').copy(tiff, 8)
}

interface Entry {
  readonly tag: number
  readonly type: number
  /** The twelve bytes of the entry. */
  readonly bytes: Buffer
  /** Where the value is, if it does not fit into the entry. Not necessarily inside the data. */
  readonly value: Range | undefined
  /** The value, if it is a single SHORT, LONG or IFD. */
  readonly number: number | undefined
}

interface Directory extends Range {
  entries: Entry[]
  /** Where the next directory is; 0 if there is none. */
  next: number
}

/** Most directories to read, so that a loop ends. Exif data has five: two images, Exif, GPS and interoperability. */
const MAX_DIRECTORIES = 16

/** Most entries of a directory, so that hostile data ends soon. Exif 3.0 defines less than 200 tags. */
const MAX_ENTRIES = 1000

/** Returns false, without a change, if the first directory cannot be read. */
function stripLocation(tiff: Buffer): boolean {
  const order = tiff.toString('latin1', 0, 4)
  if (tiff.length < 8 || (order !== 'II*\0' && order !== 'MM\0*')) return false
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.length)
  const little = order === 'II*\0'
  const kept: Directory[] = []
  const removed: Range[] = []
  let visits = 0

  const collides = (range: Range) =>
    range.start < 8 || range.end > tiff.length || kept.some(({ start, end }) => range.start < end && range.end > start)

  function visit(at: number, isKept: (entry: Entry) => boolean): Directory | undefined {
    if (++visits > MAX_DIRECTORIES) return undefined
    const directory = readDirectory(tiff, view, little, at)
    if (!directory || collides(directory)) return undefined
    kept.push(directory)
    directory.entries = directory.entries.filter((entry) => {
      const child = CHILDREN.get(entry.tag)
      if (child) return entry.number !== undefined && visit(entry.number, child)
      if (entry.tag === GPS && entry.number !== undefined) visitGps(entry.number)
      if (!isKept(entry) && entry.value) removed.push(entry.value)
      return isKept(entry)
    })
    return directory
  }

  function visitGps(at: number): void {
    const directory = ++visits > MAX_DIRECTORIES ? undefined : readDirectory(tiff, view, little, at)
    if (!directory) return
    removed.push(directory)
    for (const { value } of directory.entries) if (value) removed.push(value)
  }

  const first = visit(view.getUint32(4, little), isExifTag)
  if (!first) return false
  const second = first.next ? visit(first.next, isExifTag) : undefined
  if (!second) first.next = 0
  for (const directory of kept) if (directory !== first) directory.next = 0

  let inspected = 0
  /** Texts in the same bytes as others are not read once they are together longer than the data, which would take long. */
  const isHarmless = ({ start, end }: Range) => {
    inspected += end - start
    if (inspected > tiff.length) return false
    // Without the name of the character set that begins a comment, and the zeros of UTF-16
    const text = tiff.toString('latin1', start, end).replace(/^[A-Z]{3,7}\0/, '')
    return !hasCoordinates(text.replaceAll('\0', ''))
  }

  const values: Range[] = []
  const thumbnails: Range[] = []
  for (const directory of kept) {
    for (const pair of THUMBNAILS) {
      const thumbnail = thumbnailOf(directory, pair)
      if (thumbnail && !collides(thumbnail)) thumbnails.push(thumbnail)
      else directory.entries = directory.entries.filter(({ tag }) => !pair.includes(tag))
    }
    directory.entries = directory.entries.filter(
      (entry) => !entry.value || (!collides(entry.value) && (!isText(entry) || isHarmless(entry.value))),
    )
    for (const { value } of directory.entries) if (value) values.push(value)
  }

  const written = kept.map((directory) => ({ at: directory.start, bytes: writeDirectory(directory, little) }))
  zeroOutside(tiff, [...values, ...thumbnails, { start: 0, end: 8 }])
  const inside = removed.filter(({ start, end }) => start >= 8 && end <= tiff.length)
  for (const { start, end } of merge(inside)) tiff.fill(0, start, end)
  for (const { start, end } of thumbnails) stripThumbnail(tiff.subarray(start, end))
  for (const { at, bytes } of written) bytes.copy(tiff, at)
  return true
}

function readDirectory(tiff: Buffer, view: DataView, little: boolean, at: number): Directory | undefined {
  if (at + 2 > tiff.length) return undefined
  const count = view.getUint16(at, little)
  const next = at + 2 + 12 * count
  if (next > tiff.length || count > MAX_ENTRIES) return undefined
  const entries = Array.from({ length: count }, (_, n) => readEntry(tiff, view, little, at + 2 + 12 * n))
  // The last directory of some files ends without the offset of the next one
  if (next + 4 > tiff.length) return { start: at, end: next, entries, next: 0 }
  return { start: at, end: next + 4, entries, next: view.getUint32(next, little) }
}

function readEntry(tiff: Buffer, view: DataView, little: boolean, at: number): Entry {
  const type = view.getUint16(at + 2, little)
  const count = view.getUint32(at + 4, little)
  const bytes = Buffer.from(tiff.subarray(at, at + 12))
  const length = count * (TYPE_BYTES[type] ?? Number.POSITIVE_INFINITY)
  const start = view.getUint32(at + 8, little)
  const isLong = type === 4 || type === 13
  return {
    tag: view.getUint16(at, little),
    type,
    bytes,
    value: length > 4 ? { start, end: start + length } : undefined,
    number: count !== 1 ? undefined : isLong ? start : type === 3 ? view.getUint16(at + 8, little) : undefined,
  }
}

/** Bytes of one value of each type (TIFF 6.0 section 2, Exif 3.0 section 4.6.2). */
const TYPE_BYTES: Readonly<Record<number, number>> = {
  1: 1,
  2: 1,
  3: 2,
  4: 4,
  5: 8,
  6: 1,
  7: 1,
  8: 2,
  9: 4,
  10: 8,
  11: 4,
  12: 8,
  13: 4,
  129: 1,
}

/** Never longer than what was read, since entries only go. */
function writeDirectory({ start, end, entries, next }: Directory, little: boolean): Buffer {
  const bytes = Buffer.alloc(Math.min(end - start, 2 + 12 * entries.length + 4))
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  view.setUint16(0, entries.length, little)
  for (const [n, entry] of entries.entries()) entry.bytes.copy(bytes, 2 + 12 * n)
  if (next) view.setUint32(bytes.length - 4, next, little)
  return bytes
}

/** Returns where the thumbnail is that two tags point to, if it is one piece. */
function thumbnailOf({ entries }: Directory, [offsetTag, lengthTag]: ThumbnailTags): Range | undefined {
  const start = entries.find(({ tag }) => tag === offsetTag)?.number
  const length = entries.find(({ tag }) => tag === lengthTag)?.number
  return start === undefined || length === undefined ? undefined : { start, end: start + length }
}

type ThumbnailTags = readonly [offset: number, length: number]

/** JPEGInterchangeFormat and its length, StripOffsets and StripByteCounts. */
const THUMBNAILS: readonly ThumbnailTags[] = [
  [0x0201, 0x0202],
  [0x0111, 0x0117],
]

function zeroOutside(bytes: Buffer, ranges: Range[]): void {
  let done = 0
  for (const { start, end } of merge(ranges)) {
    bytes.fill(0, done, start)
    done = end
  }
  bytes.fill(0, done)
}

/** ASCII and UTF-8, the user's comment, and Windows' texts. */
function isText({ tag, type }: Entry): boolean {
  return type === 2 || type === 129 || tag === 0x9286 || (tag >= 0x9c9b && tag <= 0x9c9f)
}

const GPS = 0x8825

/** The tags that point to a directory to keep, and the tags to keep there. */
const CHILDREN: ReadonlyMap<number, (entry: Entry) => boolean> = new Map([
  [0x8769, isExifTag],
  [0xa005, isInteropTag],
])

/**
 * InteroperabilityIndex and its like (Exif 3.0 section 4.6.8; DCF 2.0). The first two, of four bytes, have the numbers of GPSLatitudeRef and
 * GPSLatitude: a broken file may have a GPS directory here.
 */
function isInteropTag({ tag, value }: Entry): boolean {
  return ((tag === 0x0001 || tag === 0x0002) && !value) || (tag >= 0x1000 && tag <= 0x1002)
}

function isExifTag({ tag }: Entry): boolean {
  return EXIF_TAGS.some(([first, last]) => tag >= first && tag <= last)
}

/**
 * The tags to keep, first and last of each run (Exif 3.0 section 4.6). Not among them: what can hold a position (GPS, GeoTIFF, XMP, IPTC,
 * Photoshop), what cannot be inspected (maker notes, DNG's private data, PrintIM, Microsoft's padding, DeviceSettingDescription, OECF),
 * the measured surroundings (pressure, depth of water), and directories of further images.
 */
const EXIF_TAGS: readonly (readonly [first: number, last: number])[] = [
  // The image: its kind, size and layout, title, camera, orientation, resolution, software, date, artist, colours, thumbnail
  [0x00fe, 0x0103],
  [0x0106, 0x0107],
  [0x010d, 0x0112],
  [0x0115, 0x0117],
  [0x011a, 0x011d],
  [0x0128, 0x0129],
  [0x012d, 0x012d],
  [0x0131, 0x0132],
  [0x013b, 0x013f],
  [0x0201, 0x0202],
  [0x0211, 0x0214],
  // Rating, copyright, exposure, colour profile, sensitivity
  [0x4746, 0x4746],
  [0x4749, 0x4749],
  [0x8298, 0x8298],
  [0x829a, 0x829a],
  [0x829d, 0x829d],
  [0x8773, 0x8773],
  [0x8822, 0x8822],
  [0x8824, 0x8824],
  [0x8827, 0x8827],
  [0x882a, 0x882b],
  [0x8830, 0x8835],
  // Version, dates, how the photo was taken, the user's comment, Windows' title, comment, author, keywords and subject
  [0x9000, 0x9000],
  [0x9003, 0x9004],
  [0x9010, 0x9012],
  [0x9101, 0x9102],
  [0x9201, 0x920a],
  [0x9214, 0x9214],
  [0x9286, 0x9286],
  [0x9290, 0x9292],
  [0x9c9b, 0x9c9f],
  // Colour space, pixel size, sensor, scene, lens, owner, composite images, gamma
  [0xa000, 0xa004],
  [0xa20b, 0xa20b],
  [0xa20e, 0xa210],
  [0xa214, 0xa217],
  [0xa300, 0xa302],
  [0xa401, 0xa40a],
  [0xa40c, 0xa40c],
  [0xa420, 0xa420],
  [0xa430, 0xa43c],
  [0xa460, 0xa462],
  [0xa500, 0xa500],
]
