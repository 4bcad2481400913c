import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import t from 'tap'
import { identifyImage } from '../../../src/images/identify.ts'
import { EditRun } from '../../../src/images/metadata/editor.ts'
import { stripMetadata } from '../../../src/images/metadata/strip.ts'
import type { Stripped } from '../../../src/images/types.ts'
import { sample } from '../../support/extent.ts'
import { makeImage } from '../../support/images.ts'
import { caseFile } from '../field-files.ts'
import { makeTiff, SECRET, type Tag } from './tiff.ts'

/** Strips a file that comes in chunks of these sizes, and then in one of what is left. */
function strip(file: Buffer, what: Stripped, ...sizes: number[]): Buffer {
  const chunks: Buffer[] = []
  let at = 0
  for (const size of [...sizes, file.length]) {
    chunks.push(Buffer.from(file.subarray(at, at + size)))
    at += size
  }
  const run = new EditRun(stripMetadata('jpg', file, what, 1))
  return Buffer.concat([...chunks.flatMap((chunk) => run.push(chunk)), ...run.end()])
}

function segment(marker: number, ...content: (string | Buffer)[]): Buffer {
  const body = Buffer.concat(content.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)))
  const head = Buffer.from([0xff, marker, 0, 0])
  head.writeUInt16BE(body.length + 2, 2)
  return Buffer.concat([head, body])
}

/** Puts segments after the first marker. */
function insert(image: Buffer, ...segments: Buffer[]): Buffer {
  return Buffer.concat([image.subarray(0, 2), ...segments, image.subarray(2)])
}

const GPS: Tag = { tag: 0x8825, directory: [{ tag: 0x1b, type: 7, value: SECRET }] }

function exif(orientation: number, ...tags: Tag[]): Buffer {
  const first: Tag = { tag: 0x0112, type: 3, value: Buffer.from([0, orientation]) }
  return segment(0xe1, 'Exif\0\0', makeTiff(false, [first, ...tags]))
}

const XMP = 'http://ns.adobe.com/xap/1.0/\0'

/** @param attributes of the namespaces `exif`, `dc` and `hdrgm` */
function xmp(attributes: string, elements = ''): Buffer {
  return segment(
    0xe1,
    XMP,
    `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
     <rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
     xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" ${attributes}>${elements}</rdf:Description></rdf:RDF></x:xmpmeta>`,
  )
}

const JFIF = segment(0xe0, 'JFIF\0\x01\x01\x01\0\x48\0\x48\0\0')
const ADOBE = segment(0xee, 'Adobe\0\x64\0\0\0\0\x01')
const ICC = segment(0xe2, 'ICC_PROFILE\0\x01\x01', Buffer.alloc(100, 7))
/** In the first image it has a version, and in the gain map the parameters too: flags and fractions of 32 bits. */
const ISO_GAIN_MAP = segment(0xe2, 'urn:iso:std:iso:ts:21496:-1\0', Buffer.alloc(4))
const ISO_PARAMETERS = segment(
  0xe2,
  'urn:iso:std:iso:ts:21496:-1\0',
  Buffer.from([0, 0, 0, 0, 0x40]),
  ...[0, 1, 5, 2, 0, 1, 5, 2, 1, 1, 1, 64, 1, 64].map((number) => Buffer.from([0, 0, 0, number])),
)
const COMMENT = segment(0xfe, 'a comment')

/** Segments that are removed, in `location` and in `all`. */
const UNKNOWN = [
  segment(0xe0, 'AVI1', SECRET),
  segment(0xe1, 'FLIR\0', SECRET),
  segment(0xe1, 'http://ns.adobe.com/xmp/extension/\0', Buffer.alloc(40), SECRET),
  segment(0xe2, 'FPXR\0', SECRET),
  segment(0xe2, 'urn:iso:std:iso:ts:21496:-1\0', Buffer.alloc(1000), SECRET),
  segment(0xed, 'Adobe_Photoshop2.5:', SECRET),
  segment(0xee, SECRET),
  ...[0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xef, 0xf0, 0xfd, 0xde, 0xdf, 0x02].map((marker) =>
    segment(marker, SECRET),
  ),
]

const pixels = (image: Buffer) => sharp(image).raw().toBuffer()

