import type { Metadata } from 'sharp'

/**
 * Estimates by the header of an image how much memory a variant of it takes to make, so that what would take too much is refused before
 * it is decoded. Headers can lie, and estimates err: what a worker can have at all the kernel limits (worker-process.ts).
 */

const MIB = 1024 * 1024

/** Most memory of a worker while it makes a variant, and what of that is for the encoder, in bytes. */
export const MOST_MEMORY = 720 * MIB
const MOST_TO_ENCODE = 384 * MIB

/** Most memory of a worker between two images, and what it takes for the smallest one, in bytes. */
export const REST = 128 * MIB

/** How many rows of an image libvips holds at most, one beside the other, while it makes them fewer. */
const MOST_ROWS = 2000

export type Encoder = 'jpeg' | 'png' | 'webp' | 'avif' | 'gif'

/** Most bytes for each pixel of a variant, or of a frame of an animation: measured with noise, which takes the most. */
const TO_ENCODE = { jpeg: 8, png: 24, webp: 24, avif: 32, gif: 30 }
const TO_ENCODE_ALPHA = { ...TO_ENCODE, avif: 44 }
const TO_ENCODE_FILM = { ...TO_ENCODE, webp: 66 }
/** Besides, for each pixel of all frames: what is encoded of them is there up to three times when it is put together. */
const TO_JOIN = 3

/** A variant to be made. */
export interface Plan {
  /** Bytes of the image. */
  readonly size: number
  readonly about: Metadata
  /** In pixels, as stored: a frame may be smaller. */
  readonly canvas: { readonly width: number; readonly height: number }
  /** Whether width and height are swapped when it is displayed. */
  readonly isTurned: boolean
  /** More than one when the variant is an animation. */
  readonly frames: number
  readonly encoder: Encoder
  /** Bytes for each pixel of the variant that are held beside the encoder. */
  readonly held: number
}

/** The most pixels for each row of a variant of this shape, for the encoder to have enough memory. */
export function mostWidth(plan: Plan): number {
  const { canvas, isTurned } = plan
  const shape = isTurned ? canvas.height / canvas.width : canvas.width / canvas.height
  return Math.max(1, Math.floor(Math.sqrt((MOST_TO_ENCODE / bytesToEncode(plan)) * shape)))
}

/**
 * How much memory it takes to make a variant, in bytes.
 *
 * @param scale from the image to the variant, 1 or less
 */
export function memoryFor(plan: Plan, scale: number): number {
  const { size, about, canvas, frames } = plan
  const { exif, icc, iptc, xmp } = about
  // Held by the decoder and by libvips, beside the file itself
  const metadata = [exif, icc, iptc, xmp].reduce((sum, block) => sum + 2 * (block?.length ?? 0), 0)
  const pixels = canvas.width * canvas.height * scale ** 2
  const encoding = pixels * (bytesToEncode(plan) + (frames > 1 ? TO_JOIN * frames : 0))
  const [decoding, kept] = bytesToDecode(plan, scale)
  return REST + size + metadata + Math.max(decoding, kept + encoding)
}

function bytesToEncode({ about, frames, encoder, held }: Plan): number {
  return held + (frames > 1 ? TO_ENCODE_FILM : about.hasAlpha ? TO_ENCODE_ALPHA : TO_ENCODE)[encoder]
}

/** What the decoder takes, and what of that is still there when the variant is encoded. */
function bytesToDecode({ about, frames }: Plan, scale: number): readonly [decoding: number, kept: number] {
  const { format, width, height, channels, depth, isProgressive, bitsPerSample = 8 } = about
  const pixels = width * height
  const bytesPerPixel = channels * (depth === 'uchar' ? 1 : 2)
  const rows = Math.min(height, MOST_ROWS) * width * bytesPerPixel
  // These decode a frame as a whole: the figures have all that is held of it
  if (format === 'heif') return [pixels * (bitsPerSample > 8 ? 27 : 20), pixels * 8]
  if (format === 'gif') return both(pixels * 9)
  // An animation is there with all its frames, for resizing
  if (format === 'webp') return both(pixels * (8 + (frames > 1 ? channels * frames : 0)))
  // A JPEG can be decoded at a half, a quarter or an eighth of its size; a progressive one has coefficients of two bytes
  const coefficients = pixels * channels * (about.chromaSubsampling === '4:2:0' ? 1 : 2)
  if (format === 'jpeg') return both(rows * Math.min(1, 2 * scale) + (isProgressive ? coefficients : 0))
  return both(rows + (isProgressive ? pixels * bytesPerPixel : 0))
}

function both(bytes: number): readonly [number, number] {
  return [bytes, bytes]
}
