import { readdirSync, readFileSync } from 'node:fs'
import { crc32, deflateSync } from 'node:zlib'
import sharp from 'sharp'
import { box, fileType } from '../support/images.ts'

const CASES = new URL('./cases/', import.meta.url)

/** Reads a small file that other servers of this kind have been seen to get wrong. */
export function caseFile(name: string): Buffer {
  return readFileSync(new URL(name, CASES))
}

/** Makes files that browsers show differently from a decoder alone, by description. */
export async function fieldFiles(): Promise<Map<string, Buffer>> {
  const files = new Map(readdirSync(CASES).map((name) => [name, caseFile(name)]))
  for (const [screen, ...frames] of GIFS)
    files.set(`GIF, screen ${screen.join(' × ')}, frames ${frames.join(' and ')}`, gif(screen, frames))
  for (const [name, chunks] of Object.entries(COLOURS)) {
    files.set(`PNG with ${name}`, png(2, chunks))
    files.set(`grey PNG with ${name}`, png(0, chunks))
  }
  for (const [primaries, transfer] of CODE_POINTS)
    files.set(`AVIF, nclx ${primaries}/${transfer}`, withCodePoints(caseFile('a-nclx-p3.avif'), primaries, transfer))
  files.set('APNG whose first frame is smaller and no default image', animatedPng(10, 20, 30, 20))
  for (const [name, chunks] of Object.entries(DEEP)) {
    files.set(`16-bit PNG with ${name}`, png(2, chunks, [200, 100, 50], 16))
    files.set(`16-bit grey PNG with ${name}`, png(0, chunks, [128], 16))
    files.set(`16-bit grey PNG with alpha and ${name}`, png(4, chunks, [128, 200], 16))
  }
  const patch = { create: { width: 64, height: 48, channels: 3 as const, background: '#c86432' } }
  for (const profile of ['srgb', 'p3']) {
    const tagged = sharp(patch).withIccProfile(profile)
    files.set(`16-bit PNG with a profile of ${profile}`, await tagged.clone().toColourspace('rgb16').png().toBuffer())
    files.set(`10-bit AVIF with a profile of ${profile}`, await tagged.clone().avif({ bitdepth: 10 }).toBuffer())
  }
  files.set('AVIF with premultiplied colours and no alpha', withText(caseFile('a-alpha-prem.avif'), 'auxl', 'auxx'))
  const jpeg = await sharp(patch).jpeg().toBuffer()
  files.set('JPEG without its end, and zeros instead', Buffer.concat([jpeg.subarray(0, -2), Buffer.alloc(100)]))
  const progressive = await sharp(jpeg).jpeg({ progressive: true }).toBuffer()
  files.set('progressive JPEG without its end', progressive.subarray(0, -2))
  files.set('AVIF sequence without meta', withoutMeta(caseFile('a-sequence.avif')))
  return files
}

type Size = readonly [width: number, height: number]
type Frame = readonly [left: number, top: number, width: number, height: number]

/** libvips does not believe some screen sizes, such as 640 × 480 and more than 2048. */
const GIFS: readonly (readonly [Size, ...Frame[]])[] = [
  [
    [1, 1],
    [10, 5, 60, 40],
  ],
  [
    [30, 100],
    [0, 0, 60, 40],
  ],
  [
    [50, 50],
    [20, 20, 40, 10],
  ],
  [
    [50, 50],
    [0, 0, 50, 50],
    [20, 20, 60, 60],
  ],
  [
    [800, 600],
    [0, 0, 50, 50],
    [20, 20, 900, 60],
  ],
  [
    [3000, 10],
    [0, 0, 5, 5],
  ],
  [
    [800, 600],
    [5, 5, 20, 20],
  ],
  [
    [1024, 768],
    [5, 5, 20, 20],
  ],
  [
    [0, 40],
    [0, 0, 20, 20],
  ],
  [
    [641, 480],
    [5, 5, 20, 20],
  ],
]

