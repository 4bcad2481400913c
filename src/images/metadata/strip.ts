import type { ImageType, Stripped } from '../types.ts'
import { stripAvif } from './avif.ts'
import type { Edit } from './editor.ts'
import { stripGif } from './gif.ts'
import { stripJpeg } from './jpeg.ts'
import { stripPng } from './png.ts'
import { stripWebp } from './webp.ts'

/**
 * Returns the edit that removes metadata from an image. No pixels are decoded: compressed data stays bit for bit the same.
 *
 * @param head the start of the file as read to identify it: the same memory that is pushed to the edit first. It may be changed in place,
 * before this returns.
 */
export function stripMetadata(type: ImageType, head: Buffer, what: Stripped): Edit {
  return STRIP[type](head, what)
}

const STRIP: Readonly<Record<ImageType, (head: Buffer, what: Stripped) => Edit>> = {
  jpg: stripJpeg,
  png: stripPng,
  gif: stripGif,
  webp: stripWebp,
  avif: stripAvif,
}
