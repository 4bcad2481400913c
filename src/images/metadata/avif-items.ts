import { MAX_BOXES, readBoxes } from '../boxes.ts'
import { type Metadata, OutOfReach, type Range } from './ranges.ts'

/** What an `infe` box says of an item. */
export interface Item {
  readonly type: string
  /** How to clean it; undefined if it is not known what it holds. */
  readonly kind: Exclude<Metadata['kind'], 'other'> | undefined
  /** Gives it a type that no reader knows, in place. */
  readonly hide: () => void
}

/**
 * Reads an `iinf` box (ISO/IEC 14496-12 section 8.11.6). Hides a second item of the same number, in place.
 *
 * @throws {OutOfReach} if there are more than 10,000
 */
export function readItemTypes(iinf: Buffer): Map<number, Item> {
  const items = new Map<number, Item>()
  const boxes = readBoxes(iinf.subarray(iinf[0] === 0 ? 6 : 8))
  if (boxes.length === MAX_BOXES) throw new OutOfReach()
  for (const { type, content } of boxes) {
    const idLength = content[0] === 3 ? 4 : 2
    const at = 6 + idLength
    if (type !== 'infe' || content.length < at + 4) continue
    const id = content.readUIntBE(4, idLength)
    // Older versions have a name instead of a type, and are not used for images
    const hasType = content[0] === 2 || content[0] === 3
    const itemType = hasType ? content.toString('latin1', at, at + 4) : ''
    const hide = () => {
      content.fill(0, hasType ? at : at - 2)
      if (hasType) content.write('free', at, 'latin1')
    }
    if (items.has(id)) hide()
    else items.set(id, { type: itemType, kind: kindOf(itemType, content.subarray(at + 4)), hide })
  }
  return items
}

/** @param texts the item's name, and for `mime` its media type and encoding, which all end with 0 */
function kindOf(type: string, texts: Buffer): Item['kind'] {
  if (type === 'Exif') return 'exif'
  // Such as a thumbnail, which can have Exif data of its own
  if (type === 'jpeg') return 'jpeg'
  const [, mediaType, encoding] = texts.toString('latin1').split('\0')
  return type === 'mime' && mediaType === 'application/rdf+xml' && !encoding ? 'xmp' : undefined
}

/**
 * Reads an `iloc` box (section 8.11.3): where each item is. Takes what would be in another file for bytes of this one, as some readers do,
 * and leaves out what is in another item, which browsers do not read.
 *
 * @param idat where the content of the `idat` box is, if there is one
 */
export function* readLocations(iloc: Buffer, idat: Range | undefined): Generator<{ id: number; extents: Range[] }> {
  const version = iloc[0] ?? 0
  const sizes = iloc.length < 8 ? 0 : iloc.readUInt16BE(4)
  const [offsetSize, lengthSize, baseSize] = [sizes >> 12, (sizes >> 8) & 15, (sizes >> 4) & 15]
  const indexSize = version === 0 ? 0 : sizes & 15
  if (version > 2 || [offsetSize, lengthSize, baseSize, indexSize].some((size) => size % 4 !== 0 || size > 8)) return
  let at = 6
  const read = (size: number): number => {
    at += size
    if (size === 0 || at > iloc.length) return 0
    return size === 8 ? Number(iloc.readBigUInt64BE(at - 8)) : iloc.readUIntBE(at - size, size)
  }
  const idLength = version === 2 ? 4 : 2
  for (let items = read(idLength); items > 0 && at < iloc.length; items -= 1) {
    const id = read(idLength)
    const method = version === 0 ? 0 : read(2) & 15
    // The number of a data reference, which would be another file
    read(2)
    const base = read(baseSize)
    const extents: Range[] = []
    const count = read(2)
    for (let extent = 0; extent < count && at <= iloc.length; extent += 1) {
      read(indexSize)
      const offset = base + read(offsetSize)
      const length = read(lengthSize)
      // Without a length, up to the end
      const range = { start: offset, end: length === 0 ? Number.POSITIVE_INFINITY : offset + length }
      const found = method === 1 ? within(range, idat) : range
      if (found && method < 2 && at <= iloc.length) extents.push(found)
      if (indexSize + offsetSize + lengthSize === 0) break
    }
    yield { id, extents }
  }
}

function within(range: Range, idat: Range | undefined): Range | undefined {
  return idat && { start: idat.start + range.start, end: Math.min(idat.start + range.end, idat.end) }
}

/** Reads the items that are thumbnails of others from an `iref` box (section 8.11.12). */
export function readThumbnails(iref: Buffer): Set<number> {
  const idLength = iref[0] === 0 ? 2 : 4
  const references = readBoxes(iref.subarray(4)).filter(({ type, content }) => type === 'thmb' && content.length >= 4)
  return new Set(references.map(({ content }) => content.readUIntBE(0, idLength)))
}
