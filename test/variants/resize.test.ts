import { crc32 } from 'node:zlib'
import sharp from 'sharp'
import t from 'tap'
import { identifyImage } from '../../src/images/identify.ts'
import type { Format } from '../../src/layout/variant.ts'
import { resize, type Variant } from '../../src/variants/resize.ts'
import { png } from '../attack/hostile-images.ts'
import { fieldFiles } from '../images/field-files.ts'
import { sample } from '../support/extent.ts'
import { makeImage, NOT_IMAGES } from '../support/images.ts'

const FORMATS: readonly Format[] = ['jpeg', 'webp', 'avif', 'plain']

async function made(source: Buffer, width: number, format: Format, height?: number): Promise<Variant> {
  const result = await resize(source, { width, height, format })
  if (typeof result === 'string') throw new Error(`It is ${result}`)
  return result
}

const red = { r: 200, g: 30, b: 30 }
const green = { r: 30, g: 200, b: 30 }

/** Makes an image that is displayed with red above and green below. It is stored turned and mirrored as the orientation says. */
async function upright(orientation: number, type: 'jpeg' | 'avif' = 'jpeg'): Promise<Buffer> {
  const half = { width: 60, height: 40, channels: 3 as const }
  const stored = await sharp({ create: { ...half, height: 80, background: green } })
    .composite([{ input: { create: { ...half, background: red } }, gravity: 'north' }])
    .png()
    .toBuffer()
  // The inverse of what a browser does
  const image = sharp(stored)
  if ([2, 5, 7, 4].includes(orientation)) image.flop()
  const angle = { 3: 180, 4: 180, 5: 270, 6: 270, 7: 90, 8: 90 }[orientation] ?? 0
  const turned = await image.png().toBuffer()
  return sharp(turned).rotate(angle).withMetadata({ orientation }).toFormat(type, { quality: 95 }).toBuffer()
}

t.test('a variant is upright whatever the Exif orientation of its image', async (t) => {
  for (let orientation = 1; orientation <= 8; orientation++) {
    const source = await upright(orientation)
    for (const format of FORMATS) {
      const { bytes, width, height } = await made(source, 30, format)
      t.same([width, height], [30, 40], `orientation ${orientation} as ${format}`)
      const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true })
      t.same([info.width, info.height], [30, 40], 'and nothing is left to turn')
      const redness = (y: number) => {
        const at = (y * info.width + 15) * info.channels
        return data.readUInt8(at) - data.readUInt8(at + 1)
      }
      t.ok(redness(5) > 50 && redness(35) < -50, `orientation ${orientation}: ${redness(5)} above ${redness(35)}`)
      t.equal((await sharp(bytes).metadata()).orientation ?? 1, 1)
    }
  }
})

t.test('the Exif orientation of a WebP is ignored, as in browsers', async (t) => {
  for (const animated of [false, true]) {
    const image = sharp(await makeImage({ type: 'webp', animated, width: 60, height: 40 }), { animated })
    const source = await image.withMetadata({ orientation: 6 }).webp().toBuffer()
    const about = await sharp(source).metadata()
    t.equal(about.orientation, 6)
    for (const format of FORMATS) {
      const { bytes, width, height } = await made(source, 30, format)
      t.same([width, height], [30, 20], format)
      const isAnimation = animated && (format === 'webp' || format === 'plain')
      t.equal((await sharp(bytes).metadata()).pages ?? 1, isAnimation ? about.pages : 1, format)
    }
  }
})

t.test('a variant has no metadata: no place, no camera, no profile, and nothing that was appended', async (t) => {
  const bare = await sharp(await makeImage({ type: 'jpg', profileBytes: 5000 }))
    .keepIccProfile()
    .withExif({ IFD0: { Make: 'A camera' }, IFD3: { GPSLatitude: '52/1 31/1 0/1', GPSLatitudeRef: 'N' } })
    .withXmp('<x:xmpmeta xmlns:x="adobe:ns:meta/"/>')
    .jpeg()
    .toBuffer()
  // APP13 with IPTC's "city" (IIM 2:90), and a comment
  const iptc = 'Photoshop 3.0\0' + '8BIM\x04\x04\0\0\0\0\0\x0e' + '\x1c\x02\x5a\0\x09Some town'
  const inserted = Buffer.from(`\xff\xed\0\x2a${iptc}\xff\xfe\0\x0bA comment`, 'latin1')
  const source = Buffer.concat([bare.subarray(0, 2), inserted, bare.subarray(2), Buffer.from('<script>')])
  const before = await sharp(source).metadata()
  t.ok(before.exif?.includes('A camera') && before.icc && before.xmp && before.iptc, 'the source has some')
  for (const format of FORMATS) {
    for (const width of [20, 1920]) {
      const { bytes } = await made(source, width, format)
      const left = await sharp(bytes).metadata()
      t.same(
        [left.exif, left.icc, left.xmp, left.iptc],
        [undefined, undefined, undefined, undefined],
        `${format} ${width}`,
      )
      for (const text of ['A camera', 'Some town', 'A comment', '<script>']) t.notOk(bytes.includes(text), text)
    }
  }
})

