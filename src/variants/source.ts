import type { ImageFormat } from '../images/types.ts'
import { avifSource } from './avif-source.ts'
import { gifSource } from './gif-source.ts'
import { pngSource } from './png-source.ts'

/** The bytes of an image for the decoder, and what it can't read from them. */
export interface Source {
  readonly bytes: Buffer
  /** Where the frame lies on the canvas, whose rest is transparent; at the top left if it is not said. */
  readonly place?: { readonly left: number; readonly top: number }
  /** The page of the first frame, if it is not the first page. */
  readonly firstPage?: number
  /** Whether colours are multiplied by their alpha already. */
  readonly isPremultiplied?: boolean
}

/** Prepares an image for libvips, whose decoders pass over some of what browsers respect. Copies the file only if it has to. */
export function sourceOf(file: Buffer, format: ImageFormat): Source {
  const { type } = format
  if (type === 'gif') return gifSource(file, format)
  if (type === 'png') return pngSource(file)
  if (type === 'avif') return avifSource(file)
  return { bytes: file }
}

const END_OF_IMAGE = Buffer.from('ffd9', 'hex')
const START_OF_SCAN = Buffer.from('ffda', 'hex')

/** A JPEG with the marker of its end, and without zeros that stand in its place; undefined if it has that marker. */
export function withEnd(jpeg: Buffer): Buffer | undefined {
  if (jpeg.lastIndexOf(END_OF_IMAGE) > jpeg.lastIndexOf(START_OF_SCAN)) return undefined
  let end = jpeg.length
  while (end > 0 && jpeg[end - 1] === 0) end -= 1
  // A zero after this byte is part of the scan
  if (jpeg[end - 1] === 0xff && end < jpeg.length) end += 1
  return Buffer.concat([jpeg.subarray(0, end), END_OF_IMAGE])
}
