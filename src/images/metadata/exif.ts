import { readOrientation } from '../exif.ts'
import type { Stripped } from '../types.ts'
import { hasCoordinates } from './coordinates.ts'
import { merge, type Range } from './ranges.ts'
import { stripThumbnail } from './thumbnail.ts'

/**
 * Removes metadata from Exif data (CIPA DC-008, Exif 3.0), which is a TIFF file (TIFF 6.0 section 2), in place: its length stays.
 *
 * `location` keeps the tags of the standard that cannot hold a position, with their values and the thumbnail. The GPS directory, maker
 * notes, XMP, IPTC and every tag that is not in the list are removed, and bytes that belong to no tag are zeroed. `all` keeps only an
 * orientation other than 1, and so does `location` if the data cannot be parsed.
 */
export function stripExif(tiff: Buffer, what: Stripped): void {
  if (what === 'all' || !stripLocation(tiff)) keepOrientation(tiff)
}

/** Length in bytes of Exif data that has only an orientation: the header of a TIFF file, and a directory of one entry. */
export const ORIENTATION_BYTES = 26

/** Most bytes to search for an orientation in Exif data that is too large to hold: the directory that browsers read comes first. */
export const ORIENTATION_WINDOW = 64 * 1024

/** Leaves a first directory with the orientation, or an empty one, and zeros after it. */
function keepOrientation(tiff: Buffer): void {
  const orientation = readOrientation(tiff) ?? 1
  tiff.fill(0)
  Buffer.from('4d4d002a000000080000', 'hex').copy(tiff)
  if (orientation !== 1) Buffer.from(`00010112000300000001000${orientation}0000`, 'hex').copy(tiff, 8)
}

interface Directory extends Range {
  /** Where the entries to keep start. */
  entries: number[]
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
  const reader = new Reader(tiff, order === 'II*\0')
  const kept: Directory[] = []
  const removed: Range[] = []
  let visits = 0

  const collides = ({ start, end }: Range) => {
    if (start < 8 || end > tiff.length) return true
    for (const directory of kept) if (start < directory.end && end > directory.start) return true
    return false
  }

  function visit(at: number, isKept: EntryFilter): Directory | undefined {
    const directory = ++visits > MAX_DIRECTORIES ? undefined : reader.directory(at)
    if (!directory || collides(directory)) return undefined
    kept.push(directory)
    directory.entries = directory.entries.filter((entry) => {
      const tag = reader.tag(entry)
      const child = CHILDREN.get(tag)
      if (child) {
        const start = reader.number(entry)
        return start !== undefined && visit(start, child) !== undefined
      }
      if (tag === GPS) visitGps(reader.number(entry))
      if (isKept(tag, entry, reader)) return true
      const value = reader.value(entry)
      if (value) removed.push(value)
      return false
    })
    return directory
  }

  function visitGps(at: number | undefined): void {
    if (at === undefined) return
    const directory = ++visits > MAX_DIRECTORIES ? undefined : reader.directory(at)
    if (!directory) return
    removed.push(directory)
    for (const entry of directory.entries) {
      const value = reader.value(entry)
      if (value) removed.push(value)
    }
  }

  const first = visit(reader.long(4), isExifTag)
  if (!first) return false
  const second = first.next ? visit(first.next, isExifTag) : undefined
  if (!second) first.next = 0
  for (const directory of kept) if (directory !== first) directory.next = 0

  let inspected = 0
  /**
   * Returns whether a text has no coordinates. Returns false once the texts are together longer than the data: then they overlap, and
   * reading each of them would take long.
   */
  const isHarmless = ({ start, end }: Range) => {
    inspected += end - start
    if (inspected > tiff.length) return false
    // Without the name of the character set that begins a comment, and the zeros of UTF-16
    const text = tiff.toString('latin1', start, end).replace(/^[A-Z]{3,7}\0/, '')
    return !hasCoordinates(text.replaceAll('\0', ''))
  }

  const values: Range[] = [{ start: 0, end: 8 }]
  const thumbnails: Range[] = []
  for (const directory of kept) {
    for (const [offset, bytes] of THUMBNAILS) {
      const start = reader.find(directory, offset)
      const length = reader.find(directory, bytes)
      if (start === undefined && length === undefined) continue
      const thumbnail = reader.range(start, length)
      if (thumbnail && !collides(thumbnail)) thumbnails.push(thumbnail)
      else directory.entries = directory.entries.filter((entry) => ![offset, bytes].includes(reader.tag(entry)))
    }
    directory.entries = directory.entries.filter((entry) => {
      const value = reader.value(entry)
      if (!value) return true
      if (collides(value) || (reader.isText(entry) && !isHarmless(value))) return false
      values.push(value)
      return true
    })
  }

  const directories = kept.map(({ start, end }) => Buffer.from(tiff.subarray(start, end)))
  zeroOutside(tiff, [...values, ...thumbnails])
  const inside = removed.filter(({ start, end }) => start >= 8 && end <= tiff.length)
  for (const { start, end } of merge(inside)) tiff.fill(0, start, end)
  for (const { start, end } of thumbnails) stripThumbnail(tiff.subarray(start, end))
  for (const [n, directory] of kept.entries()) reader.write(directory, directories[n] as Buffer)
  return true
}

