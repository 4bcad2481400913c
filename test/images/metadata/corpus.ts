import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ImageType } from '../../../src/images/types.ts'
import { exiftool, isPosition } from '../../support/exiftool.ts'
import { ALL, sample } from '../../support/extent.ts'
import { makeImage } from '../../support/images.ts'

/** An image with metadata. */
export interface Specimen {
  readonly type: ImageType
  /** What kind of metadata. */
  readonly what: string
  readonly bytes: Buffer
}

/** The text of each tag that names a place, and nothing else. */
export const PLACE = 'Atlantis'
/** The beginning of the latitude as XMP writes it, in degrees and minutes. */
export const LATITUDE = '47,59.2'
const DEGREES = '47.98765432'

/** What the same image says of anything else, which stays unless all metadata is removed. */
export const KEPT = { Artist: 'Plato', Copyright: 'Public domain', Model: 'Trireme' }

export const TYPES: readonly ImageType[] = ['jpg', 'png', 'gif', 'webp', 'avif']

/**
 * Makes images of the five formats with the metadata of a photo, with maker notes of nine brands, and with another image after their end;
 * in `npm run test:all` also with each tag that exiftool can write, from its own tables.
 */
export async function makeSpecimens(): Promise<Specimen[]> {
  const folder = await mkdtemp(join(tmpdir(), 'specimens-'))
  const path = (name: string) => join(folder, name)
  try {
    const images = await Promise.all(
      TYPES.map(async (type) => ({ type, bytes: await makeImage({ type, width: 64, height: 48 }) })),
    )
    images.push(
      { type: 'gif', bytes: await makeImage({ type: 'gif', width: 16, height: 12, animated: true }) },
      { type: 'webp', bytes: await makeImage({ type: 'webp', width: 16, height: 12, animated: true }) },
      { type: 'jpg', bytes: await makeImage({ type: 'jpg', width: 64, height: 48, progressive: true }) },
    )
    const [jpeg] = images
    if (!jpeg) return []
    const sources: string[] = []
    /** Adds a JPEG whose metadata every image gets. */
    const source = async (what: string, bytes: Buffer, ...options: readonly string[]) => {
      sources.push(what)
      await writeFile(path(`${what}.source`), bytes)
      if (options.length === 0) return
      await writeFile(path('options'), options.join('\n'))
      await exiftool('-m', '-q', '-overwrite_original', '-@', path('options'), path(`${what}.source`))
    }
    await source('camera', jpeg.bytes, ...CAMERA)
    if (ALL) await source('every tag', jpeg.bytes, ...(await allTags()))
    for (const [brand, note] of sample(Object.entries(MAKER_NOTES), 2)) {
      await source(brand, withExif(jpeg.bytes, brand, note))
    }
    const copies = sources.flatMap((what) =>
      images.map(({ type, bytes }, index) => ({ type, what, bytes, path: path(`${what}-${index}.${type}`) })),
    )
    await Promise.all(copies.map(({ path, bytes }) => writeFile(path, bytes)))
    // One process for all of them
    const orders = sources.map((what) => [
      ...['-m', '-q', '-overwrite_original', '-tagsFromFile', path(`${what}.source`), '-EXIF', '-XMP', '-IPTC'],
      ...copies.filter((copy) => copy.what === what).map((copy) => copy.path),
    ])
    await writeFile(path('orders'), orders.map((options) => options.join('\n')).join('\n-execute\n'))
    await exiftool('-@', path('orders'))
    const specimens = await Promise.all(
      copies.map(async ({ type, what, path }): Promise<Specimen> => ({ type, what, bytes: await readFile(path) })),
    )
    const photo = specimens.find(({ what }) => what === 'camera')?.bytes ?? Buffer.alloc(0)
    for (const { type, bytes } of images) {
      specimens.push({ type, what: 'an image after its end', bytes: Buffer.concat([bytes, photo]) })
    }
    return specimens
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** Metadata of an ordinary photo, which programs have completed. */
const CAMERA = [
  ...Object.entries(KEPT).map(([tag, text]) => `-EXIF:${tag}=${text}`),
  '-EXIF:Make=Argo',
  '-EXIF:Orientation#=6',
  '-EXIF:DateTimeOriginal=2024:03:20 10:30:00',
  '-EXIF:ISO=200',
  '-EXIF:FNumber=2.8',
  ...['EXIF', 'XMP'].flatMap((group) => [
    `-${group}:GPSLatitude=${DEGREES}`,
    `-${group}:GPSLongitude=${DEGREES}`,
    `-${group}:GPSAltitude=8`,
    `-${group}:GPSAreaInformation=${PLACE}`,
  ]),
  `-EXIF:GPSProcessingMethod=${PLACE}`,
  '-EXIF:GPSLatitudeRef=N',
  '-EXIF:GPSLongitudeRef=E',
  ...['City', 'State', 'Country'].map((tag) => `-XMP-photoshop:${tag}=${PLACE}`),
  `-XMP-iptcCore:Location=${PLACE}`,
  `-XMP-iptcExt:LocationCreatedCity=${PLACE}`,
  `-XMP-iptcExt:LocationShownGPSLatitude=${DEGREES}`,
  `-XMP-dc:Creator=${KEPT.Artist}`,
  '-XMP-dc:Title=Ships',
  `-IPTC:City=${PLACE}`,
  `-IPTC:Sub-location=${PLACE}`,
  `-IPTC:By-line=${KEPT.Artist}`,
]

/** Returns options that write each tag that exiftool can write. What does not fit a tag is only a warning, so each gets several. */
async function allTags(): Promise<string[]> {
  const options: string[] = []
  for (const group of ['EXIF', 'GPS', 'IPTC', 'XMP', 'Photoshop', 'JFIF']) {
    const list = await exiftool('-listw', `-${group}:All`)
    for (const name of list.replace(/^.*\n/, '').trim().split(/\s+/)) {
      // The whole block, and what would change the picture itself
      if (/^(XMP|EXIF|IPTC|.*Profile|YCbCr.*|.*Resolution.*)$/.test(name)) continue
      const isPlace = group === 'GPS' || isPosition(name)
      const values = [
        '1',
        '2024:03:20 10:30:00',
        isPlace ? PLACE : 'text',
        /L(at|ong)itude$/.test(name) ? DEGREES : '1',
      ]
      options.push(...values.map((value) => `-${group}:${name}=${value}`))
      if (isPlace && !/L(at|ong)itude$/.test(name)) options.push(`-${group}:${name}=${PLACE}`)
    }
  }
  return [...options, '-EXIF:GPSLatitudeRef=N', '-EXIF:GPSLongitudeRef=E', ...CAMERA.slice(0, Object.keys(KEPT).length)]
}

/** An entry of a TIFF directory (TIFF 6.0 section 2): tag, type, and value. */
type Entry = readonly [tag: number, type: 2 | 3 | 4 | 7, value: Buffer]

const ascii = (text: string) => Buffer.from(`${text}\0`, 'latin1')

function long(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/** A little-endian directory at an offset, and after it the values that do not fit into it. */
function directory(entries: readonly Entry[], offset: number): Buffer {
  const head = Buffer.alloc(2 + 12 * entries.length + 4)
  head.writeUInt16LE(entries.length)
  const values: Buffer[] = []
  let end = offset + head.length
  for (const [index, [tag, type, value]] of entries.entries()) {
    const at = 2 + 12 * index
    head.writeUInt16LE(tag, at)
    head.writeUInt16LE(type, at + 2)
    head.writeUInt32LE(type === 3 ? value.length / 2 : type === 4 ? value.length / 4 : value.length, at + 4)
    if (value.length <= 4) value.copy(head, at + 8)
    else {
      head.writeUInt32LE(end, at + 8)
      const padded = Buffer.alloc(value.length + (value.length & 1))
      value.copy(padded)
      values.push(padded)
      end += padded.length
    }
  }
  return Buffer.concat([head, ...values])
}

const TIFF_START = Buffer.from('II*\0\x08\0\0\0', 'latin1')
/** Where the maker note of `withExif` begins, in its TIFF. */
const NOTE_OFFSET = 256

/** Puts an Exif segment with a maker note into a JPEG, right after its first marker. */
function withExif(jpeg: Buffer, make: string, note: Buffer): Buffer {
  const camera: Entry[] = [
    [0x010f, 2, ascii(make)],
    [0x0110, 2, ascii(KEPT.Model)],
    [0x0112, 3, Buffer.from([1, 0])],
    [0x013b, 2, ascii(KEPT.Artist)],
    [0x8298, 2, ascii(KEPT.Copyright)],
  ]
  const length = directory([...camera, [0x8769, 4, long(0)]], 8).length
  const first = Buffer.concat([TIFF_START, directory([...camera, [0x8769, 4, long(8 + length)]], 8)])
  const exif = directory([[0x927c, 7, Buffer.alloc(5)]], first.length).subarray(0, 18)
  exif.writeUInt32LE(note.length, 6)
  exif.writeUInt32LE(NOTE_OFFSET, 10)
  const start = Buffer.concat([first, exif])
  const tiff = Buffer.concat([start, Buffer.alloc(NOTE_OFFSET - start.length), note])
  const head = Buffer.from([0xff, 0xe1, 0, 0])
  head.writeUInt16BE(2 + 6 + tiff.length, 2)
  return Buffer.concat([jpeg.subarray(0, 2), head, Buffer.from('Exif\0\0', 'latin1'), tiff, jpeg.subarray(2)])
}

/** A maker note: what it begins with, and a directory whose offsets count from the TIFF, or from a place in the note. */
function note(start: string, entries: readonly Entry[], base?: number): Buffer {
  const bytes = Buffer.from(start, 'latin1')
  return Buffer.concat([
    bytes,
    directory(entries, base === undefined ? NOTE_OFFSET + bytes.length : bytes.length - base),
  ])
}

/** Maker notes as nine brands write them (exiftool's MakerNotes.pm says how each begins), with texts that name a place. */
const MAKER_NOTES: Readonly<Record<string, Buffer>> = {
  Canon: note('', [
    [0x0006, 2, ascii(PLACE)],
    [0x0009, 2, ascii(PLACE)],
  ]),
  NIKON: note('Nikon\0\x02\x10\0\0II*\0\x08\0\0\0', [[0x0005, 2, ascii(PLACE)]], 10),
  Panasonic: note('Panasonic\0\0\0', [
    [0x0067, 2, ascii(PLACE)],
    [0x0069, 2, ascii(PLACE)],
    [0x006b, 2, ascii(PLACE)],
    [0x006d, 2, ascii(PLACE)],
    [0x006f, 2, ascii(PLACE)],
  ]),
  SONY: note('SONY DSC \0\0\0', [[0xb020, 2, ascii(PLACE)]]),
  FUJIFILM: note('FUJIFILM\x0c\0\0\0', [[0x1000, 2, ascii(PLACE)]], 0),
  'OLYMPUS CORPORATION': note('OLYMPUS\0II\x03\0', [[0x0207, 2, ascii(PLACE)]], 0),
  PENTAX: note('PENTAX \0II', [[0x0229, 2, ascii(PLACE)]], 0),
  SAMSUNG: note('', [
    [0x0001, 2, ascii('0100')],
    [0x0030, 2, ascii(PLACE)],
  ]),
  DJI: note('', [[0x0001, 2, ascii(PLACE)]]),
}
