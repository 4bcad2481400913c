import { createCipheriv } from 'node:crypto'
import { crc32, deflateRawSync, constants as zlib } from 'node:zlib'
import sharp, { type Sharp } from 'sharp'
import { box, fileType } from '../support/images.ts'
import type { Genes } from './genes.ts'

/**
 * Makes images that real programs hardly write, each of a set of genes: valid ones of extreme sizes and kinds, and such whose headers
 * claim what their bytes don't hold. Most are small and quickly made, whatever they take to decode.
 */
export const HOSTILE_IMAGES: Readonly<Record<string, (genes: Genes) => Promise<Buffer>>> = {
  png: async (genes) => png(pngOf(genes)),
  jpeg,
  gif: async (genes) => gif(genes),
  webp,
  avif,
}

const MIB = 1024 * 1024
/** Largest image that variants are made of (src/variants/variants.ts). */
const MAX_BYTES = 128 * MIB
/** Noise, which does not compress. */
const NOISE = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(MIB))

/** Draws width and height: first the area, mostly a large one, and then the ratio of the sides. */
function sizeOf(genes: Genes, mostPixels: number, mostSide: number): { width: number; height: number } {
  const isLarge = genes.chance('large', 0.5)
  const area = genes.size('area', isLarge ? mostPixels / 20 : 1, mostPixels)
  const aspect = genes.oneOf('shape', [1, 1, 0]) || genes.size('aspect', 1 / mostPixels, mostPixels)
  const width = Math.min(mostSide, Math.max(1, Math.floor(Math.sqrt(area * aspect))))
  return { width, height: Math.min(mostSide, Math.max(1, Math.floor(area / width))) }
}

/** Draws how many bytes to append: mostly none, sometimes as many as a file may have. */
const ballastOf = (genes: Genes, name: string, most = MAX_BYTES - MIB) =>
  genes.chance(`has ${name}`, 0.08) ? genes.size(name, 1000, most) : 0

function noiseOf(size: number): Buffer {
  return Buffer.alloc(size, NOISE)
}

// PNG

export interface Png {
  readonly width: number
  readonly height: number
  readonly depth?: number
  /** 0 is grey, 2 RGB, 3 a palette, 4 and 6 have alpha. */
  readonly colour?: number
  readonly isInterlaced?: boolean
  /** Whether rows are noise, not zeros. */
  readonly isNoise?: boolean
  /** Exif Orientation. */
  readonly orientation?: number
  /** Whether one colour is transparent. */
  readonly isKeyed?: boolean
  /** How many texts there are, and how many bytes each has when it is decompressed. */
  readonly texts?: readonly [count: number, size: number]
  readonly profile?: Buffer
  /** Bytes after the last chunk. */
  readonly ballast?: number
  /** Bytes of an unknown chunk. */
  readonly unknown?: number
}

function pngOf(genes: Genes): Png {
  const depth = genes.oneOf('depth', [1, 2, 4, 8, 8, 16, 16, 16])
  const colours = depth === 16 ? [0, 2, 4, 6, 6] : depth === 8 ? [0, 2, 3, 4, 6] : [0, 3]
  const isNoise = genes.chance('noise', 0.2)
  return {
    ...sizeOf(genes, isNoise ? 25e6 : 110e6, genes.oneOf('sides', [65_535, 65_535, 20_000, 10e6])),
    depth,
    colour: genes.oneOf('colour', colours),
    isInterlaced: genes.chance('interlaced', 0.4),
    isNoise,
    orientation: genes.chance('turned', 0.3) ? genes.oneOf('orientation', [2, 3, 4, 5, 6, 7, 8]) : 1,
    isKeyed: genes.chance('keyed', 0.2),
    texts: genes.chance('texts', 0.15)
      ? [Math.floor(genes.size('text count', 1, 2000)), Math.floor(genes.size('text size', 1000, 16 * MIB))]
      : [0, 0],
    ballast: Math.floor(ballastOf(genes, 'ballast')),
    unknown: Math.floor(ballastOf(genes, 'unknown')),
  }
}

const CHANNELS: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }

/** Width, height and first pixel of the passes of an interlaced PNG (section 8.2). */
const PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const

