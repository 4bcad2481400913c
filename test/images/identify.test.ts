import sharp from 'sharp'
import t from 'tap'
import { type Identified, Identifier, identifyImage } from '../../src/images/identify.ts'
import { CONTENT_TYPES, type ImageType, type Orientation } from '../../src/images/types.ts'
import { bigImage, box, fileType, type ImageOptions, makeImage, NOT_IMAGES } from '../support/images.ts'
import { caseFile, withOffset } from './field-files.ts'

const TYPES: ImageType[] = ['jpg', 'png', 'gif', 'webp', 'avif']
const ORIENTATIONS: Orientation[] = [1, 2, 3, 4, 5, 6, 7, 8]

function image(type: ImageType, width: number, height: number, orientation: Orientation = 1): Identified {
  return { kind: 'image', info: { type, width, height, orientation } }
}

/** Identifies the start of a file. */
function identifyPart(part: Uint8Array): Identified | { kind: 'more' } {
  return new Identifier().push(part) ?? { kind: 'more' }
}

/** Identifies a file in chunks of 64 KiB, as an upload does. Returns the number of bytes that it took as well. */
function identifyGrowing(file: Buffer): { found: Identified; bytes: number } {
  const identifier = new Identifier()
  for (let bytes = 0; bytes < file.length; bytes += 65_536) {
    const found = identifier.push(file.subarray(bytes, bytes + 65_536))
    if (found) return { found, bytes: bytes + 65_536 }
  }
  return { found: identifier.end(), bytes: file.length }
}