t.test('location keeps the picture, comments, and metadata without positions; all keeps the picture', async (t) => {
  const image = await makeImage({ type: 'jpg' })
  const title = xmp('dc:title="title"')
  const position = 'exif:GPSLatitude="52,31N"'
  const kept = [JFIF, ADOBE, ICC, ISO_GAIN_MAP, COMMENT]
  const file = insert(
    image,
    JFIF,
    ...UNKNOWN,
    exif(6, GPS),
    xmp(`dc:title="title" ${position}`),
    segment(
      0xed,
      'Photoshop 3.0\0',
      '8BIM\x04\x04\0\0\0\0\0\x0f',
      '\x1c\x02\x05\0\x02hi',
      '\x1c\x02\x5a\0\x03Ulm',
      '\0',
    ),
    ADOBE,
    ICC,
    ...UNKNOWN,
    ISO_GAIN_MAP,
    COMMENT,
    exif(3, GPS),
    title,
  )
  const location = strip(file, 'location')
  t.notMatch(location.toString('latin1'), /SECRET|52,31N|Ulm/)
  for (const each of kept) t.ok(location.includes(each))
  t.ok(location.includes('8BIM\x04\x04\0\0\0\0\0\x07\x1c\x02\x05\0\x02hi\0'))
  t.match(location.toString('latin1'), /dc:title="title" {26}>/)
  t.equal(location.toString('latin1').split('dc:title').length, 2, 'only the first XMP')
  t.equal(location.toString('latin1').split('Exif').length, 2, 'only the first Exif')
  const all = strip(file, 'all')
  const minimal = Buffer.from('4d4d002a000000080001011200030000000100060000'.padEnd(52, '0'), 'hex')
  // A gain map that nothing follows is not needed, but no harm
  t.same(all, insert(image, JFIF, segment(0xe1, 'Exif\0\0', minimal), xmpOf(all), ADOBE, ICC, ISO_GAIN_MAP))
  for (const each of [location, all]) {
    t.ok(each.subarray(-image.length + 2).equals(image.subarray(2)), 'the compressed data stays')
    t.same(identifyImage(each), identifyImage(file))
  }
})

/** The XMP segment of a file. */
function xmpOf(file: Buffer): Buffer {
  const at = file.indexOf(XMP) - 4
  return at < 0 ? Buffer.alloc(0) : file.subarray(at, at + 2 + file.readUInt16BE(at + 2))
}

t.test('JFIF keeps its thumbnail in location, and not in all', async (t) => {
  const image = await makeImage({ type: 'jpg' })
  const start = 'JFIF\0\x01\x01\x01\0\x48\0\x48\x01'
  const small = segment(0xe0, `${start}\x01abc`)
  const more = segment(0xe0, `${start}\x01abc`, SECRET)
  const extension = segment(0xe0, 'JFXX\0\x10', insert(image, segment(0xe5, SECRET)))
  t.same(strip(insert(image, more), 'location'), insert(image, small))
  t.same(
    strip(insert(image, small, extension), 'location'),
    insert(image, small, segment(0xe0, 'JFXX\0\x10', insert(image, segment(0xe5, Buffer.alloc(SECRET.length))))),
  )
  t.same(strip(insert(image, small, extension), 'all'), insert(image, JFIF))
  t.same(strip(insert(image, segment(0xe0, 'JFIF\0', SECRET.subarray(0, 6))), 'location'), image, 'too short')
})

t.test('every way to cut a file gives the same', async (t) => {
  const image = await makeImage({ type: 'jpg', width: 8, height: 8, progressive: true })
  const plain = insert(image, JFIF, UNKNOWN[1] as Buffer, exif(6, GPS), Buffer.from([1, 0xff, 0xff, 0xff]), COMMENT)
  for (const file of [Buffer.concat([plain, SECRET]), (await ultraHdr()).file])
    for (const what of ['location', 'all'] as const) {
      const whole = strip(file, what)
      const cuts = Array.from({ length: file.length }, (_, at) => at)
      for (const at of sample(cuts, 50)) if (!strip(file, what, at).equals(whole)) t.fail(`cut at ${at}`)
      t.same(strip(file, what, ...cuts.map(() => 1)), whole)
      t.same(strip(file, what, ...cuts.map(() => 7)), whole)
    }
})