/** Makes a valid PNG: one of a hundred megapixels in milliseconds, if its rows are zeros. */
export function png(image: Png): Buffer {
  const { width, height, depth = 8, colour = 6, isInterlaced = false, isNoise = false, orientation = 1 } = image
  const [count, size] = image.texts ?? [0, 0]
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([depth, colour, 0, 0, isInterlaced ? 1 : 0], 8)
  const bits = depth * (CHANNELS[colour] ?? 1)
  const lengths = (isInterlaced ? PASSES : [[0, 0, 1, 1] as const]).map(([x, y, dx, dy]) => {
    const [across, down] = [Math.ceil((width - x) / dx), Math.ceil((height - y) / dy)]
    return { row: Math.ceil((across * bits) / 8) + 1, rows: across > 0 ? Math.max(0, down) : 0 }
  })
  const total = lengths.reduce((sum, { row, rows }) => sum + row * rows, 0)
  const pixels = isNoise
    ? stored(Buffer.concat(lengths.flatMap(({ row, rows }) => Array<Buffer>(rows).fill(noisyRow(row)))))
    : zlibZeros(total)
  const text = chunk('zTXt', Buffer.from('Comment\0\0', 'latin1'), zlibZeros(size))
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    ...(image.profile ? [chunk('iCCP', Buffer.from('p\0\0', 'latin1'), stored(image.profile))] : []),
    ...(colour === 3 ? [chunk('PLTE', Buffer.alloc(3 * 2 ** depth, 99))] : []),
    ...(image.isKeyed && colour < 4 ? [chunk('tRNS', Buffer.alloc(colour === 3 ? 1 : colour === 2 ? 6 : 2))] : []),
    ...(orientation > 1 ? [chunk('eXIf', exif(orientation))] : []),
    ...Array<Buffer>(count).fill(text),
    ...(image.unknown ? [chunk('unKn', noiseOf(image.unknown))] : []),
    chunk('IDAT', pixels),
    chunk('IEND'),
    noiseOf(image.ballast ?? 0),
  ]).subarray(0, MAX_BYTES)
}

function chunk(type: string, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), ...content])
  const ends = Buffer.alloc(8)
  ends.writeUInt32BE(body.length - 4, 0)
  ends.writeUInt32BE(crc32(body), 4)
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)])
}

/** The first byte says that the row is not filtered. */
function noisyRow(length: number): Buffer {
  const row = noiseOf(length)
  row[0] = 0
  return row
}

/** Makes a zlib stream (RFC 1950) of zeros: the same compressed MiB again and again. */
function zlibZeros(size: number): Buffer {
  const end = Buffer.alloc(4)
  // Adler-32 of zeros
  end.writeUInt16BE(size % 65_521, 0)
  end.writeUInt16BE(1, 2)
  const rest = deflateRawSync(Buffer.alloc(size % MIB))
  return Buffer.concat([Buffer.from([0x78, 1]), ...Array<Buffer>(Math.floor(size / MIB)).fill(ZEROS), rest, end])
}
const ZEROS = deflateRawSync(Buffer.alloc(MIB), { finishFlush: zlib.Z_FULL_FLUSH })

/** Makes a zlib stream without compression. */
function stored(content: Buffer): Buffer {
  let [a, b] = [1, 0]
  for (let at = 0; at < content.length; ) {
    // The most bytes that can be added up before the remainder is due
    const end = Math.min(content.length, at + 3800)
    for (; at < end; at++) {
      a += content[at] as number
      b += a
    }
    a %= 65_521
    b %= 65_521
  }
  const sum = Buffer.alloc(4)
  sum.writeUInt16BE(b, 0)
  sum.writeUInt16BE(a, 2)
  return Buffer.concat([Buffer.from([0x78, 1]), deflateRawSync(content, { level: 0 }), sum])
}

/** TIFF with one entry: the orientation. */
function exif(orientation: number): Buffer {
  return Buffer.from(`4d4d002a0000000800010112000300000001000${orientation}000000000000`, 'hex')
}

// JPEG

/** The longest side, in pixels, of a JPEG that libjpeg can encode (`JPEG_MAX_DIMENSION` in its jmorecfg.h). */
const MAX_JPEG_SIDE = 65_500

