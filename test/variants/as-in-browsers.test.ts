import sharp from 'sharp'
import t from 'tap'
import { identifyImage } from '../../src/images/identify.ts'
import type { Format } from '../../src/layout/variant.ts'
import { resize } from '../../src/variants/resize.ts'
import { caseFile, fieldFiles, greyPng, withBrand } from '../images/field-files.ts'
import { openChromium, skipWithoutChromium as skip } from '../support/chromium.ts'
import { sample } from '../support/extent.ts'
import { makeImage } from '../support/images.ts'

const FORMATS: readonly Format[] = ['plain', 'webp', 'avif', 'jpeg']

/** Largest difference between two decoders, encoders and colour engines, of 255. */
const CLOSE = 16

interface Shown {
  readonly width: number
  readonly height: number
  /** Red, green, blue and alpha of the pixels at PLACES. */
  readonly pixels: readonly (readonly number[])[]
}

/** Places of the pixels that are compared, away from edges, as fractions of width and height. */
const PLACES = [0.03, 0.25, 0.52, 0.77, 0.97].flatMap((x) => [0.03, 0.25, 0.52, 0.77, 0.97].map((y) => [x, y] as const))

t.test('a variant has the size and the colours with which a browser shows the image', { skip }, async (t) => {
  const browser = await openChromium()
  const page = await browser.newPage()
  t.teardown(() => page.close())
  for (const [name, file] of sample([...(await fieldFiles())], 30)) {
    const found = identifyImage(file)
    if (found.kind !== 'image') {
      t.fail(`${name} is ${found.kind}`)
      continue
    }
    // Too large for a browser
    if (found.info.width > 10_000) continue
    const shown: Shown = await page.evaluate(
      async ({ url, places }) => {
        const image = new Image()
        image.src = url
        await image.decode()
        const { naturalWidth: width, naturalHeight: height } = image
        const context = new OffscreenCanvas(width, height).getContext('2d')
        context?.drawImage(image, 0, 0)
        const at = (x: number, y: number) => [
          ...(context?.getImageData(Math.floor(x * width), Math.floor(y * height), 1, 1).data ?? []),
        ]
        return { width, height, pixels: places.map(([x, y]) => at(x ?? 0, y ?? 0)) }
      },
      { url: `data:;base64,${file.toString('base64')}`, places: PLACES },
    )
    const { width, height } = found.info
    t.same([width, height], [shown.width, shown.height], `the size of ${name}`)
    for (const format of FORMATS) {
      const made = await resize(file, { width: 10_000, format })
      if (typeof made === 'string') {
        t.fail(`${name} as ${format} is ${made}`)
        continue
      }
      t.same([made.width, made.height], [width, height], `${name} as ${format}`)
      // JPEG halves the resolution of colours. Chromium takes a-sequence.avif for video with the curve of television
      const isCompared = format === (shown.pixels.every(([, , , alpha]) => alpha === 255) ? 'avif' : 'plain')
      if (isCompared && name !== 'a-sequence.avif')
        t.same(await differentPixels(made.bytes, shown), [], `colours of ${name}`)
    }
    const small = await resize(file, { width: Math.max(1, width >> 1), format: 'plain' })
    t.same(
      typeof small === 'string' ? small : [small.width, Math.abs(small.height - height / 2) <= 1],
      [Math.max(1, width >> 1), true],
      `${name} at half its width`,
    )
  }
})

/** Returns the pixels that differ between a variant and what the browser shows. */
async function differentPixels(variant: Buffer, { pixels }: Shown): Promise<unknown[]> {
  const { data, info } = await sharp(variant).ensureAlpha().raw().toBuffer({ resolveWithObject: true })
  return PLACES.map(([x, y], index) => {
    const at = 4 * (Math.floor(y * info.height) * info.width + Math.floor(x * info.width))
    return { at: [x, y], made: [...data.subarray(at, at + 4)], shown: pixels[index] ?? [] }
  }).filter(({ made, shown }) => {
    const isTransparent = made[3] === 0 && shown[3] === 0
    return !isTransparent && made.some((value, channel) => Math.abs(value - (shown[channel] ?? 0)) > CLOSE)
  })
}

t.test('the variants of a sequence do not depend on its major brand', async (t) => {
  for (const brand of sample(['avif', 'avis', 'msf1', 'mif1'], 1)) {
    const file = withBrand(caseFile('a-sequence.avif'), brand)
    t.match(identifyImage(file), { kind: 'image', info: { type: 'avif', width: 64, height: 64 } }, brand)
    for (const format of FORMATS)
      t.match(await resize(file, { width: 32, format }), { width: 32, height: 32 }, `${brand} as ${format}`)
  }
})

t.test('an animation keeps its delays and loops, even if its first frame is smaller than its canvas', async (t) => {
  const whole = await sharp(await makeImage({ type: 'gif', animated: true, width: 60, height: 40 }), { animated: true })
    .gif({ delay: [100, 200, 300], loop: 2 })
    .toBuffer()
  const larger = Buffer.from(whole)
  larger.writeUInt16LE(90, 6)
  for (const [file, width] of [
    [whole, 60],
    [larger, 90],
  ] as const)
    for (const format of ['webp', 'plain'] as const) {
      const made = await resize(file, { width: 100, format })
      if (typeof made === 'string') throw new Error(made)
      t.match(await sharp(made.bytes).metadata(), { width, pages: 3, delay: [100, 200, 300], loop: 2 }, format)
    }
})

t.test('a JPEG whose scan is cut off has no variant', async (t) => {
  const file = caseFile('j-no-eoi.jpg')
  t.equal(await resize(file.subarray(0, file.length >> 1), { width: 100, format: 'jpeg' }), 'broken')
})

t.test('greys of a high dynamic range become those that Chromium shows', async (t) => {
  // What Chromium 156 shows for grey levels in steps of 15 of PNGs with cICP 1/16 and 1/18, on a display without HDR
  const shown: Readonly<Record<number, readonly number[]>> = {
    16: [0, 1, 4, 13, 26, 42, 61, 85, 114, 150, 193, 221, 242, 255, 255, 255, 255, 255],
    18: [0, 2, 13, 26, 39, 52, 66, 79, 92, 106, 122, 142, 166, 194, 214, 229, 243, 255],
  }
  for (const [transfer, levels] of Object.entries(shown)) {
    for (const [index, level] of sample([...levels.entries()], 6)) {
      const made = await resize(greyPng(15 * index, Number(transfer)), { width: 100, format: 'webp' })
      if (typeof made === 'string') throw new Error(made)
      const [value = 0] = await sharp(made.bytes).raw().toBuffer()
      t.ok(Math.abs(value - level) <= 10, `transfer ${transfer}, ${15 * index}: ${value}, shown ${level}`)
    }
  }
})