t.test('a variant is in sRGB', async (t) => {
  const pixel = { width: 8, height: 8, channels: 3 as const, background: { r: 255, g: 0, b: 0 } }
  const p3 = await sharp({ create: pixel }).withIccProfile('p3').png().toBuffer()
  const cmyk = await sharp({ create: pixel }).toColourspace('cmyk').jpeg().toBuffer()
  const deep = await sharp({ create: pixel }).toColourspace('rgb16').png().toBuffer()
  for (const [what, source] of Object.entries({ p3, cmyk, deep })) {
    const { bytes } = await made(source, 8, 'webp')
    const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true })
    t.equal(info.channels, 3, what)
    t.ok((data[0] ?? 0) > 220 && (data[1] ?? 255) < 60 && (data[2] ?? 255) < 60, `${what}: ${[...data.subarray(0, 3)]}`)
  }
})

t.test('a variant is never larger than its image', async (t) => {
  for (const type of ['jpg', 'png', 'gif', 'webp', 'avif'] as const) {
    const source = await makeImage({ type, width: 60, height: 40 })
    for (const format of FORMATS) {
      const { width, height } = await made(source, 640, format)
      t.same([width, height], [60, 40], `${type} as ${format}`)
      const small = await made(source, 30, format)
      t.same([small.width, small.height], [30, 20], `${type} as ${format}`)
    }
  }
})

const BOXES = [
  { width: 32, height: 24 },
  { width: 20, height: 40 },
  { width: 64, height: 8 },
] as const

t.test('a crop fills its box, and where the image is smaller it has the shape of the box', async (t) => {
  for (const type of ['jpg', 'png', 'gif', 'webp', 'avif'] as const) {
    for (const animated of type === 'gif' || type === 'webp' ? [false, true] : [false]) {
      const source = await makeImage({ type, animated, width: 60, height: 40 })
      for (const format of FORMATS) {
        for (const [width, height, expected] of [
          [32, 24, [32, 24]],
          [20, 40, [20, 40]],
          [60, 10, [60, 10]],
          [640, 480, [53, 40]],
          [30, 60, [20, 40]],
          [9999, 1, [60, 1]],
          [1, 9999, [1, 40]],
        ] as const) {
          const result = await made(source, width, format, height)
          const { pages = 1, pageHeight, ...about } = await sharp(result.bytes).metadata()
          const what = `${type}, ${animated}, as ${format} of ${width} × ${height}`
          t.same([result.width, result.height], expected, what)
          t.same([about.width, pageHeight ?? about.height], expected, what)
          t.equal(pages, animated && (format === 'webp' || format === 'plain') ? 3 : 1, what)
        }
      }
    }
  }
})

t.test('a crop is a part of the variant that is not cropped, whatever the orientation and the canvas', async (t) => {
  const turned = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(async (n) => [`JPEG ${n}`, await upright(n)] as const))
  const avif = await upright(7, 'avif')
  const fromFields = [...(await fieldFiles())].filter(([, file]) => file.length < 100_000)
  for (const [name, file] of [...turned, ['AVIF 7', avif] as const, ...sample(fromFields, 30)]) {
    for (const box of BOXES) {
      const crop = await resize(file, { ...box, format: 'plain' })
      if (crop === 'huge') continue
      if (crop === 'broken') throw new Error(`${name} is broken`)
      const found = identifyImage(file)
      if (found.kind !== 'image') throw new Error(`${name} is ${found.kind}`)
      const { width, height } = found.info
      const scale = Math.min(1, Math.max(box.width / width, box.height / height))
      const whole = await made(file, Math.max(1, Math.round(width * scale)), 'plain')
      const left = Math.round((whole.width - crop.width) / 2)
      const top = Math.round((whole.height - crop.height) / 4)
      const pixels = (bytes: Buffer) => sharp(bytes).flatten({ background: 'white' }).toColourspace('srgb')
      const part = await pixels(whole.bytes)
        .extract({ left, top, width: crop.width, height: crop.height })
        .raw()
        .toBuffer()
      const shown = await pixels(crop.bytes).raw().toBuffer()
      const difference = shown.reduce((sum, value, at) => sum + Math.abs(value - (part[at] ?? 1000)), 0) / shown.length
      t.equal(shown.length, part.length, name)
      t.ok(difference < 8, `${name} as ${box.width} × ${box.height}: ${difference}`)
    }
  }
})