t.test('every type has a media type of its own', async (t) => {
  t.same(Object.keys(CONTENT_TYPES), TYPES)
  t.equal(new Set(Object.values(CONTENT_TYPES)).size, TYPES.length)
  for (const value of Object.values(CONTENT_TYPES)) t.match(value, /^image\//)
})

t.test('the type and size of a real image are those that its decoder finds', async (t) => {
  const variants: ImageOptions[] = [
    ...TYPES.map((type) => ({ type })),
    ...TYPES.map((type) => ({ type, width: 1, height: 1 })),
    ...TYPES.map((type) => ({ type, width: 300, height: 17 })),
    { type: 'jpg', progressive: true },
    { type: 'jpg', width: 3000, height: 2000 },
    { type: 'webp', lossless: true },
    { type: 'webp', animated: true },
    { type: 'gif', animated: true },
  ]
  for (const options of variants) {
    const file = await makeImage(options)
    const { width, height, pages = 1 } = await sharp(file).metadata()
    t.same(identifyImage(file), image(options.type, width, height), JSON.stringify(options))
    t.same(identifyGrowing(file).found, image(options.type, width, height))
    t.equal(pages, options.animated ? 3 : 1)
  }
})

t.test('the size is the displayed one, for all eight orientations of a jpg, png and avif', async (t) => {
  for (const type of ['jpg', 'png', 'avif'] as const) {
    for (const orientation of ORIENTATIONS) {
      const file = await makeImage({ type, orientation })
      const { autoOrient } = await sharp(file).metadata()
      // The decoder turns an AVIF
      const left = type === 'avif' ? 1 : orientation
      t.same(identifyImage(file), image(type, autoOrient.width, autoOrient.height, left), `${type} ${orientation}`)
      t.same(identifyPart(file), orientation < 5 ? image(type, 40, 30, left) : image(type, 30, 40, left))
    }
  }
})

t.test('an orientation after the pixels of a webp is ignored', async (t) => {
  t.same(identifyImage(await makeImage({ type: 'webp', orientation: 6 })), image('webp', 40, 30))
})

t.test('a size after 600 KB of metadata is found once the bytes have arrived', async (t) => {
  for (const type of ['jpg', 'png', 'avif'] as const) {
    const file = await makeImage({ type, orientation: 6, profileBytes: 600_000 })
    t.same(identifyPart(file.subarray(0, 65_536)), { kind: 'more' })
    const { found, bytes } = identifyGrowing(file)
    t.same(found, image(type, 30, 40, type === 'avif' ? 1 : 6), type)
    t.ok(bytes > 600_000, `${type} ${bytes}`)
  }
})

t.test('a big image is identified by its first 64 KiB', async (t) => {
  const file = await bigImage(2_000_000)
  t.ok(file.length >= 2_000_000 && file.length < 2_020_000)
  t.equal(file, await bigImage(2_000_000))
  const { width, height } = await sharp(file).metadata()
  t.same(identifyGrowing(file), { found: image('png', width, height), bytes: 65_536 })
})

t.test('the result for the start of a file is the result for all of it', async (t) => {
  const files = [
    ...(await Promise.all(TYPES.map((type) => makeImage({ type })))),
    ...(await Promise.all(TYPES.map((type) => makeImage({ type, orientation: 6 })))),
    ...Object.values(NOT_IMAGES),
  ]
  for (const file of files) {
    const result = identifyImage(file)
    let decided = false
    for (let bytes = 0; bytes <= file.length; bytes += 1) {
      const partial = identifyPart(file.subarray(0, bytes))
      if (partial.kind === 'more' && !decided) continue
      decided = true
      if (JSON.stringify(partial) !== JSON.stringify(result)) t.same(partial, result, `first ${bytes} bytes`)
    }
    t.ok(decided, JSON.stringify(result))
  }
})

t.test('the start may be a view of other memory, and is not changed', async (t) => {
  const file = await makeImage({ type: 'jpg', orientation: 6 })
  const memory = new Uint8Array(file.length + 20).fill(0xff)
  memory.set(file, 10)
  const before = memory.slice()
  t.same(identifyImage(memory.subarray(10, 10 + file.length)), image('jpg', 30, 40, 6))
  t.same(memory, before)
})

t.test('a file that is not an image is unsupported, and HEIC and SVG are named', async (t) => {
  const kinds: Record<string, string> = { svg: 'svg', svgUtf16: 'svg', heic: 'heic' }
  for (const [name, file] of Object.entries(NOT_IMAGES)) {
    t.same(identifyImage(file), { kind: kinds[name] ?? 'unsupported' }, name)
  }
  t.same(identifyImage(Buffer.alloc(0)), { kind: 'unsupported' })
})

t.test('fewer bytes than the longest signature are not identified until the file is complete', async (t) => {
  for (const file of [Buffer.alloc(0), Buffer.from('GIF89a'), Buffer.from('plain text')]) {
    t.same(identifyPart(file), { kind: 'more' })
  }
  t.same(identifyImage(Buffer.from('plain text')), { kind: 'unsupported' })
})

t.test('a complete file with a signature but no size is broken', async (t) => {
  const signatures: Record<ImageType, Buffer> = {
    jpg: Buffer.from('ffd8ffe0', 'hex'),
    png: Buffer.from('89504e470d0a1a0a', 'hex'),
    gif: Buffer.from('GIF89a'),
    webp: Buffer.from('RIFF\x20\0\0\0WEBP', 'latin1'),
    avif: fileType('avif', 'mif1'),
  }
  for (const type of TYPES) t.same(identifyImage(signatures[type]), { kind: 'broken', type })
})

t.test('an image with a width or height of 0 is broken, at once', async (t) => {
  const png = Buffer.from(await makeImage({ type: 'png' }))
  png.writeUInt32BE(0, 16)
  t.same(identifyPart(png), { kind: 'broken', type: 'png' })
})

t.test('a file cut off after its size still has that size', async (t) => {
  const jpg = await makeImage({ type: 'jpg', orientation: 8 })
  t.same(identifyImage(jpg.subarray(0, jpg.indexOf(Buffer.from('ffda', 'hex')))), image('jpg', 30, 40, 8))
  const png = await makeImage({ type: 'png' })
  t.same(identifyImage(png.subarray(0, 33)), image('png', 40, 30))
  t.same(identifyPart(png.subarray(0, 33)), { kind: 'more' })
})

t.test('HEIC and AVIF are told apart by their brands', async (t) => {
  const kindOf = (...brands: string[]) => identifyImage(fileType(...brands))
  for (const major of ['heic', 'heix', 'heim', 'heis', 'hevc', 'hevx', 'hevm', 'hevs', 'mif1', 'msf1']) {
    t.same(kindOf(major, 'mif1', 'miaf'), { kind: 'heic' }, major)
  }
  t.same(kindOf('heic', 'mif1', 'avif'), { kind: 'heic' }, 'the major brand has the first word')
  t.same(kindOf('miaf', 'heic'), { kind: 'heic' })
  for (const brands of [['avif'], ['avis', 'msf1'], ['mif1', 'miaf', 'avif'], ['msf1', 'avis'], ['avif', 'heic']]) {
    t.same(kindOf(...brands), { kind: 'broken', type: 'avif' }, brands.join())
  }
  for (const major of ['isom', 'jxl ', 'crx ', 'avio']) t.same(kindOf(major), { kind: 'unsupported' }, major)
  t.same(identifyPart(fileType('mif1', 'miaf', 'avif').subarray(0, 20)), { kind: 'more' })
  t.same(identifyPart(fileType('mif1', ...Array(1000).fill('miaf')).subarray(0, 512)), { kind: 'heic' })
})

t.test('an AVIF sequence is an avif', async (t) => {
  const file = Buffer.from(await makeImage({ type: 'avif' }))
  file.write('avis', 8, 'latin1')
  t.same(identifyImage(file), image('avif', 40, 30))
})

t.test('SVG is recognised after everything that XML allows before the first tag', async (t) => {
  const utf16be = Buffer.from('<svg xmlns="urn:x">', 'utf16le').swap16()
  const yes = [
    '<svg/>',
    '<svg>',
    '\ufeff \r\n\t<svg width="1">',
    '<?xml version="1.0"?><?xml-stylesheet href="a.css"?><!-- a --> <!-- <html> --><svg\n>',
    '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd"><svg>',
    '<!DOCTYPE svg [<!ENTITY ns "http://www.w3.org/2000/svg">]><svg>',
    '<svg:svg xmlns:svg="http://www.w3.org/2000/svg">',
  ].map((text) => Buffer.from(text))
  yes.push(utf16be, Buffer.concat([Buffer.from('feff', 'hex'), utf16be]), Buffer.from('<svg >', 'utf16le'))
  for (const file of yes) t.same(identifyImage(file), { kind: 'svg' }, JSON.stringify(file.toString()))

  const no = [
    '<svgx>',
    '<html><svg>',
    '<!-- <svg> -->',
    '<?xml version="1.0"?><rss>',
    '<!doctype html><svg>',
    'a<svg>',
    '<',
  ]
  for (const text of no) t.same(identifyImage(Buffer.from(text)), { kind: 'unsupported' }, text)
})

t.test('the first tag of an SVG may arrive late, within 8 KiB', async (t) => {
  const starts = [
    ' '.repeat(20),
    '<?xml version="1.0"',
    `<!--${' '.repeat(20)}`,
    '<!-- a comment --><sv',
    '<!DOCTYPE       ',
  ]
  for (const start of starts) {
    t.same(identifyPart(Buffer.from(start)), { kind: 'more' }, start)
    t.same(identifyImage(Buffer.from(start)), { kind: 'unsupported' }, start)
  }
  const utf16 = Buffer.from(`\ufeff${' '.repeat(8)}<svg/>`, 'utf16le')
  t.same(identifyPart(utf16.subarray(0, 19)), { kind: 'more' }, 'half a character')
  t.same(identifyPart(utf16), { kind: 'svg' })
  t.same(identifyPart(Buffer.from('<p>Not an SVG</p>')), { kind: 'unsupported' })
  t.same(identifyPart(Buffer.from(`<!--${' '.repeat(8000)}--><svg>`)), { kind: 'svg' })
  t.same(identifyPart(Buffer.from(`<!--${' '.repeat(9000)}--><svg>`)), { kind: 'unsupported' })
})

// From here on: files that no encoder makes, built by hand

interface Tiff {
  little?: boolean
  tag?: number
  format?: number
  count?: number
  orientation?: number
  entries?: number
  directory?: number
}

/** A TIFF file with a directory of one entry, at offset 8 (TIFF 6.0 section 2). */
function tiff(options: Tiff = {}): Buffer {
  const { little, tag = 0x0112, format = 3, count = 1, orientation = 6, entries = 1, directory = 8 } = options
  const bytes = Buffer.alloc(8 + 2 + 12 + 4)
  const short = (value: number, at: number) =>
    little ? bytes.writeUInt16LE(value, at) : bytes.writeUInt16BE(value, at)
  const long = (value: number, at: number) => (little ? bytes.writeUInt32LE(value, at) : bytes.writeUInt32BE(value, at))
  bytes.write(little ? 'II' : 'MM', 'latin1')
  short(42, 2)
  long(directory, 4)
  short(entries, 8)
  short(tag, 10)
  short(format, 12)
  long(count, 14)
  short(orientation, 18)
  return bytes
}

function segment(marker: number, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content)
  return Buffer.concat([Buffer.from([0xff, marker, (body.length + 2) >> 8, (body.length + 2) & 255]), body])
}