/** Reads and writes directories. An entry is the index of its first byte: an object for each would cost more than all the rest. */
class Reader {
  readonly #tiff: Buffer
  readonly #view: DataView
  readonly #little: boolean

  constructor(tiff: Buffer, little: boolean) {
    this.#tiff = tiff
    this.#view = new DataView(tiff.buffer, tiff.byteOffset, tiff.length)
    this.#little = little
  }

  short(at: number): number {
    return this.#view.getUint16(at, this.#little)
  }

  long(at: number): number {
    return this.#view.getUint32(at, this.#little)
  }

  /** Returns a directory with all its entries, or undefined if it is not whole. */
  directory(start: number): Directory | undefined {
    const { length } = this.#tiff
    if (start + 2 > length) return undefined
    const count = this.short(start)
    const next = start + 2 + 12 * count
    if (next > length || count > MAX_ENTRIES) return undefined
    const entries: number[] = []
    for (let at = start + 2; at < next; at += 12) entries.push(at)
    // The last directory of some files ends without the offset of the next one
    if (next + 4 > length) return { start, end: next, entries, next: 0 }
    return { start, end: next + 4, entries, next: this.long(next) }
  }

  tag(entry: number): number {
    return this.short(entry)
  }

  /** Returns the first entry with a tag. */
  find({ entries }: Directory, tag: number): number | undefined {
    for (const entry of entries) if (this.tag(entry) === tag) return entry
    return undefined
  }

  /** Returns where the value is, if it does not fit into the entry. Not necessarily inside the data. */
  value(entry: number): Range | undefined {
    const length = this.long(entry + 4) * (TYPE_BYTES[this.short(entry + 2)] ?? Number.POSITIVE_INFINITY)
    if (!(length > 4)) return undefined
    const start = this.long(entry + 8)
    return { start, end: start + length }
  }

  /** Returns the value, if it is a single SHORT, LONG or IFD. */
  number(entry: number): number | undefined {
    if (this.long(entry + 4) !== 1) return undefined
    const type = this.short(entry + 2)
    if (type === 4 || type === 13) return this.long(entry + 8)
    return type === 3 ? this.short(entry + 8) : undefined
  }

  /** Returns the bytes to which two entries point, if they are one piece. */
  range(offset: number | undefined, bytes: number | undefined): Range | undefined {
    const start = offset === undefined ? undefined : this.number(offset)
    const length = bytes === undefined ? undefined : this.number(bytes)
    return start === undefined || length === undefined ? undefined : { start, end: start + length }
  }

  /** Returns whether the value is ASCII or UTF-8, the user's comment, or one of Windows' texts. */
  isText(entry: number): boolean {
    const type = this.short(entry + 2)
    const tag = this.tag(entry)
    return type === 2 || type === 129 || tag === 0x9286 || (tag >= 0x9c9b && tag <= 0x9c9f)
  }

  /**
   * Writes a directory with the entries to keep, never longer than what was read. The bytes in its place are zeros.
   *
   * @param before its bytes as they were read
   */
  write({ start, entries, next }: Directory, before: Buffer): void {
    let at = start + 2
    this.#view.setUint16(start, entries.length, this.#little)
    for (const entry of entries) {
      before.copy(this.#tiff, at, entry - start, entry - start + 12)
      at += 12
    }
    if (next) this.#view.setUint32(at, next, this.#little)
  }
}

/** Returns whether to keep an entry. */
type EntryFilter = (tag: number, entry: number, reader: Reader) => boolean

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

const GPS = 0x8825

/** The tags that point to a directory to keep, and the tags to keep there. */
const CHILDREN: ReadonlyMap<number, EntryFilter> = new Map([
  [0x8769, isExifTag],
  [0xa005, isInteropTag],
])

/**
 * InteroperabilityIndex and its like (Exif 3.0 section 4.6.8; DCF 2.0). The first two, of four bytes, have the numbers of GPSLatitudeRef and
 * GPSLatitude: a broken file may have a GPS directory here.
 */
function isInteropTag(tag: number, entry: number, reader: Reader): boolean {
  return ((tag === 0x0001 || tag === 0x0002) && !reader.value(entry)) || (tag >= 0x1000 && tag <= 0x1002)
}

function isExifTag(tag: number): boolean {
  return EXIF_TAGS.has(tag)
}

/**
 * The tags to keep, first and last of each run (Exif 3.0 section 4.6). Not among them: what can hold a position (GPS, GeoTIFF, XMP, IPTC,
 * Photoshop), what cannot be inspected (maker notes, DNG's private data, PrintIM, Microsoft's padding, DeviceSettingDescription, OECF),
 * the measured surroundings (pressure, depth of water), and directories of further images.
 */
const EXIF_TAGS: ReadonlySet<number> = ofRuns([
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
])

function ofRuns(runs: readonly (readonly [first: number, last: number])[]): Set<number> {
  const tags = new Set<number>()
  for (const [first, last] of runs) for (let tag = first; tag <= last; tag += 1) tags.add(tag)
  return tags
}