async function jpeg(genes: Genes): Promise<Buffer> {
  const { width, height } = sizeOf(genes, 110e6, 65_535)
  const kind = genes.oneOf('kind', ['rgb', 'rgb', 'grey', 'cmyk'])
  // Encoded at its size, or with a small scan that only claims to have it
  const isReal = genes.chance('real', 0.3) && width * height < 12e6 && Math.max(width, height) <= MAX_JPEG_SIDE
  const encoded = await canvas(isReal ? width : 64, isReal ? height : 64, 3, genes.chance('noise', 0.5))
    .toColourspace(kind === 'grey' ? 'b-w' : kind === 'cmyk' ? 'cmyk' : 'srgb')
    .jpeg({
      progressive: genes.chance('progressive', 0.6),
      chromaSubsampling: genes.oneOf('chroma', ['4:4:4', '4:2:0']),
      quality: genes.oneOf('quality', [10, 80, 100]),
      optimizeScans: genes.chance('scans', 0.5),
    })
    .toBuffer()
  const bytes = withSize(genes.chance('apart', 0.2) ? ofOneComponent(encoded) : encoded, width, height)
  const frame = startOfFrame(bytes)
  if (genes.chance('patched', 0.3)) {
    // 0xc1 extended, 0xc9 and 0xca with arithmetic coding
    bytes[frame + 1] = genes.oneOf('coding', [bytes[frame + 1] as number, 0xc1, 0xc2, 0xc9, 0xca])
    for (let component = 0; component < (bytes[frame + 9] as number); component++)
      bytes[frame + 11 + 3 * component] = genes.oneOf(`sampling ${component}`, [0x11, 0x22, 0x44, 0x41, 0x14, 0x21])
  }
  const segments: Buffer[] = []
  if (genes.chance('turned', 0.3))
    segments.push(segment(0xe1, 'Exif\0\0', exif(genes.oneOf('orientation', [2, 3, 4, 5, 6, 7, 8]))))
  const marker = genes.oneOf('marker', [0xe0, 0xe1, 0xe1, 0xe2, 0xed, 0xfe])
  const head = genes.oneOf('head', ['', 'Exif\0\0', 'http://ns.adobe.com/xap/1.0/\0', 'ICC_PROFILE\0\x01\xff'])
  const ballast = ballastOf(genes, 'segments')
  for (let size = 0; size < ballast; size += 65_000) segments.push(segment(marker, head, noiseOf(65_000)))
  return Buffer.concat([bytes.subarray(0, 2), ...segments, bytes.subarray(2)]).subarray(0, MAX_BYTES)
}

/** Makes a JPEG claim another size. Decoders fill in what is missing. */
export function withSize(jpeg: Buffer, width: number, height: number): Buffer {
  const bytes = Buffer.from(jpeg)
  const frame = startOfFrame(bytes)
  bytes.writeUInt16BE(height, frame + 5)
  bytes.writeUInt16BE(width, frame + 7)
  return bytes
}

/** Removes all components but the first from the first scan: then decoders hold the coefficients of a baseline JPEG too. */
function ofOneComponent(jpeg: Buffer): Buffer {
  const scan = jpeg.indexOf('ffda', 0, 'hex')
  const end = scan + 2 + jpeg.readUInt16BE(scan + 2)
  const head = Buffer.from('ffda000801', 'hex')
  return Buffer.concat([jpeg.subarray(0, scan), head, jpeg.subarray(scan + 5, scan + 7), jpeg.subarray(end - 3)])
}

function segment(marker: number, head: string, content: Buffer): Buffer {
  const start = Buffer.from([0xff, marker, 0, 0])
  start.writeUInt16BE(2 + head.length + content.length, 2)
  return Buffer.concat([start, Buffer.from(head, 'latin1'), content])
}

function startOfFrame(bytes: Buffer): number {
  for (let at = 2; at < bytes.length; at += 2 + bytes.readUInt16BE(at + 2)) {
    const marker = bytes[at + 1] as number
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) return at
  }
  throw new Error('no frame')
}

// GIF

