import { NO_BYTES } from '../scan.ts'
import { hasCoordinates } from './coordinates.ts'
import { stripThumbnail } from './thumbnail.ts'

/**
 * Removes positions from Photoshop's image resources (Adobe Photoshop File Formats, "Image Resource Blocks"). Keeps the resolution, the
 * thumbnails, the copyright flag, the URL, and IPTC without its places. Other resources go: they describe how to print the image, hold
 * Exif data or XMP a second time, or cannot be inspected. Returns no bytes if nothing is left or the resources cannot be parsed.
 */
export function stripPhotoshop(resources: Buffer): Buffer {
  const kept: Buffer[] = []
  for (let at = 0; at < resources.length; ) {
    if (at + 12 > resources.length || resources.toString('latin1', at, at + 4) !== '8BIM') return NO_BYTES
    const id = resources.readUInt16BE(at + 4)
    // After a name with its length, padded to an even number of bytes as the content is
    const start = at + 6 + even(1 + resources.readUInt8(at + 6)) + 4
    if (start > resources.length) return NO_BYTES
    const end = start + resources.readUInt32BE(start - 4)
    if (end > resources.length) return NO_BYTES
    const content = contentOf(id, resources.subarray(start, end))
    if (content.length > 0) kept.push(writeResource(id, content))
    at = even(end)
  }
  return Buffer.concat(kept)
}

function contentOf(id: number, content: Buffer): Buffer {
  if (id === 0x0404) return stripIptc(content)
  if (id !== 0x0409 && id !== 0x040c) return KEPT_RESOURCES.has(id) ? content : NO_BYTES
  // A thumbnail is a JPEG after a header of 28 bytes
  const thumbnail = Buffer.from(content)
  stripThumbnail(thumbnail.subarray(28))
  return thumbnail
}

/** ResolutionInfo, CopyrightFlag and URL. */
const KEPT_RESOURCES: ReadonlySet<number> = new Set([0x03ed, 0x040a, 0x040b])

function writeResource(id: number, content: Buffer): Buffer {
  const resource = Buffer.alloc(12 + even(content.length))
  resource.write('8BIM', 'latin1')
  resource.writeUInt16BE(id, 4)
  resource.writeUInt32BE(content.length, 8)
  content.copy(resource, 12)
  return resource
}

/**
 * Removes the places, and texts with coordinates, from IPTC datasets (IPTC-NAA IIM 4.2, chapters 1, 5 and 6). Keeps the other datasets
 * that IIM defines, except previews. Returns no bytes if the datasets cannot be parsed.
 */
export function stripIptc(datasets: Buffer): Buffer {
  const kept: Buffer[] = []
  let at = 0
  while (at + 5 <= datasets.length && datasets[at] === 0x1c) {
    const record = datasets.readUInt8(at + 1)
    const number = datasets.readUInt8(at + 2)
    const length = datasets.readUInt16BE(at + 3)
    const end = at + 5 + length
    // The length of an extended dataset (section 1.5.c), of 32 KiB or more, has a length of its own
    if (length >= 0x8000 || end > datasets.length) return NO_BYTES
    const isOfPhoto = record === 2 && number <= 187 && !PLACES.has(number)
    if (record === 1 || (isOfPhoto && !hasCoordinates(datasets.toString('latin1', at + 5, end))))
      kept.push(datasets.subarray(at, end))
    at = end
  }
  // Some writers pad with zeros
  return datasets.subarray(at).some((byte) => byte !== 0) ? NO_BYTES : Buffer.concat(kept)
}

/**
 * Datasets of record 2: content location code and name, city, sublocation, province or state, country code and name, and the original
 * transmission reference, "a code representing the location of original transmission".
 */
const PLACES: ReadonlySet<number> = new Set([26, 27, 90, 92, 95, 100, 101, 103])

function even(length: number): number {
  return length + (length & 1)
}
