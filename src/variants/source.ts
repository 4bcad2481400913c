import type { ImageInfo } from '../images/types.ts'
import { avifSource } from './avif-source.ts'
import { gifSource } from './gif-source.ts'
import { pngSource } from './png-source.ts'

/** The bytes of an image for the decoder, and what it cannot read from them. */
export interface Source {
  readonly bytes: Buffer
  /** Place of the frame on the canvas, whose rest is transparent; the top left by default. */
  readonly place?: { readonly left: number; readonly top: number }
  /** Number of the page with the first frame; 0 by default. */
  readonly firstPage?: number
  /** Whether colours are multiplied by their alpha. */
  readonly isPremultiplied?: boolean
  /** What the decoder does not accept; errors by default. */
  readonly failOn?: 'warning'
}

/** Rewrites an image for libvips, whose decoders ignore some of what browsers respect. Copies the file only if necessary. */
export function sourceOf(file: Buffer, image: ImageInfo): Source {
  const { type } = image
  if (type === 'gif') return gifSource(file, image)
  if (type === 'png') return pngSource(file)
  if (type === 'avif') return avifSource(file)
  return { bytes: file }
}

const END_OF_IMAGE = Buffer.from('ffd9', 'hex')
const START_OF_SCAN = Buffer.from('ffda', 'hex')

/** Returns a JPEG with an end marker in place of trailing zeros, or undefined if it has an end marker. */
export function withEnd(jpeg: Buffer): Buffer | undefined {
  if (jpeg.lastIndexOf(END_OF_IMAGE) > jpeg.lastIndexOf(START_OF_SCAN)) return undefined
  let end = jpeg.length
  while (end > 0 && jpeg[end - 1] === 0) end -= 1
  // A zero after 0xff is part of the scan
  if (jpeg[end - 1] === 0xff && end < jpeg.length) end += 1
  return Buffer.concat([jpeg.subarray(0, end), END_OF_IMAGE])
}