async function jpgWith(...segments: Buffer[]): Promise<Buffer> {
  const jpg = await makeImage({ type: 'jpg' })
  return Buffer.concat([jpg.subarray(0, 2), ...segments, jpg.subarray(2)])
}

const exif = (data: Buffer) => segment(0xe1, Buffer.from('Exif\0\0'), data)
const UPRIGHT = image('jpg', 40, 30)
const TURNED = image('jpg', 30, 40, 6)

t.test('a thumbnail inside Exif data is not taken for the image', async (t) => {
  const thumbnail = await makeImage({ type: 'jpg', width: 16, height: 12 })
  t.same(identifyPart(await jpgWith(exif(Buffer.concat([tiff(), thumbnail])))), TURNED)
})

t.test('Exif data of both byte orders is read', async (t) => {
  for (const little of [true, false]) {
    t.same(identifyImage(await jpgWith(exif(tiff({ little })))), TURNED)
    t.same(identifyImage(await jpgWith(exif(tiff({ little, orientation: 3 })))), image('jpg', 40, 30, 3))
  }
})

t.test('Exif data that makes no sense does not turn the image', async (t) => {
  const nonsense = {
    empty: Buffer.alloc(0),
    'cut off in its header': tiff().subarray(0, 6),
    'no byte order': Buffer.alloc(26),
    'a directory outside': tiff({ directory: 0xffffffff }),
    'a directory at the very end': tiff({ directory: 25 }),
    'more entries than bytes': tiff({ tag: 0x010f, entries: 0xffff }),
    'no entry': tiff({ entries: 0 }),
    'an orientation that is no SHORT': tiff({ format: 4 }),
    'two orientations in one': tiff({ count: 2 }),
    'an orientation of 0': tiff({ orientation: 0 }),
    'an orientation of 9': tiff({ orientation: 9 }),
  }
  for (const [name, data] of Object.entries(nonsense)) {
    t.same(identifyImage(await jpgWith(exif(data))), UPRIGHT, name)
  }
})