t.test('the pixels of every kind of JPEG stay, and so does its compressed data', async (t) => {
  const patch = sharp({ create: { width: 50, height: 40, channels: 3, background: '#c86432' } })
  const images = [
    await makeImage({ type: 'jpg' }),
    await makeImage({ type: 'jpg', progressive: true, width: 300, height: 200 }),
    await makeImage({ type: 'jpg', orientation: 5 }),
    await makeImage({ type: 'jpg', profileBytes: 100_000 }),
    await patch.clone().toColourspace('b-w').jpeg().toBuffer(),
    await patch.clone().toColourspace('cmyk').jpeg().toBuffer(),
    await patch.clone().jpeg({ chromaSubsampling: '4:4:4', mozjpeg: true }).toBuffer(),
    caseFile('j-exif-fill.jpg'),
    caseFile('j-no-eoi.jpg'),
  ]
  for (const [n, image] of images.entries())
    for (const what of ['location', 'all'] as const) {
      const file = insert(image, ...UNKNOWN, COMMENT)
      const stripped = strip(file, what)
      t.notOk(stripped.includes(SECRET))
      const [before, after] = await Promise.all(
        [image, stripped].map((each) => sharp(each, { failOn: 'none' }).raw().toBuffer()),
      )
      t.ok(before && after?.equals(before), `image ${n}`)
      const tables = image.indexOf(Buffer.from([0xff, 0xdb]))
      t.ok(stripped.includes(image.subarray(tables)), `image ${n}, from its tables on`)
      t.same(identifyImage(stripped), identifyImage(image))
    }
})

t.test('all keeps the orientation that browsers respect: that of the first Exif segment before the scan', async (t) => {
  const image = await makeImage({ type: 'jpg' })
  for (let orientation = 1; orientation <= 8; orientation += 1) {
    const stripped = strip(insert(image, exif(orientation, GPS), exif(3)), 'all')
    t.same(identifyImage(stripped), identifyImage(insert(image, exif(orientation))))
    t.equal(stripped.length, image.length + (orientation === 1 ? 0 : 36))
  }
  t.same(strip(insert(image, segment(0xe1, 'Exif\0\0', SECRET), exif(6)), 'all'), image, 'a broken one counts')
  const end = image.subarray(0, -2)
  for (const what of ['location', 'all'] as const) {
    const stripped = strip(Buffer.concat([end, exif(6, GPS), COMMENT, image.subarray(-2)]), what)
    t.same(stripped, Buffer.concat([end, Buffer.from([0xff]), image.subarray(-2)]), 'after the scan, none does')
  }
})

t.test('a scan with stuffed bytes, restarts and codes that mean nothing is passed as it is', async (t) => {
  const scan = Buffer.from('ffda000301 12ff00ffd034ffd7ffffff0056ff0178ffbf'.replaceAll(' ', ''), 'hex')
  const file = Buffer.concat([Buffer.from('ffd8', 'hex'), scan, scan, Buffer.from('ffffffd9', 'hex')])
  for (const what of ['location', 'all'] as const)
    for (const size of [1, 2, 3, 5, 100])
      t.same(strip(Buffer.concat([file, SECRET]), what, ...Array.from(file, () => size)), file)
})

t.test('what hides between segments, after the end, or in a segment without its end is removed', async (t) => {
  const image = await makeImage({ type: 'jpg' })
  for (const what of ['location', 'all'] as const) {
    const stray = Buffer.concat([
      SECRET,
      Buffer.from([0xff, 0, 0xff, 1, 0xff, 0xd5]),
      SECRET,
      Buffer.from([0xff, 0xff]),
    ])
    t.same(strip(insert(image, stray, JFIF), what), insert(image, JFIF))
    for (const trailer of [SECRET, insert(image, exif(6, GPS)), Buffer.from('\0\0\0\x18ftypmp42SECRET', 'latin1')])
      t.same(strip(Buffer.concat([image, trailer]), what), image)
    for (const unfinished of [
      exif(6, GPS).subarray(0, -1),
      segment(0xe5, SECRET).subarray(0, -1),
      Buffer.from([0xff, 0xe1, 1]),
    ])
      t.same(strip(Buffer.concat([image.subarray(0, 2), unfinished]), what), image.subarray(0, 2))
  }
})

