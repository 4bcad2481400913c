import type { ImageInfo } from '../images/types.ts'
import { avifSource } from './avif-source.ts'
import { gifSource } from './gif-source.ts'
import { pngSource } from './png-source.ts'
import type { Source } from './source.ts'

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