t.test('only the first Exif segment counts', async (t) => {
  t.same(identifyImage(await jpgWith(exif(tiff()), exif(tiff({ orientation: 1 })))), TURNED)
  t.same(identifyImage(await jpgWith(exif(tiff({ orientation: 1 })), exif(tiff()))), UPRIGHT)
  t.same(identifyImage(await jpgWith(exif(tiff({ entries: 0 })), exif(tiff()))), UPRIGHT)
  const xmp = segment(0xe1, Buffer.from('http://ns.adobe.com/xap/1.0/\0'))
  t.same(identifyImage(await jpgWith(xmp, exif(tiff()))), TURNED)
})

t.test('Exif data between a jpg’s size and its scan counts', async (t) => {
  const jpg = await makeImage({ type: 'jpg' })
  const scan = jpg.indexOf(Buffer.from('ffda', 'hex'))
  const file = Buffer.concat([jpg.subarray(0, scan), exif(tiff()), jpg.subarray(scan)])
  t.same(identifyImage(file), TURNED)
  t.same(identifyPart(file.subarray(0, scan)), { kind: 'more' })
})

t.test('stray bytes, fill bytes and markers without a segment are skipped as decoders do', async (t) => {
  const file = await jpgWith(segment(0xfe, Buffer.from('x')), Buffer.from('0001ffffffff01', 'hex'), exif(tiff()))
  t.same(identifyImage(file), TURNED)
})