t.test('an image without its end ends where another one starts', async (t) => {
  const image = await makeImage({ type: 'jpg' })
  // In its compressed data, and in the header of its scan
  const scan = image.indexOf(Buffer.from([0xff, 0xda]))
  for (const end of [image.length - 200, scan + 4, scan + 10]) {
    const part = image.subarray(0, end)
    for (const what of ['location', 'all'] as const) {
      const stripped = strip(Buffer.concat([part, insert(image, exif(6, GPS))]), what)
      t.same(stripped, Buffer.concat([part, Buffer.from([0xff, 0xd9])]))
    }
  }
})

t.test('files made to be slow are read in one pass', async (t) => {
  const start = Buffer.from('ffd8', 'hex')
  const scan = Buffer.from('ffda0003', 'hex')
  for (const what of ['location', 'all'] as const) {
    const fill = Buffer.alloc(1 << 20, 0xff)
    t.same(strip(Buffer.concat([start, fill]), what), start)
    t.same(strip(Buffer.concat([start, Buffer.alloc(1 << 20, Buffer.from([0xff, 0]))]), what), start)
    const stuffed = Buffer.concat([start, scan, Buffer.alloc(1 << 20, Buffer.from([0xff, 0]))])
    t.ok(strip(stuffed, what).equals(stuffed))
    const short = Buffer.concat([start, Buffer.alloc(1 << 20, Buffer.from([0xff, 0xe5, 0, 2]))])
    t.same(strip(short, what), start)
  }
})

interface MultiPictureOptions {
  readonly little?: boolean
  /** Segments before and after the index. */
  readonly before?: readonly Buffer[]
  readonly after?: readonly Buffer[]
  /** The images after the first one, each with its type and the bytes that come before it. */
  readonly others: readonly { readonly image: Buffer; readonly type?: number; readonly gap?: Buffer }[]
}

/** Makes a multi-picture file (CIPA DC-007), as phones and cameras do. */
function multiPicture(image: Buffer, { little = false, before = [], after = [], others }: MultiPictureOptions): Buffer {
  const index = Buffer.alloc(50 + 16 * (1 + others.length))
  const write = (bytes: 2 | 4, value: number, at: number) =>
    little ? index.writeUIntLE(value, at, bytes) : index.writeUIntBE(value, at, bytes)
  index.write(little ? 'II*\0' : 'MM\0*', 'latin1')
  write(4, 8, 4)
  write(2, 3, 8)
  const entry = (n: number, tag: number, type: number, count: number) => {
    write(2, tag, 10 + 12 * n)
    write(2, type, 12 + 12 * n)
    write(4, count, 14 + 12 * n)
  }
  entry(0, 0xb000, 7, 4)
  index.write('0100', 18)
  entry(1, 0xb001, 4, 1)
  write(4, 1 + others.length, 30)
  entry(2, 0xb002, 7, 16 * (1 + others.length))
  write(4, 50, 42)
  const first = insert(image, ...before, segment(0xe2, 'MPF\0', index), ...after)
  const indexAt = first.indexOf('MPF\0') + 4
  write(4, 0x20030000, 50)
  write(4, first.length, 54)
  let at = first.length
  for (const [n, { image, type = 0, gap = Buffer.alloc(0) }] of others.entries()) {
    at += gap.length
    write(4, type, 66 + 16 * n)
    write(4, image.length, 70 + 16 * n)
    write(4, at - indexAt, 74 + 16 * n)
    at += image.length
  }
  index.copy(first, indexAt)
  return Buffer.concat([first, ...others.flatMap(({ image, gap = Buffer.alloc(0) }) => [gap, image])])
}

/** The images of a multi-picture file by its index, or undefined if it has none. */
function picturesOf(file: Buffer): Buffer[] | undefined {
  const at = file.indexOf('MPF\0MM') + 4
  if (at < 4) return undefined
  return Array.from({ length: file.readUInt32BE(at + 30) }, (_, n) => {
    const start = n === 0 ? 0 : at + file.readUInt32BE(at + 58 + 16 * n)
    return file.subarray(start, start + file.readUInt32BE(at + 54 + 16 * n))
  })
}

const DIRECTORY = (length: number) => `<Container:Directory xmlns:Container="http://ns.google.com/photos/1.0/container/"
  xmlns:Item="http://ns.google.com/photos/1.0/container/item/"><rdf:Seq>
  <rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary" Item:Mime="image/jpeg"/></rdf:li>
  <rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap" Item:Mime="image/jpeg" Item:Length="${length}"/></rdf:li>
  </rdf:Seq></Container:Directory>`

