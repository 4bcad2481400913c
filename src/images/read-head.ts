import { BrokenImage, EmptyFile, HeicImage, SvgImage, TooManyPixels, UnsupportedImage } from '../errors.ts'
import { type Identified, Identifier } from './identify.ts'
import type { ImageInfo, ImageType } from './types.ts'

/** Most bytes of an image to hold until its size is known. After that they are passed on without it. */
const HEAD_BYTES = 5 * 1024 * 1024

/** The start of an image. */
export interface Head {
  readonly bytes: Uint8Array
  readonly type: ImageType
  /** Undefined if the size is not in the first 5 MiB: then pass each further chunk to `readNext`. */
  readonly info: ImageInfo | undefined
  /**
   * Looks for the size in the next chunk. Without a chunk, ends the file.
   *
   * @throws {BrokenImage | TooManyPixels}
   */
  readNext(chunk?: Uint8Array): ImageInfo | undefined
}

/**
 * Reads an image until its type and size are known, at most 5 MiB.
 *
 * @param number of the file in its upload, for errors
 * @throws {EmptyFile | HeicImage | SvgImage | UnsupportedImage | BrokenImage | TooManyPixels}
 */
export async function readHead(chunks: AsyncIterator<Uint8Array>, number: number, maxPixels: number): Promise<Head> {
  const identifier = new Identifier()
  const readNext = (chunk?: Uint8Array): ImageInfo | undefined => {
    const found = chunk ? identifier.push(chunk) : identifier.end()
    return found && infoOf(found, number, maxPixels)
  }
  let bytes: Uint8Array = Buffer.alloc(0)
  // Only used if the first chunk is not enough
  let buffer = Buffer.alloc(0)
  for (;;) {
    const { done, value: chunk } = await chunks.next()
    if (!done && bytes.length === 0) bytes = chunk
    else if (!done) {
      const length = bytes.length + chunk.length
      if (length > buffer.length) {
        buffer = Buffer.allocUnsafe(Math.max(length, Math.min(2 * length, HEAD_BYTES)))
        buffer.set(bytes)
      }
      buffer.set(chunk, bytes.length)
      bytes = buffer.subarray(0, length)
    }
    if (bytes.length === 0 && done) throw new EmptyFile(number)
    const info = done ? readNext() : readNext(chunk)
    // After that many bytes the type is known, or the image was refused
    const type = info?.type ?? identifier.type
    if (type && (info || bytes.length >= HEAD_BYTES)) return { bytes, type, info, readNext }
  }
}

function infoOf(found: Identified, number: number, maxPixels: number): ImageInfo {
  if (found.kind === 'heic') throw new HeicImage(number)
  if (found.kind === 'svg') throw new SvgImage(number)
  if (found.kind === 'unsupported') throw new UnsupportedImage(number)
  if (found.kind === 'broken') throw new BrokenImage(number, found.type)
  const { width, height } = found.info
  if (width * height > maxPixels) throw new TooManyPixels(number, width, height, maxPixels)
  return found.info
}