t.test('a jpg whose scan comes before any size is broken', async (t) => {
  t.same(identifyPart(Buffer.from('ffd8ffda000c0000000000000000', 'hex')), { kind: 'broken', type: 'jpg' })
})

t.test('an orientation in a png counts if it comes before the pixels', async (t) => {
  const png = await makeImage({ type: 'png' })
  const chunk = Buffer.concat([Buffer.from([0, 0, 0, 26]), Buffer.from('eXIf'), tiff(), Buffer.alloc(4)])
  t.same(identifyImage(Buffer.concat([png.subarray(0, 33), chunk, png.subarray(33)])), image('png', 30, 40, 6))
  const end = png.length - 12
  t.same(identifyImage(Buffer.concat([png.subarray(0, end), chunk, png.subarray(end)])), image('png', 40, 30))
})

t.test('a png in Apple’s own format, which browsers cannot read, is broken', async (t) => {
  const png = await makeImage({ type: 'png' })
  const chunk = Buffer.from('0000000443674249500020062cb87766', 'hex')
  const file = Buffer.concat([png.subarray(0, 8), chunk, png.subarray(8)])
  t.same(identifyImage(file), { kind: 'broken', type: 'png' })
})

interface Avif {
  rotation?: Buffer
  property?: number
  pitm?: Buffer
  ipma?: Buffer
  ahead?: Buffer
}

function number(value: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  bytes.writeUIntBE(value, 0, length)
  return bytes
}

/** The metadata of an AVIF of 40 × 30: item 3 has the size and the rotation (property 2), the primary item 7 the size and `property`. */
function avif(options: Avif = {}): Buffer {
  const { rotation = number(1, 1), property = 2, ahead = Buffer.alloc(0) } = options
  const pitm = options.pitm ?? Buffer.concat([number(0, 4), number(7, 2)])
  const items = Buffer.from([0, 3, 2, 1, 0x82, 0, 7, 2, 1, 0x80 | property])
  const ipma = options.ipma ?? Buffer.concat([number(0, 4), number(2, 4), items])
  const ispe = box('ispe', number(0, 4), number(40, 4), number(30, 4))
  const iprp = box('iprp', box('ipco', ispe, box('irot', rotation)), box('ipma', ipma), box('free'))
  return Buffer.concat([fileType('avif', 'mif1'), ahead, box('meta', number(0, 4), box('pitm', pitm), iprp)])
}

t.test('only a rotation of its primary item turns an avif', async (t) => {
  t.same(identifyImage(avif()), image('avif', 30, 40))
  t.same(identifyImage(avif({ property: 1 })), image('avif', 40, 30))
  for (const quarters of [0, 2]) {
    t.same(identifyImage(avif({ rotation: number(quarters, 1) })), image('avif', 40, 30))
  }
  for (const quarters of [1, 3]) {
    t.same(identifyImage(avif({ rotation: number(quarters, 1) })), image('avif', 30, 40))
  }
  t.same(identifyImage(avif({ rotation: Buffer.alloc(0) })), image('avif', 40, 30))
})

t.test('a clean aperture counts if it lies in the image', async (t) => {
  for (const [offset, width, height] of [
    [-10, 60, 40],
    [10, 60, 40],
    [11, 80, 60],
    [-100, 80, 60],
  ] as const)
    t.same(identifyImage(withOffset(caseFile('a-clap.avif'), offset)), image('avif', width, height), String(offset))
})

t.test('item and property numbers of every width are read', async (t) => {
  const pitm = Buffer.concat([Buffer.from([1, 0, 0, 0]), number(7, 4)])
  const ipma = Buffer.concat([Buffer.from([1, 0, 0, 1]), number(1, 4), number(7, 4), Buffer.from([2, 0, 1, 0x80, 2])])
  t.same(identifyImage(avif({ pitm, ipma })), image('avif', 30, 40))
})