const GAIN_MAP = `hdrgm:Version="1.0" hdrgm:GainMapMin="0" hdrgm:GainMapMax="2.5" hdrgm:Gamma="1" hdrgm:OffsetSDR="0.015"
  hdrgm:OffsetHDR="0.015" hdrgm:HDRCapacityMin="0" hdrgm:HDRCapacityMax="2.5" hdrgm:BaseRenditionIsHDR="False"`

/** A photo with a gain map, both of them with positions. */
async function ultraHdr(options: Partial<MultiPictureOptions> = {}) {
  const image = await makeImage({ type: 'jpg' })
  const map = await makeImage({ type: 'jpg', width: 10, height: 8 })
  const gainMap = insert(
    map,
    exif(1, GPS),
    xmp(`${GAIN_MAP} exif:GPSLatitude="52,31N"`),
    ...UNKNOWN,
    ISO_PARAMETERS,
    segment(0xe2, 'MPF\0', SECRET),
    JFIF,
  )
  const before = [
    exif(6, GPS),
    xmp('hdrgm:Version="1.0" exif:GPSLatitude="52,31N"', DIRECTORY(gainMap.length)),
    ...UNKNOWN,
    ISO_GAIN_MAP,
  ]
  const file = multiPicture(image, { before, others: [{ image: gainMap }], ...options })
  return { file, image, map, gainMap }
}

t.test('a gain map stays where the index and XMP say it is, and so do its parameters', async (t) => {
  const plain = await ultraHdr()
  const { gainMap, image, map } = plain
  const first = await makeSegments(plain.gainMap.length)
  const files: Record<string, Buffer> = {
    'as libultrahdr writes it': plain.file,
    'little-endian': (await ultraHdr({ little: true })).file,
    'the index first': (await ultraHdr({ before: [], after: first })).file,
    'the index in between': (await ultraHdr({ before: first.slice(0, 9), after: first.slice(9) })).file,
    'bytes before the gain map': (await ultraHdr({ others: [{ image: gainMap, gap: SECRET }] })).file,
    'a trailer': Buffer.concat([plain.file, SECRET]),
    'a type of its own': (await ultraHdr({ others: [{ image: gainMap, type: 0x050000 }] })).file,
  }
  for (const [name, file] of Object.entries(files))
    for (const what of ['location', 'all'] as const) {
      const stripped = strip(file, what)
      const [primary, second] = picturesOf(stripped) ?? []
      t.notMatch(stripped.toString('latin1'), /SECRET|52,31N/, name)
      if (!primary || !second) return t.fail(`${name} has no second image`)
      t.equal(second.length, gainMap.length, `${name}: the gain map is as long as XMP says`)
      t.equal(
        primary.length,
        stripped.length - second.length - (name === 'bytes before the gain map' ? SECRET.length : 0),
      )
      t.same(second.subarray(0, 3), Buffer.from('ffd8ff', 'hex'), name)
      t.same(await pixels(second), await pixels(map), name)
      t.same(await pixels(primary), await pixels(image), name)
      t.match(
        xmpOf(primary).toString(),
        /hdrgm:Version="1.0"[\s\S]*Item:Semantic="GainMap"[\s\S]*Item:Length="\d+"/,
        name,
      )
      t.match(xmpOf(second).toString(), 'hdrgm:GainMapMax="2.5"', name)
      // Read by libultrahdr
      const { gainMap: found } = await sharp(stripped).metadata()
      t.same(found && (await pixels(found.image)), await pixels(map), name)
      t.ok(primary.includes(ISO_GAIN_MAP) && second.includes(ISO_PARAMETERS), name)
      t.same(identifyImage(stripped), identifyImage(file), name)
    }
})

/** The segments of `ultraHdr` before its index. */
async function makeSegments(gainMapBytes: number): Promise<Buffer[]> {
  return [
    exif(6, GPS),
    xmp('hdrgm:Version="1.0" exif:GPSLatitude="52,31N"', DIRECTORY(gainMapBytes)),
    ...UNKNOWN,
    COMMENT,
    ISO_GAIN_MAP,
  ]
}

