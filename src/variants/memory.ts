import type { Metadata } from 'sharp'
import type { Size } from '../images/types.ts'

/**
 * Estimates from the header of an image how much memory it takes to make a variant, so that a job that would take too much is refused
 * before the image is decoded. Headers can lie and estimates can be wrong: the kernel enforces a limit as well (worker-process.ts).
 */

const MIB = 1024 * 1024

/** Most memory of a worker while it makes a variant, and the encoder's share of it, in bytes. */
export const MAX_MEMORY = 720 * MIB
const MAX_ENCODER_MEMORY = 384 * MIB

/** Most memory of an idle worker, which is what it takes to make the smallest variant, in bytes. */
export const IDLE_MEMORY = 128 * MIB

/** Most rows of an image that libvips holds while it scales them down. */
const MAX_ROWS = 2000

export type Encoder = 'jpeg' | 'png' | 'webp' | 'avif' | 'gif'

/** Most bytes for each pixel of a variant, or of a frame of an animation: measured with noise, which takes the most. */
const ENCODER_BYTES = { jpeg: 8, png: 24, webp: 24, avif: 32, gif: 30 }
const ENCODER_BYTES_ALPHA = { ...ENCODER_BYTES, avif: 44 }
const ENCODER_BYTES_ANIMATION = { ...ENCODER_BYTES, webp: 66 }
/** In addition, for each pixel of all frames: up to three copies of the encoded frames exist when they are joined. */
const JOIN_BYTES = 3

export interface Plan {
  /** Bytes of the image. */
  readonly size: number
  readonly metadata: Metadata
  /** In pixels, as stored. A frame may be smaller. */
  readonly canvas: Size
  /** The part of the image that the variant shows: in pixels of the image, as displayed, and not always whole ones. */
  readonly shown: Size
  /** More than one if the variant is an animation. */
  readonly frames: number
  readonly encoder: Encoder
  /** Bytes for each pixel of the scaled image that are held in addition to the encoder's. */
  readonly held: number
}

/** Returns the largest width, in pixels, of a variant of this shape for which the encoder has enough memory. */
export function maxWidth(plan: Plan): number {
  const { canvas, shown, held } = plan
  const bytesPerPixel = bytesToEncode(plan) + held * (pixelsOf(canvas) / pixelsOf(shown))
  return Math.max(1, Math.floor(Math.sqrt((MAX_ENCODER_MEMORY / bytesPerPixel) * (shown.width / shown.height))))
}

/**
 * Returns how much memory it takes to make a variant, in bytes.
 *
 * @param scale from the image to the variant, at most 1
 */
export function memoryFor(plan: Plan, scale: number): number {
  const { size, metadata, canvas, shown, frames, held } = plan
  const { exif, icc, iptc, xmp } = metadata
  // Held by the decoder and by libvips, in addition to the file itself
  const blocks = [exif, icc, iptc, xmp].reduce((sum, block) => sum + 2 * (block?.length ?? 0), 0)
  const encoded = pixelsOf(shown) * (bytesToEncode(plan) + (frames > 1 ? JOIN_BYTES * frames : 0))
  const encoding = (encoded + pixelsOf(canvas) * held) * scale ** 2
  const decoding = bytesToDecode(plan, scale)
  // Of what the decoder of an AVIF takes, less is left while the variant is encoded
  const kept = metadata.format === 'heif' ? metadata.width * metadata.height * 8 : decoding
  return IDLE_MEMORY + size + blocks + Math.max(decoding, kept + encoding)
}

function bytesToEncode({ metadata, frames, encoder }: Plan): number {
  const bytes = frames > 1 ? ENCODER_BYTES_ANIMATION : metadata.hasAlpha ? ENCODER_BYTES_ALPHA : ENCODER_BYTES
  return bytes[encoder]
}

function pixelsOf({ width, height }: Size): number {
  return width * height
}

function bytesToDecode({ metadata, frames }: Plan, scale: number): number {
  const { format, width, height, channels, depth, isProgressive, bitsPerSample = 8 } = metadata
  const pixels = width * height
  const bytesPerPixel = channels * (depth === 'uchar' ? 1 : 2)
  const rows = Math.min(height, MAX_ROWS) * width * bytesPerPixel
  // These three decode a whole frame: the figures include everything that is held of it
  if (format === 'heif') return pixels * (bitsPerSample > 8 ? 27 : 20)
  if (format === 'gif') return pixels * 9
  // All frames of an animation are held for resizing
  if (format === 'webp') return pixels * (8 + (frames > 1 ? channels * frames : 0))
  // A JPEG can be decoded at a half, a quarter or an eighth of its size; a progressive one has coefficients of two bytes
  const coefficients = pixels * channels * (metadata.chromaSubsampling === '4:2:0' ? 1 : 2)
  if (format === 'jpeg') return rows * Math.min(1, 2 * scale) + (isProgressive ? coefficients : 0)
  return rows + (isProgressive ? pixels * bytesPerPixel : 0)
}