/** Makes frames that each change a part of the canvas. A large canvas takes memory only if the first frame fills it. */
function gif(genes: Genes): Buffer {
  const frames = genes.chance('film', 0.7) ? Math.floor(genes.size('frames', 2, 100_000)) : 1
  const { width, height } = sizeOf(genes, 110e6 / (genes.chance('whole film', 0.7) ? frames : 1), 65_535)
  const part = genes.oneOf('part', [0, 0.5, 1, 1])
  const [across, down] = [Math.max(1, Math.floor(width * part)), Math.max(1, Math.floor(height * part))]
  const frame = Buffer.concat([
    Buffer.from([0x21, 0xf9, 4, genes.oneOf('disposal', [0, 4, 8, 12]) | genes.oneOf('clear', [0, 1]), 0, 0, 0, 0]),
    Buffer.from([0x2c, 0, 0, 0, 0, across & 255, across >> 8, down & 255, down >> 8, 0, 2, 2, 0x44, 1, 0]),
  ])
  const comments = Math.floor(ballastOf(genes, 'comments') / 256)
  const comment = Buffer.concat([Buffer.from([255]), noiseOf(255)])
  return Buffer.concat([
    gifHead(width, height),
    ...(comments > 0 ? [Buffer.from([0x21, 0xfe]), ...Array<Buffer>(comments).fill(comment), Buffer.alloc(1)] : []),
    ...Array<Buffer>(frames).fill(frame),
    Buffer.from(';'),
  ]).subarray(0, MAX_BYTES)
}

function gifHead(width: number, height: number): Buffer {
  const head = Buffer.from('GIF89a....\x80\0\0\0\0\0\xff\xff\xff', 'latin1')
  head.writeUInt16LE(width, 6)
  head.writeUInt16LE(height, 8)
  return head
}

// WebP

async function webp(genes: Genes): Promise<Buffer> {
  const frames = genes.chance('film', 0.4) ? Math.floor(genes.size('frames', 2, 20_000)) : 1
  const claimed = sizeOf(genes, 110e6 / (genes.chance('whole film', 0.7) ? frames : 1), 16_383)
  const isReal = genes.chance('real', 0.6) && claimed.width * claimed.height < 30e6
  const { width, height } = isReal ? claimed : { width: 64, height: 64 }
  const isLossless = genes.chance('lossless', 0.5)
  const encoded = await canvas(width, height, genes.oneOf('channels', [3, 4]), genes.chance('noise', 0.3))
    .webp({ lossless: isLossless, effort: 0, quality: genes.oneOf('quality', [10, 80, 100]) })
    .toBuffer()
  // The chunks of an image without metadata
  const pieces = chunksOf(encoded).filter(({ type }) => ['ALPH', 'VP8 ', 'VP8L'].includes(type))
  if (!isReal && genes.chance('patched', 0.5)) for (const piece of pieces) claim(piece.bytes, claimed)
  const chunks = Buffer.concat(pieces.map(({ bytes }) => bytes))
  const canvasSize = genes.chance('own canvas', 0.2) ? claimed : { width, height }
  const flags = (frames > 1 ? 2 : 0) | 4 | 8 | 16 | 32
  const extended = Buffer.alloc(10)
  extended[0] = flags
  extended.writeUIntLE(canvasSize.width - 1, 4, 3)
  extended.writeUIntLE(canvasSize.height - 1, 7, 3)
  const frameHead = Buffer.alloc(16)
  frameHead.writeUIntLE(width - 1, 6, 3)
  frameHead.writeUIntLE(height - 1, 9, 3)
  frameHead.writeUIntLE(100, 12, 3)
  frameHead[15] = genes.oneOf('disposal', [0, 1, 2, 3])
  const most = Math.max(1, Math.min(frames, Math.floor((MAX_BYTES - MIB) / (chunks.length + 24))))
  const body = frames > 1 ? Array<Buffer>(most).fill(riff('ANMF', Buffer.concat([frameHead, chunks]))) : [chunks]
  const turned = genes.chance('turned', 0.3) ? [riff('EXIF', exif(genes.oneOf('orientation', [3, 5, 6, 8])))] : []
  const ballast = Math.floor(ballastOf(genes, 'ballast'))
  const extra = ballast > 0 ? [riff(genes.oneOf('extra', ['ICCP', 'EXIF', 'XMP ', 'unKn']), noiseOf(ballast))] : []
  const isSimple = frames === 1 && turned.length === 0 && extra.length === 0 && genes.chance('simple', 0.5)
  return riff(
    'RIFF',
    Buffer.concat([
      Buffer.from('WEBP'),
      ...(isSimple ? [] : [riff('VP8X', extended)]),
      ...(frames > 1 ? [riff('ANIM', Buffer.alloc(6))] : []),
      ...extra,
      ...body,
      ...turned,
    ]),
  ).subarray(0, MAX_BYTES)
}

