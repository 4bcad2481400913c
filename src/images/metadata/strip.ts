import { UnremovableMetadata } from '../../errors.ts'
import type { ImageType, Stripped } from '../types.ts'
import { stripAvif } from './avif.ts'
import type { Edit } from './editor.ts'
import { stripGif } from './gif.ts'
import { stripJpeg } from './jpeg.ts'
import { stripPng } from './png.ts'
import { OutOfReach } from './ranges.ts'
import { stripWebp } from './webp.ts'

/**
 * Removes metadata from an image. No pixels are decoded: compressed data stays bit for bit the same.
 *
 * @param head the start of the file as read to identify it: the same memory that is pushed to the edit first, and that it may change
 * @param number of the file in its upload, for errors
 * @throws {UnremovableMetadata} if an AVIF says too late where its metadata is
 */
export function* stripMetadata(type: ImageType, head: Buffer, what: Stripped, number: number): Edit {
  try {
    yield* STRIP[type](head, what)
  } catch (error) {
    throw error instanceof OutOfReach ? new UnremovableMetadata(number) : error
  }
}

const STRIP: Readonly<Record<ImageType, (head: Buffer, what: Stripped) => Edit>> = {
  jpg: stripJpeg,
  png: stripPng,
  gif: stripGif,
  webp: stripWebp,
  avif: stripAvif,
}