/** Makes a GIF whose frames have one colour each. */
function gif([width, height]: Size, frames: readonly Frame[]): Buffer {
  const parts = [Buffer.from('GIF89a'), little(width, height), Buffer.from('800000000000c86432', 'hex')]
  for (const frame of frames) {
    parts.push(Buffer.from('21f9040409000000', 'hex'), Buffer.from(','), little(...frame), Buffer.from([0, 2]))
    // A clear code before each pair of pixels, so that codes stay three bits wide (GIF89a appendix F)
    const codes = Array.from({ length: frame[2] * frame[3] }, (_, pixel) => (pixel % 2 === 0 ? [4, 1] : [1])).flat()
    const bits = [...codes, 5, 0, 0, 0].flatMap((code) => [code & 1, (code >> 1) & 1, code >> 2])
    const data = Buffer.alloc(bits.length >> 3)
    for (let bit = 0; bit < data.length * 8; bit++)
      data[bit >> 3] = (data[bit >> 3] ?? 0) | ((bits[bit] ?? 0) << (bit & 7))
    for (let at = 0; at < data.length; at += 255) {
      const block = data.subarray(at, at + 255)
      parts.push(Buffer.from([block.length]), block)
    }
    parts.push(Buffer.alloc(1))
  }
  return Buffer.concat([...parts, Buffer.from(';')])
}

function little(...values: number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length)
  for (const [index, value] of values.entries()) bytes.writeUInt16LE(value, 2 * index)
  return bytes
}

function pngChunk(type: string, content: Buffer): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(8), content, Buffer.alloc(4)])
  bytes.writeUInt32BE(content.length)
  bytes.write(type, 4, 'latin1')
  bytes.writeUInt32BE(crc32(bytes.subarray(4, -4)), bytes.length - 4)
  return bytes
}

function long(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, 4 * index)
  return bytes
}

/** Code points of primaries and transfer (ITU-T H.273). */
const CODE_POINTS: readonly (readonly [number, number])[] = [
  [1, 1],
  [1, 8],
  [1, 13],
  [2, 2],
  [9, 13],
  [9, 14],
  [12, 13],
  [12, 4],
]

const cicp = (primaries: number, transfer: number) => pngChunk('cICP', Buffer.from([primaries, transfer, 0, 1]))
const gamma = (value: number) => pngChunk('gAMA', long(value))
const SRGB = pngChunk('sRGB', Buffer.alloc(1))
const P3 = pngChunk('cHRM', long(31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000))

const COLOURS: Readonly<Record<string, readonly Buffer[]>> = {
  ...Object.fromEntries(CODE_POINTS.map((codes) => [`cICP ${codes.join('/')}`, [cicp(...codes)]])),
  'cICP beside sRGB': [cicp(12, 13), SRGB],
  'gAMA 55556': [gamma(55_556)],
  'gAMA of sRGB': [gamma(45_455)],
  'gAMA of sRGB, cHRM of P3': [gamma(45_455), P3],
  'gAMA 100000': [gamma(100_000)],
  'gAMA 0': [gamma(0)],
  'a damaged gAMA': [withText(gamma(100_000), 'gAMA', 'gAMA', 1)],
  'gAMA and a cHRM that can not be': [
    gamma(55_556),
    pngChunk('cHRM', long(31_270, 32_900, 64_000, 33_000, 64_000, 33_000, 64_000, 33_000)),
  ],
  'cICP 12/2': [cicp(12, 2)],
  'cICP 2/8': [cicp(2, 8)],
  'cHRM alone': [P3],
  'gAMA beside sRGB': [gamma(100_000), SRGB],
}

/** Makes a PNG of one grey, whose `cICP` has this transfer code point (ITU-T H.273). */
export function greyPng(level: number, transfer: number): Buffer {
  return png(2, [cicp(1, transfer)], [level, level, level])
}

const DEEP: Readonly<Record<string, readonly Buffer[]>> = {
  'gAMA 100000': [gamma(100_000)],
  'cICP 12/13': [cicp(12, 13)],
  'nothing besides': [],
}

/** Makes a PNG of one colour. */
function png(
  colourType: 0 | 2 | 4,
  chunks: readonly Buffer[],
  colour = colourType === 0 ? [128] : [200, 100, 50],
  depth: 8 | 16 = 8,
): Buffer {
  const samples = Array.from({ length: 16 }, () => colour).flat()
  const row = Buffer.from([0, ...(depth === 8 ? samples : samples.flatMap((sample) => [sample, sample]))])
  return Buffer.concat([
    PNG_SIGNATURE,
    pngChunk('IHDR', Buffer.concat([long(16, 8), Buffer.from([depth, colourType, 0, 0, 0])])),
    ...chunks,
    pngChunk('IDAT', deflateSync(Buffer.concat(Array(8).fill(row)))),
    pngChunk('IEND', Buffer.alloc(0)),
  ])
}