function riff(type: string, content: Buffer): Buffer {
  const head = Buffer.from(`${type}....`)
  head.writeUInt32LE(content.length, 4)
  return Buffer.concat([head, content, Buffer.alloc(content.length % 2)])
}

function chunksOf(bytes: Buffer): { type: string; bytes: Buffer }[] {
  const chunks: { type: string; bytes: Buffer }[] = []
  for (let at = 12; at < bytes.length; ) {
    const end = at + 8 + bytes.readUInt32LE(at + 4)
    chunks.push({ type: bytes.toString('latin1', at, at + 4), bytes: Buffer.from(bytes.subarray(at, end + (end % 2))) })
    at = end + (end % 2)
  }
  return chunks
}

/** Writes another size into the header of a bitstream (RFC 6386 section 9.1, RFC 9649 section 3.4). */
function claim(piece: Buffer, { width, height }: { width: number; height: number }): void {
  const type = piece.toString('latin1', 0, 4)
  if (type === 'VP8 ') {
    piece.writeUInt16LE(width & 0x3fff, 14)
    piece.writeUInt16LE(height & 0x3fff, 16)
  }
  if (type === 'VP8L') {
    const bits = piece.readUInt32LE(9)
    piece.writeUInt32LE(((bits & 0xf0000000) | ((width - 1) & 0x3fff) | (((height - 1) & 0x3fff) << 14)) >>> 0, 9)
  }
}

// AVIF

async function avif(genes: Genes): Promise<Buffer> {
  const claimed = sizeOf(genes, 36e6, 65_535)
  const isReal =
    genes.chance('real', 0.5) &&
    claimed.width * claimed.height < 8e6 &&
    Math.max(claimed.width, claimed.height) < 16_384
  const { width, height } = isReal ? claimed : { width: 64, height: 64 }
  const isNoise = genes.chance('noise', 0.3) && width * height < 1e6
  const encoded = await canvas(width, height, genes.oneOf('channels', [3, 4]), isNoise)
    .avif({
      effort: 0,
      quality: genes.oneOf('quality', [10, 50, 90]),
      bitdepth: genes.oneOf('depth', [8, 10, 12]),
      chromaSubsampling: genes.oneOf('chroma', ['4:4:4', '4:2:0']),
      lossless: genes.chance('lossless', 0.1),
    })
    .toBuffer()
  const bytes = Buffer.from(encoded)
  if (!isReal) {
    if (genes.chance('own extent', 0.7)) claimExtent(bytes, claimed)
    if (genes.chance('own sequence', 0.7)) claimSequence(bytes, claimed)
  }
  const isGrid = genes.chance('grid', 0.3)
  const whole = isGrid ? grid(bytes, genes, isReal ? undefined : claimed) : bytes
  return Buffer.concat([whole, box('free', noiseOf(Math.floor(ballastOf(genes, 'ballast'))))]).subarray(0, MAX_BYTES)
}

/** Writes another size into each `ispe` box (ISO/IEC 23008-12 section 6.5.3). */
function claimExtent(bytes: Buffer, { width, height }: { width: number; height: number }): void {
  for (let at = bytes.indexOf('ispe'); at >= 0; at = bytes.indexOf('ispe', at + 1)) {
    bytes.writeUInt32BE(width, at + 8)
    bytes.writeUInt32BE(height, at + 12)
  }
}

/** A temporal delimiter, and the type of the sequence header after it (AV1 sections 5.3.2 and 6.2.2). */
const FRAME_START = Buffer.from([0x12, 0x00, 0x0a])

/**
 * Writes another size into the sequence header of each frame (AV1 section 5.5.1), as far as there are bits for it: what there is beside it
 * moves, so the frame is damaged, after its size was believed.
 */
function claimSequence(bytes: Buffer, claimed: { width: number; height: number }): void {
  for (let at = bytes.indexOf(FRAME_START); at >= 0; at = bytes.indexOf(FRAME_START, at + 1)) {
    const start = at + FRAME_START.length + 1
    bytes.set(sequenceOf(bytes.subarray(start, start + (bytes[start - 1] as number)), claimed), start)
  }
}

