import { createCipheriv } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import sharp from 'sharp'
import type { ImageType } from '../../src/images/types.ts'

export interface ImageOptions {
  type: ImageType
  /** Stored pixels, before any orientation. */
  width?: number
  height?: number
  /** Exif Orientation, 1 to 8, which AVIF gets as `irot` and `imir`. */
  orientation?: number
  /** Three frames: gif and webp. */
  animated?: boolean
  /** jpg only. */
  progressive?: boolean
  /** webp only. */
  lossless?: boolean
  /** Bytes of an ICC profile that does not compress: jpg, png and avif keep it ahead of the size or the pixels. */
  profileBytes?: number
}

const cache = new Map<string, Promise<Buffer>>()

/** A real image of noise, made by a real encoder; the same options give the same Buffer, so do not change it. */
export function makeImage(options: ImageOptions): Promise<Buffer> {
  const key = JSON.stringify(options, Object.keys(options).sort())
  let image = cache.get(key)
  if (!image) {
    image = encode(options)
    cache.set(key, image)
  }
  return image
}

async function encode(options: ImageOptions): Promise<Buffer> {
  const { type, width = 40, height = 30, orientation, animated, progressive, lossless, profileBytes } = options
  const pages = animated ? 3 : 1
  const pixels = noise(width * height * pages * 3)
  const raw = { width, height: height * pages, channels: 3 as const, ...(animated ? { pageHeight: height } : {}) }
  let image = sharp(pixels, { raw })
  if (orientation) image = image.withMetadata({ orientation })
  const folder = mkdtempSync(join(tmpdir(), 'images-'))
  try {
    if (profileBytes) {
      const path = join(folder, 'profile.icc')
      writeFileSync(path, await makeProfile(profileBytes))
      image = image.withIccProfile(path)
    }
    if (type === 'jpg') return await image.jpeg({ progressive: progressive === true }).toBuffer()
    if (type === 'png') return await image.png({ compressionLevel: 1 }).toBuffer()
    if (type === 'gif') return await image.gif({ effort: 1 }).toBuffer()
    if (type === 'webp') return await image.webp({ lossless: lossless === true, effort: 0 }).toBuffer()
    return await image.avif({ effort: 0 }).toBuffer()
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** A photo that is to be turned by a quarter, and says in its Exif data where it was taken: at 47° 59′ 15″ north, in Atlantis. */
export async function makePhoto(): Promise<Buffer> {
  return await sharp(noise(40 * 30 * 3), { raw: { width: 40, height: 30, channels: 3 } })
    .withMetadata({ orientation: 6 })
    .withExifMerge({
      IFD0: { Artist: 'Plato' },
      IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '47/1 59/1 15/1', GPSMapDatum: 'Atlantis' },
    })
    .jpeg()
    .toBuffer()
}

/** The encoder's own P3 profile with noise after its last tag: valid, since a profile says itself how long it is. */
async function makeProfile(bytes: number): Promise<Buffer> {
  const tagged = await sharp(noise(3), { raw: { width: 1, height: 1, channels: 3 } })
    .withIccProfile('p3')
    .png()
    .toBuffer()
  const { icc } = await sharp(tagged).metadata()
  if (!icc) throw new Error('the encoder wrote no profile')
  const profile = Buffer.concat([icc, noise(bytes)]).subarray(0, bytes)
  profile.writeUInt32BE(bytes, 0)
  return profile
}

const bigCache = new Map<number, Promise<Buffer>>()

/** A valid, uncompressed, square PNG of `bytes` or up to 1 % more, from 100,000 bytes on; 40 MB take a tenth of a second. */
export function bigImage(bytes: number): Promise<Buffer> {
  let image = bigCache.get(bytes)
  if (!image) {
    const width = Math.ceil(Math.sqrt(bytes / 3))
    // Each row has a byte for its filter.
    const height = Math.ceil(bytes / (width * 3 + 1))
    image = sharp(noise(width * height * 3), { raw: { width, height, channels: 3 }, limitInputPixels: false })
      .png({ compressionLevel: 0, adaptiveFiltering: false })
      .toBuffer()
    bigCache.set(bytes, image)
  }
  return image
}

/** Makes a PNG larger: to exactly these many bytes, at least 12 more than it has, by compressed data that no decoder needs. */
export function paddedPng(png: Buffer, bytes: number): Buffer {
  const end = png.length - 12
  const chunk = Buffer.alloc(bytes - png.length, 'story')
  chunk.writeUInt32BE(chunk.length - 12)
  chunk.write('IDAT', 4, 'latin1')
  chunk.writeUInt32BE(crc32(chunk.subarray(4, -4)), chunk.length - 4)
  return Buffer.concat([png.subarray(0, end), chunk, png.subarray(end)])
}

/** One MiB of noise over and over: as good as fresh noise for an encoder of single images, and much faster to make. */
function noise(bytes: number): Buffer {
  return Buffer.alloc(bytes, NOISE.subarray(0, Math.max(1, Math.min(bytes, NOISE.length))))
}
// A key stream: the same in every run, so that a failure can be met again.
const NOISE = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(1 << 20))

/** An ISO base media file box (ISO/IEC 14496-12 section 4.2). */
export function box(type: string, ...content: (Buffer | string)[]): Buffer {
  const body = Buffer.concat(content.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)))
  const header = Buffer.alloc(8)
  header.writeUInt32BE(8 + body.length, 0)
  header.write(type, 4, 'latin1')
  return Buffer.concat([header, body])
}

/** The head of an ISO base media file: `brands` are the major brand and the compatible ones. */
export function fileType(...brands: string[]): Buffer {
  return box('ftyp', brands[0] ?? '', '\0\0\0\0', ...brands.slice(1))
}

const SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"><rect width="40" height="30"/></svg>\n'

/** Whole small files that are no image of ours. */
export const NOT_IMAGES = {
  svg: Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>\n<!-- drawn by hand -->\n${SVG}`),
  svgUtf16: Buffer.from(`\ufeff${SVG}`, 'utf16le'),
  /** What an iPhone's photo begins with. */
  heic: Buffer.concat([fileType('heic', 'mif1', 'heic'), box('meta', '\0\0\0\0', box('hdlr', '\0'.repeat(25)))]),
  html: Buffer.from('<!doctype html>\n<title>Not an image</title>\n<p>Hello</p>\n'),
  text: Buffer.from('Not an image, just a line of text.\n'),
  pdf: Buffer.from('%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n'),
  zip: Buffer.from('504b0506000000000000000000000000000000000000', 'hex'),
  mp4: Buffer.concat([fileType('isom', 'isom', 'mp42'), box('mdat', '\0'.repeat(16))]),
  /** One white pixel. */
  bmp: Buffer.from(
    '424d3a0000000000000036000000280000000100000001000000010018000000000004000000130b0000130b00000000000000000000ffffff00',
    'hex',
  ),
  /** A little-endian file with an empty directory. */
  tiff: Buffer.from('49492a0008000000000000000000', 'hex'),
}