t.test('boxes before an avif’s metadata are skipped, including those with a 64-bit size', async (t) => {
  const long = Buffer.concat([number(1, 4), Buffer.from('free'), number(0, 2), number(20, 6), Buffer.alloc(4)])
  t.same(identifyImage(avif({ ahead: long })), image('avif', 30, 40))
})

t.test('an avif whose boxes contradict each other is broken', async (t) => {
  const broken = { kind: 'broken', type: 'avif' }
  const entryTooLong = Buffer.concat([number(0, 4), number(1, 4), Buffer.from([0, 7, 9, 1])])
  const longSizeOf0 = Buffer.concat([number(1, 4), Buffer.from('free'), Buffer.alloc(8)])
  const halfASize = Buffer.concat([number(1, 4), Buffer.from('free')])
  t.same(identifyImage(avif({ pitm: Buffer.alloc(5) })), broken)
  t.same(identifyImage(avif({ ipma: entryTooLong })), broken)
  t.same(identifyImage(avif({ ahead: Buffer.alloc(8) })), broken)
  t.same(identifyImage(avif({ ahead: longSizeOf0 })), broken)
  t.same(identifyImage(Buffer.concat([fileType('avif'), halfASize])), broken)
})

t.test('an avif made to keep its reader busy is broken early', async (t) => {
  const many = (bytes: Buffer) => Buffer.alloc(5_000_000 - (5_000_000 % bytes.length), bytes)
  const meta = (...boxes: Buffer[]) => box('meta', Buffer.alloc(4), ...boxes)
  const files = {
    'boxes in the file': many(box('free')),
    'boxes in meta': meta(many(box('free'))),
    properties: meta(box('iprp', box('ipco', many(box('ispe', Buffer.alloc(12)))))),
    associations: meta(box('iprp', box('ipma', number(0, 4), number(1_600_000, 4), many(Buffer.alloc(3))))),
  }
  for (const [name, boxes] of Object.entries(files)) {
    const start = process.cpuUsage()
    t.same(identifyPart(Buffer.concat([fileType('avif'), boxes])), { kind: 'broken', type: 'avif' }, name)
    t.ok(millisecondsSince(start) < 1000)
  }
})

t.test('nested boxes cost no more than boxes side by side, and do not overflow the stack', async (t) => {
  for (const depth of [1800, 20_000]) {
    const inside = Buffer.alloc(8 * 90_000, box('free'))
    const heads = Buffer.alloc(8 * depth)
    for (let level = 0; level < depth; level++) {
      heads.writeUInt32BE(heads.length - 8 * level + inside.length, 8 * level)
      heads.write('mdia', 8 * level + 4, 'latin1')
    }
    const file = Buffer.concat([fileType('avis', 'msf1'), box('moov', box('trak', heads, inside))])
    const start = process.cpuUsage()
    t.same(identifyImage(file), { kind: 'broken', type: 'avif' })
    t.ok(millisecondsSince(start) < 1000, `${depth}: ${millisecondsSince(start)} ms`)
  }
})

t.test('a chunk may be reused after it was pushed', async (t) => {
  for (const type of TYPES) {
    const file = await makeImage({ type, orientation: 6, ...(type === 'gif' ? {} : { profileBytes: 3000 }) })
    for (const size of [1, 7, 64, 1000]) {
      const identifier = new Identifier()
      const memory = Buffer.alloc(size)
      let found: Identified | undefined
      for (let at = 0; at < file.length && !found; at += size) {
        const part = memory.subarray(0, file.copy(memory, 0, at, at + size))
        found = identifier.push(part)
        memory.fill(0x41)
      }
      t.same(found ?? identifier.end(), identifyImage(file), `${type} by ${size}`)
    }
  }
})