/** Makes the same header with another size. */
function sequenceOf(header: Uint8Array, { width, height }: { width: number; height: number }): Uint8Array {
  const bits = [...header].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  // A still image with a reduced header: profile, two flags, level, and then the number of bits of either side
  const isReduced = bits[4] === '1'
  const at = isReduced ? 10 : 5 + 2 + 5 + 12 + 5
  const [across, down] = [
    Number.parseInt(bits.slice(at, at + 4), 2) + 1,
    Number.parseInt(bits.slice(at + 4, at + 8), 2) + 1,
  ]
  const field = (value: number) =>
    Math.max(0, value - 1)
      .toString(2)
      .padStart(16, '0')
      .slice(-16)
  const rest = bits.slice(at + 8 + across + down)
  const other = `${bits.slice(0, at)}11111111${field(width)}${field(height)}${rest}`.slice(0, bits.length)
  return Uint8Array.from(other.match(/.{8}/g) ?? [], (byte) => Number.parseInt(byte, 2))
}

/** Makes an image of identical tiles (ISO/IEC 23008-12 section 6.6.2.3.2). */
function grid(tile: Buffer, genes: Genes, claimed = { width: 0, height: 0 }): Buffer {
  const [rows, columns] = [genes.size('rows', 1, 256), genes.size('columns', 1, 256)].map(Math.floor) as [
    number,
    number,
  ]
  const find = (type: string) => {
    const at = tile.indexOf(type) - 4
    return tile.subarray(at, at + tile.readUInt32BE(at))
  }
  const data = find('mdat').subarray(8)
  const extent = find('ispe')
  const [tileWidth, tileHeight] = [extent.readUInt32BE(12), extent.readUInt32BE(16)]
  const [width, height] = genes.chance('claimed grid', 0.3)
    ? [claimed.width, claimed.height]
    : [tileWidth * columns, tileHeight * rows]
  const u16 = (...values: number[]) =>
    Buffer.concat(values.map((value) => Buffer.from([(value >> 8) & 255, value & 255])))
  const u32 = (...values: number[]) => Buffer.concat(values.map((value) => u16(value >>> 16, value & 65_535)))
  const descriptor = Buffer.concat([Buffer.from([0, 1, rows - 1, columns - 1]), u32(width, height)])
  const tiles = Array.from({ length: rows * columns }, (_, n) => n + 2)
  const full = (version: number, flags = 0) => u32(version * 2 ** 24 + flags)
  const entry = (id: number, type: string) => box('infe', full(2), u16(id, 0), type, '\0')
  const meta = (offset: number) =>
    box(
      'meta',
      full(0),
      box('hdlr', full(0), u32(0), 'pict', Buffer.alloc(13)),
      box('pitm', full(0), u16(1)),
      box('iinf', full(0), u16(tiles.length + 1), entry(1, 'grid'), ...tiles.map((id) => entry(id, 'av01'))),
      box('iref', full(0), box('dimg', u16(1, tiles.length, ...tiles))),
      box(
        'iprp',
        box('ipco', box('ispe', full(0), u32(width, height)), extent, find('av1C'), find('pixi')),
        box(
          'ipma',
          full(0),
          u32(tiles.length + 1),
          u16(1),
          Buffer.from([2, 1, 4]),
          ...tiles.map((id) => Buffer.concat([u16(id), Buffer.from([3, 2, 0x83, 4])])),
        ),
      ),
      box(
        'iloc',
        full(0),
        Buffer.from([0x44, 0]),
        u16(tiles.length + 1),
        ...[1, ...tiles].map((id) => {
          const [from, length] = id === 1 ? [offset, descriptor.length] : [offset + descriptor.length, data.length]
          return Buffer.concat([u16(id, 0, 1), u32(from, length)])
        }),
      ),
    )
  const head = fileType('avif', 'mif1', 'miaf')
  return Buffer.concat([head, meta(head.length + meta(0).length + 8), box('mdat', descriptor, data)])
}

/** Makes an image of one colour, or of noise. */
function canvas(width: number, height: number, channels: 3 | 4, isNoise: boolean): Sharp {
  const options = { limitInputPixels: false }
  if (isNoise) return sharp(noiseOf(width * height * channels), { raw: { width, height, channels }, ...options })
  const background = { r: 200, g: 30, b: 30, alpha: 0.5 }
  return sharp({ create: { width, height, channels, background }, ...options })
}