const PNG_SIGNATURE = Buffer.from('89504e470d0a1a0a', 'hex')

/** Makes an animation of 80 × 60 whose default image is red and not a frame, and whose first frame is green. */
function animatedPng(left: number, top: number, width: number, height: number): Buffer {
  const pixels = (width: number, height: number, colour: readonly number[]) =>
    deflateSync(Buffer.from(Array.from({ length: height }, () => [0, ...Array(width).fill(colour).flat()]).flat()))
  const control = (number: number, place: Buffer) =>
    pngChunk('fcTL', Buffer.concat([long(number), place, Buffer.from([0, 1, 0, 1, 0, 0])]))
  const green = pixels(width, height, [0, 200, 0])
  return Buffer.concat([
    PNG_SIGNATURE,
    pngChunk('IHDR', Buffer.concat([long(80, 60), Buffer.from([8, 2, 0, 0, 0])])),
    pngChunk('acTL', long(1, 1)),
    pngChunk('IDAT', pixels(80, 60, [254, 0, 0])),
    control(0, long(width, height, left, top)),
    pngChunk('fdAT', Buffer.concat([long(1), green.subarray(0, 20)])),
    pngChunk('fdAT', Buffer.concat([long(2), green.subarray(20)])),
    pngChunk('IEND', Buffer.alloc(0)),
  ])
}

function withCodePoints(avif: Buffer, primaries: number, transfer: number): Buffer {
  const copy = Buffer.from(avif)
  const at = copy.indexOf('nclx') + 4
  copy.writeUInt16BE(primaries, at)
  copy.writeUInt16BE(transfer, at + 2)
  return copy
}

/** Makes a copy in which one text is replaced by another, whose last byte is increased. */
function withText(file: Buffer, text: string, other: string, change = 0): Buffer {
  const copy = Buffer.from(file)
  copy.write(other, copy.indexOf(text), 'latin1')
  copy.writeUInt8((copy.readUInt8(copy.length - 1) + change) & 255, copy.length - 1)
  return copy
}

/** Makes a copy of an AVIF whose clean aperture is moved to the right. */
export function withOffset(avif: Buffer, pixels: number): Buffer {
  const copy = Buffer.from(avif)
  const at = copy.indexOf('clap') + 4 + 16
  copy.writeInt32BE(pixels, at)
  copy.writeUInt32BE(1, at + 4)
  return copy
}

function withoutMeta(avif: Buffer): Buffer {
  const copy = Buffer.from(avif)
  copy.write('free', copy.indexOf('meta'), 'latin1')
  // Brands that require one
  copy.write('avismsf1iso8iso8iso8iso8iso8', 16, 'latin1')
  return copy
}

export function withBrand(avif: Buffer, brand: string): Buffer {
  const copy = Buffer.from(avif)
  copy.write(brand, 8, 'latin1')
  return copy
}

/** Makes a copy of a JPEG with this many bytes of comments, which uploads keep, before its size. */
export function withComments(jpeg: Buffer, bytes: number): Buffer {
  const segment = Buffer.concat([Buffer.from('fffeffff', 'hex'), Buffer.alloc(65_533, 'A comment. ')])
  return Buffer.concat([
    jpeg.subarray(0, 2),
    Buffer.alloc(segment.length * Math.ceil(bytes / segment.length), segment),
    jpeg.subarray(2),
  ])
}

/** Makes an AVIF whose pixels come before its `meta` box. */
export function withPixelsFirst(bytes: number, width: number, height: number): Buffer {
  const ispe = box('ispe', long(0, width, height))
  const iprp = box('iprp', box('ipco', ispe), box('ipma', long(0, 1), Buffer.from([0, 1, 1, 1])))
  const meta = box('meta', long(0), box('pitm', long(0), Buffer.from([0, 1])), iprp)
  return Buffer.concat([fileType('avif', 'mif1'), box('mdat', Buffer.alloc(bytes)), meta])
}