t.test('5 MiB made to keep its reader busy take less than a second', async (t) => {
  const size = 5 << 20
  const png = await makeImage({ type: 'png' })
  const hex = (text: string) => Buffer.from(text, 'hex')
  const files = {
    'stray bytes': [hex('ffd8fffe0002'), Buffer.alloc(size, 1)],
    'fill bytes': [hex('ffd8'), Buffer.alloc(size, 0xff)],
    'empty segments': [hex('ffd8'), Buffer.alloc(size, hex('fffe0002'))],
    'segments without a length': [hex('ffd8'), Buffer.alloc(size, hex('fffe0000'))],
    'Exif segments': [hex('ffd8'), Buffer.alloc(size, exif(tiff({ entries: 0 })))],
    'empty chunks': [png.subarray(0, 33), Buffer.alloc(size)],
    comments: [Buffer.alloc(size, '<!---->')],
    'comments that do not end': [Buffer.alloc(size, '<!--')],
  }
  for (const [name, parts] of Object.entries(files)) {
    const start = process.cpuUsage()
    identifyImage(Buffer.concat(parts))
    const took = millisecondsSince(start)
    t.ok(took < 1000, `${name}: ${took.toFixed(1)} ms`)
  }
})

/** Makes a generator of whole numbers from 0 to `below` - 1, the same in every run (linear congruential, 32 bits). */
function makeRandom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** Makes a copy with up to eight changes, half of them at the start, where the headers are. One in three is also cut off. */
function damage(file: Buffer, random: (below: number) => number): Buffer {
  const copy = Buffer.from(file)
  const place = () => random(random(2) === 0 ? Math.min(copy.length, 64) : copy.length)
  const changes = [
    (at: number) => copy.writeUInt8(random(256), at),
    (at: number) => copy.writeUInt8(copy.readUInt8(at) ^ (1 << random(8)), at),
    (at: number) => copy.subarray(at, at + 1 + random(8)).fill(random(2) * 255),
    (at: number) => copy.copy(copy, place(), at, at + random(64)),
    (at: number) =>
      copy.writeUInt32BE([0, 1, 7, 8, 0x7fffffff, 0xffffffff][random(6)] ?? 0, Math.min(at, copy.length - 4)),
  ]
  for (let left = random(9); left > 0; left -= 1) changes[random(changes.length)]?.(place())
  return random(3) === 0 ? copy.subarray(0, random(copy.length + 1)) : copy
}

t.test('no damaged file makes it throw, take long, or change its result', async (t) => {
  // FUZZ_INPUTS=100000 sets the number of files of each type
  const inputs = Number(process.env.FUZZ_INPUTS ?? 500)
  const random = makeRandom(20_240_320)
  const originals: [string, Buffer[]][] = [['none', Object.values(NOT_IMAGES)]]
  for (const type of TYPES) {
    const variants = [{ type }, { type, orientation: 6 }, { type, orientation: 8, profileBytes: 2000 }]
    originals.push([type, await Promise.all(variants.map(makeImage))])
  }
  originals.push(['avif by hand', [avif()]])

  let slowest = 0
  for (const [name, files] of originals) {
    const counts: Record<string, number> = {}
    for (let n = 0; n < inputs; n += 1) {
      const file = damage(files[random(files.length)] as Buffer, random)
      const part = file.subarray(0, random(file.length + 1))
      const start = process.cpuUsage()
      const early = identifyPart(part)
      const result = identifyImage(file)
      slowest = Math.max(slowest, millisecondsSince(start))
      counts[result.kind] = (counts[result.kind] ?? 0) + 1
      const hasSize = result.kind !== 'image' || (result.info.width > 0 && result.info.height > 0)
      const kept = early.kind === 'more' || JSON.stringify(early) === JSON.stringify(result)
      if (!hasSize || !kept) {
        t.fail('an impossible result', { early, result, part: part.length, file: file.toString('hex') })
      }
    }
    t.pass(`${inputs} files, ${name}: ${JSON.stringify(counts)}`)
  }
  t.ok(slowest < 1000, `the slowest took ${slowest.toFixed(1)} ms`)
})

/** Returns the processor time since `start` in milliseconds. Unlike the time of day it does not count what other programs do. */
function millisecondsSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start)
  return (user + system) / 1000
}