t.test('previews of a camera stay in location, stripped, and go in all', async (t) => {
  const image = await makeImage({ type: 'jpg' })
  const small = await makeImage({ type: 'jpg', width: 16, height: 12 })
  const preview = insert(small, exif(1, GPS), segment(0xfe, 'a preview'))
  const file = multiPicture(image, {
    before: [exif(6, GPS), ...UNKNOWN],
    after: [segment(0xe5, SECRET), COMMENT],
    others: [
      { image: preview, type: 0x010001 },
      { image: preview, type: 0x010002, gap: SECRET },
    ],
  })
  const location = strip(file, 'location')
  t.notOk(location.includes(SECRET))
  const pictures = picturesOf(location) ?? []
  t.equal(pictures.length, 3)
  for (const picture of pictures.slice(1)) {
    t.same(await pixels(picture), await pixels(small))
    t.ok(picture.includes('a preview'))
  }
  t.same(strip(file, 'all'), strip(insert(image, exif(6)), 'all'))
  const withMap = await ultraHdr()
  const both = await ultraHdr({
    others: [{ image: preview, type: 0x010001 }, { image: withMap.gainMap }],
  })
  const all = strip(both.file, 'all')
  t.notOk(all.includes('a preview'))
  const [, second, third] = picturesOf(all) ?? []
  t.same(second && (await pixels(second)), await pixels(withMap.map))
  t.equal(third, undefined)
})

t.test('an index that is broken, or names images that are not there, hides nothing', async (t) => {
  const image = await makeImage({ type: 'jpg' })
  const { file } = await ultraHdr()
  const at = file.indexOf('MPF\0') + 4
  const change = (edit: (file: Buffer) => void) => {
    const changed = Buffer.from(file)
    edit(changed)
    return changed
  }
  const cases: Record<string, Buffer> = {
    'no byte order': change((file) => file.write('SECR', at)),
    'a directory outside': change((file) => file.writeUInt32BE(0xffffff00, at + 4)),
    'entries outside': change((file) => file.writeUInt32BE(0xffffff00, at + 42)),
    'entries without end': change((file) => file.writeUInt32BE(0xffffffff, at + 38)),
    'no entries': change((file) => file.writeUInt32BE(0, at + 38)),
    'another tag': change((file) => file.writeUInt16BE(0xb003, at + 34)),
    'an image at 0': change((file) => file.writeUInt32BE(0, at + 74)),
    'an image in the first one': change((file) => file.writeUInt32BE(8, at + 74)),
    'an image after the end': change((file) => file.writeUInt32BE(0xfffffff0, at + 74)),
    'numbers that do not fit into a longer index': insert(
      image,
      segment(
        0xe2,
        'MPF\0',
        Buffer.from('4d4d002a000000080001b0020007000000200000001a00000000', 'hex'),
        Buffer.alloc(32, 0xff),
      ),
      exif(6, GPS),
      ISO_GAIN_MAP,
    ),
    'an image that is not a JPEG': change((file) => file.writeUInt32BE(file.readUInt32BE(at + 74) + 1, at + 74)),
    'an image without end': Buffer.concat([change((file) => file.writeUInt32BE(0xffffffff, at + 70)), SECRET]),
  }
  for (const [name, each] of Object.entries(cases))
    for (const what of ['location', 'all'] as const) {
      const stripped = strip(each, what)
      t.notMatch(stripped.toString('latin1'), /SECR|52,31N/, name)
      t.same(await pixels(stripped), await pixels(image), name)
    }
})

const hasExiftool = (() => {
  try {
    execFileSync('exiftool', ['-ver'])
    return true
  } catch (error) {
    if (process.env.CI) throw error
    return false
  }
})()

t.test(
  'exiftool finds the gain map by the index, and no warning',
  { skip: !hasExiftool && 'there is no exiftool; with CI set this is a failure' },
  async (t) => {
    const { file, map } = await ultraHdr()
    const folder = t.testdir()
    const read = (name: string, ...options: string[]) => execFileSync('exiftool', [...options, join(folder, name)])
    for (const what of ['location', 'all'] as const) {
      writeFileSync(join(folder, `${what}.jpg`), strip(file, what))
      const found = read(`${what}.jpg`, '-b', '-MPImage2')
      t.same(await pixels(found), await pixels(map))
      const tags = read(`${what}.jpg`, '-a', '-u', '-ee', '-s', '-G1').toString()
      t.notMatch(tags, /Warning +: (?!\[minor\])|Error|GPS/)
      t.match(tags, /\[MPF0\] +NumberOfImages +: 2/)
      t.match(tags, /\[XMP-hdrgm\] +\w*Version +: 1/)
    }
  },
)
