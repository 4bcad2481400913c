/** The images in a file after the first one, by the index of a multi-picture file (CIPA DC-007 section 5.2.3). */
export interface MultiPicture {
  readonly first: Picture
  /** In the order of the file. */
  readonly others: readonly Picture[]
}

interface Picture {
  /** Of 32 bits: what kind of image it is. */
  readonly attribute: number
  readonly bytes: number
  /** From the byte order mark of the index, which follows the name of the segment. */
  readonly offset: number
}

/** Reads the index, which is a TIFF file, in the segment after its name. Returns undefined if it names no other image. */
export function readMultiPicture(tiff: Buffer): MultiPicture | undefined {
  const order = tiff.toString('latin1', 0, 4)
  if (tiff.length < 10 || (order !== 'II*\0' && order !== 'MM\0*')) return undefined
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.length)
  const little = order === 'II*\0'
  const directory = view.getUint32(4, little)
  if (directory + 2 > tiff.length) return undefined
  const last = directory + 2 + 12 * view.getUint16(directory, little)
  for (let at = directory + 2; at < last && at + 12 <= tiff.length; at += 12) {
    if (view.getUint16(at, little) !== 0xb002) continue
    const start = view.getUint32(at + 8, little)
    const end = start + view.getUint32(at + 4, little)
    if (end > tiff.length) return undefined
    const pictures: Picture[] = []
    for (let at = start; at + ENTRY_BYTES <= end; at += ENTRY_BYTES)
      pictures.push({
        attribute: view.getUint32(at, little),
        bytes: view.getUint32(at + 4, little),
        offset: view.getUint32(at + 8, little),
      })
    const [first, ...rest] = pictures
    const others = rest
      .filter(({ offset }) => offset > 0)
      .sort((a, b) => a.offset - b.offset)
      .slice(0, MAX_PICTURES)
    return first && others.length > 0 ? { first, others } : undefined
  }
  return undefined
}

/** Whether a picture is a gain map by its type: undefined in Ultra HDR 1.1, and one of its own in ISO 21496-1. Previews have others. */
export function mayBeGainMap({ attribute }: Picture): boolean {
  const type = attribute & 0xffffff
  return type === 0 || type === 0x050000
}

/** Bytes of an index, from its byte order mark on. */
export function indexBytes({ others }: MultiPicture): number {
  return ENTRIES_AT + ENTRY_BYTES * (1 + others.length)
}

/**
 * Writes an index.
 *
 * @param shrunk by how many bytes the first image has become smaller
 * @param moved by how many bytes the other images have come closer to the index
 */
export function writeMultiPicture(pictures: MultiPicture, shrunk: number, moved: number): Buffer {
  const { first, others } = pictures
  const entries = [{ ...first, bytes: first.bytes - shrunk }, ...others]
  const tiff = Buffer.alloc(indexBytes(pictures))
  tiff.write('4d4d002a000000080003', 'hex')
  // MPFVersion, NumberOfImages and MPEntry; a type and a count come after each tag
  tiff.write('b00000070000000430313030', 10, 'hex')
  tiff.write('b001000400000001', 22, 'hex')
  tiff.writeUInt32BE(entries.length, 30)
  tiff.write('b0020007', 34, 'hex')
  tiff.writeUInt32BE(ENTRY_BYTES * entries.length, 38)
  tiff.writeUInt32BE(ENTRIES_AT, 42)
  for (const [n, { attribute, bytes, offset }] of entries.entries()) {
    const at = ENTRIES_AT + ENTRY_BYTES * n
    tiff.writeUInt32BE(attribute, at)
    tiff.writeUInt32BE(clamp(bytes), at + 4)
    tiff.writeUInt32BE(n === 0 ? 0 : clamp(offset - moved), at + 8)
  }
  return tiff
}

/** A broken index may name bytes beyond what fits into it. */
function clamp(value: number): number {
  return Math.min(Math.max(0, value), 0xffffffff)
}

const ENTRY_BYTES = 16

/** Most images after the first one: cameras write two or three. */
const MAX_PICTURES = 16

/** Where the entries of an index start: after a header, a directory of three, and the offset of the next one. */
const ENTRIES_AT = 8 + 2 + 3 * 12 + 4