t.test('a crop cuts off more at the bottom than at the top, and the same on both sides', async (t) => {
  const ramp = Buffer.from(
    Array.from(
      { length: 100 * 100 * 3 },
      (_, at) => [2 * (Math.floor(at / 3) % 100), 2 * Math.floor(at / 300), 0][at % 3] ?? 0,
    ),
  )
  const source = await sharp(ramp, { raw: { width: 100, height: 100, channels: 3 } })
    .png()
    .toBuffer()
  for (const [width, height, left, top] of [
    [100, 20, 0, 20],
    [20, 100, 40, 0],
  ] as const) {
    const { bytes } = await made(source, width, 'webp', height)
    const [red = 0, green = 0] = await sharp(bytes).extract({ left: 0, top: 0, width: 1, height: 1 }).raw().toBuffer()
    t.ok(Math.abs(red - 2 * left) < 12 && Math.abs(green - 2 * top) < 12, `${width} × ${height}: ${red} ${green}`)
  }
})

t.test('an animation stays one as WebP and GIF, and becomes its first frame as JPEG and AVIF', async (t) => {
  for (const type of ['gif', 'webp'] as const) {
    const source = await makeImage({ type, animated: true, width: 60, height: 40 })
    const frames = (await sharp(source).metadata()).pages
    for (const [format, contentType, pages] of [
      ['webp', 'image/webp', frames],
      ['plain', 'image/gif', frames],
      ['jpeg', 'image/jpeg', 1],
      ['avif', 'image/avif', 1],
    ] as const) {
      const { bytes, width, height, ...result } = await made(source, 30, format)
      t.equal(result.contentType, contentType, `${type} as ${format}`)
      t.same([width, height], [30, 20], `${type} as ${format}`)
      t.equal((await sharp(bytes).metadata()).pages ?? 1, pages, `${type} as ${format}`)
    }
  }
})

t.test('transparency stays, except as JPEG, where it becomes white', async (t) => {
  const clear = { width: 8, height: 8, channels: 4 as const, background: { r: 0, g: 0, b: 0, alpha: 0 } }
  const source = await sharp({ create: clear }).png().toBuffer()
  t.equal((await made(source, 8, 'plain')).contentType, 'image/png')
  for (const format of ['plain', 'webp', 'avif'] as const) {
    t.equal((await sharp((await made(source, 8, format)).bytes).stats()).isOpaque, false, format)
  }
  const { data } = await sharp((await made(source, 8, 'jpeg')).bytes)
    .raw()
    .toBuffer({ resolveWithObject: true })
  t.ok((data[0] ?? 0) > 250)
  t.equal((await made(await makeImage({ type: 'png' }), 8, 'plain')).contentType, 'image/jpeg')
})

t.test('a very tall image fits into every format', async (t) => {
  for (const width of [1, 20]) {
    const long = { width, height: 30_000, channels: 3 as const, background: red }
    const source = await sharp({ create: long }).png().toBuffer()
    for (const format of FORMATS)
      t.equal((await made(source, 320, format)).height, 16_383, `${width} wide as ${format}`)
  }
})

t.test('a broken image, and a file that is not an image of the five types, has no variant', async (t) => {
  const whole = await makeImage({ type: 'jpg', width: 400, height: 300 })
  const broken = {
    cut: whole.subarray(0, whole.length / 2),
    head: whole.subarray(0, 200),
    nothing: Buffer.from('x'),
    ...NOT_IMAGES,
    tiff: await sharp({ create: { width: 8, height: 8, channels: 3, background: red } })
      .tiff()
      .toBuffer(),
  }
  for (const [what, bytes] of Object.entries(broken))
    t.equal(await resize(bytes, { width: 320, format: 'webp' }), 'broken', what)
})

t.test('a variant has no more pixels than the memory of its encoder allows, and keeps its shape', async (t) => {
  const long = { width: 3500, height: 14_000, channels: 3 as const, background: red }
  const source = await sharp({ create: long }).png({ compressionLevel: 1 }).toBuffer()
  const { width, height } = await made(source, 9999, 'avif')
  t.ok(width * height > 12e6 && width * height < 13e6, `${width} × ${height}`)
  t.ok(Math.abs(height / width - 4) < 0.01, `${width} × ${height}`)
})

t.test('an image with a side of more than 65,535 pixels is too large', async (t) => {
  t.type(await resize(png({ width: 65_535, height: 1 }), { width: 320, format: 'webp' }), 'object')
  t.type(await resize(png({ width: 1, height: 65_535 }), { width: 320, format: 'webp' }), 'object')
  t.equal(await resize(png({ width: 65_536, height: 1 }), { width: 320, format: 'webp' }), 'huge')
  t.equal(await resize(png({ width: 1, height: 65_536 }), { width: 320, format: 'webp' }), 'huge')
})

t.test('an image of too many pixels is not decoded', async (t) => {
  const png = Buffer.from(await makeImage({ type: 'png' }))
  // In IHDR, its first chunk. If it were decoded it would be broken, for it has too few bytes
  png.writeUInt32BE(11_000, 16)
  png.writeUInt32BE(10_000, 20)
  png.writeUInt32BE(crc32(png.subarray(12, 29)), 29)
  t.equal(await resize(png, { width: 320, format: 'webp' }), 'huge')
})
