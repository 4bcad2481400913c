import { crc32, deflateSync } from 'node:zlib'
import { type ColourSpace, fromCodePoints, fromGamma, iccProfile, SRGB } from './icc.ts'
import type { Source } from './source.ts'

interface Chunk {
  readonly type: string
  readonly content: Buffer
  readonly whole: Buffer
}

/** Reads the chunks of a PNG (PNG third edition, section 5.3), up to one that is cut off. */
function* chunksOf(file: Buffer): Generator<Chunk> {
  for (let at = 8; at + 12 <= file.length; ) {
    const end = at + 12 + file.readUInt32BE(at)
    if (end > file.length) return
    yield {
      type: file.toString('latin1', at + 4, at + 8),
      content: file.subarray(at + 8, end - 4),
      whole: file.subarray(at, end),
    }
    at = end
  }
}

function makeChunk(type: string, ...content: Buffer[]): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(8), ...content, Buffer.alloc(4)])
  bytes.writeUInt32BE(bytes.length - 12)
  bytes.write(type, 4, 'latin1')
  bytes.writeUInt32BE(crc32(bytes.subarray(4, -4)), bytes.length - 4)
  return bytes
}

/** Returns whether the checksum of a chunk is right (section 5.5). */
function isIntact(chunk: Buffer): boolean {
  return crc32(chunk.subarray(4, -4)) === chunk.readUInt32BE(chunk.length - 4)
}

/** Chunks that give the colour space. */
const COLOUR_CHUNKS = ['cICP', 'iCCP', 'sRGB', 'gAMA', 'cHRM']

/**
 * Rewrites a PNG so that libvips sees what browsers see. A colour space that a chunk gives without an ICC profile becomes a profile, and
 * an animation whose default image is not one of its frames becomes its first frame.
 */
export function pngSource(file: Buffer): Source {
  const head = new Map<string, Buffer>()
  let pixels: Buffer | undefined
  for (const { type, content, whole } of chunksOf(file)) {
    if (type === 'IDAT') {
      pixels = whole
      break
    }
    // Browsers ignore a damaged or late one
    const isIgnored = COLOUR_CHUNKS.includes(type) && (!isIntact(whole) || head.has('PLTE'))
    if (!head.has(type) && !isIgnored) head.set(type, content)
  }
  const header = head.get('IHDR')
  if (!header || header.length < 13 || !pixels) return { bytes: file }
  const space = colourSpaceOf(head)
  const frame = head.has('acTL') && !head.has('fcTL') ? firstFrame(file) : undefined
  const isConverted = space !== undefined && (space !== SRGB || head.has('iCCP'))
  if (!isConverted && !frame) return { bytes: file }

  const colourType = header[9] ?? 0
  const profile = isConverted && space !== SRGB ? iccProfile(space, (colourType & 2) === 0) : undefined
  const before: Buffer[] = [file.subarray(0, 8)]
  for (const { type, content, whole } of chunksOf(file)) {
    if (type === 'IDAT') break
    if (type === 'IHDR' && frame) before.push(makeChunk('IHDR', frame.size, content.subarray(8)))
    else if (!(isConverted && COLOUR_CHUNKS.includes(type)) && type !== 'acTL') before.push(whole)
    if (type === 'IHDR' && profile)
      before.push(makeChunk('iCCP', Buffer.from('colour\0\0', 'latin1'), deflateSync(profile)))
  }
  if (!frame) {
    return { bytes: Buffer.concat([...before, file.subarray(pixels.byteOffset - file.byteOffset)]) }
  }
  const bytes = Buffer.concat([...before, ...frame.data.map((data) => makeChunk('IDAT', data)), makeChunk('IEND')])
  return { bytes, place: { left: frame.left, top: frame.top } }
}

/** `cICP` has precedence, then a profile, `sRGB`, and `gAMA` with `cHRM` (section 12.1). `cHRM` alone is ignored, as in browsers. */
function colourSpaceOf(head: ReadonlyMap<string, Buffer>): ColourSpace | undefined {
  const codes = head.get('cICP')
  // Matrix 0 is RGB, and the range must be full
  if (codes && codes.length >= 4 && codes[2] === 0 && codes[3] === 1)
    return fromCodePoints(codes[0] ?? 2, codes[1] ?? 2)
  if (head.has('iCCP') || head.has('sRGB')) return undefined
  const gamma = head.get('gAMA')
  const chromaticities = head.get('cHRM')
  if (!gamma || gamma.length < 4) return undefined
  const value = gamma.readUInt32BE()
  if (!chromaticities || chromaticities.length < 32) return value === SRGB_GAMMA ? undefined : fromGamma(value)
  const [wx = 0, wy = 0, ...rgb] = Array.from({ length: 8 }, (_, index) => chromaticities.readUInt32BE(4 * index))
  return fromGamma(value, [...rgb, wx, wy])
}

/** The value of a `gAMA` chunk for sRGB (section 11.3.2.5). */
const SRGB_GAMMA = 45_455

interface Frame {
  /** Width and height, as in `IHDR`. */
  readonly size: Buffer
  readonly left: number
  readonly top: number
  readonly data: readonly Buffer[]
}

/** Most chunks of one frame: encoders write a few for each megabyte. */
const MAX_CHUNKS = 100_000

/** Returns the first frame of an animation whose default image is not a frame (section 11.3.6). */
function firstFrame(file: Buffer): Frame | undefined {
  let control: Buffer | undefined
  const data: Buffer[] = []
  for (const { type, content } of chunksOf(file)) {
    if ((type === 'fcTL' && control) || data.length >= MAX_CHUNKS) break
    if (type === 'fcTL' && content.length >= 26) control = content
    if (type === 'fdAT' && control) data.push(content.subarray(4))
  }
  if (!control || data.length === 0) return undefined
  return { size: control.subarray(4, 12), left: control.readUInt32BE(12), top: control.readUInt32BE(16), data }
}
