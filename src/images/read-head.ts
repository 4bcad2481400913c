import { BrokenImage, EmptyFile, HeicImage, SvgImage, TooManyPixels, UnsupportedImage } from '../errors.ts'
import { type Identified, Identifier } from './identify.ts'
import type { ImageFormat, ImageType } from './types.ts'

/** How much of an image is held until its size is known, in bytes. What comes after that goes on to the store, size or not. */
const HEAD_BYTES = 5 * 1024 * 1024

/** The start of an image. */
export interface Head {
  readonly bytes: Uint8Array
  readonly type: ImageType
  /** Undefined if the size is not within the first 5 MiB: then each further chunk has to go through `readOn`. */
  readonly format: ImageFormat | undefined
  /**
   * Looks for the size in the next chunk, and without one tells that the file is over.
   *
   * @throws {BrokenImage | TooManyPixels}
   */
  readOn(chunk?: Uint8Array): ImageFormat | undefined
}

/**
 * Reads as much of an image as it takes to know what it is, at most 5 MiB.
 *
 * @param number of the file in its upload, for errors
 * @throws {EmptyFile | HeicImage | SvgImage | UnsupportedImage | BrokenImage | TooManyPixels}
 */
export async function readHead(chunks: AsyncIterator<Uint8Array>, number: number, maxPixels: number): Promise<Head> {
  const identifier = new Identifier()
  const readOn = (chunk?: Uint8Array): ImageFormat | undefined => {
    const found = chunk ? identifier.push(chunk) : identifier.end()
    return found && formatOf(found, number, maxPixels)
  }
  let bytes: Uint8Array = Buffer.alloc(0)
  // More is collected only for an image whose first chunk does not say enough
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
    const format = done ? readOn() : readOn(chunk)
    // At that length the type is known, or the image refused
    const type = format?.type ?? identifier.type
    if (type && (format || bytes.length >= HEAD_BYTES)) return { bytes, type, format, readOn }
  }
}

function formatOf(found: Identified, number: number, maxPixels: number): ImageFormat {
  if (found.kind === 'heic') throw new HeicImage(number)
  if (found.kind === 'svg') throw new SvgImage(number)
  if (found.kind === 'unsupported') throw new UnsupportedImage(number)
  if (found.kind === 'broken') throw new BrokenImage(number, found.type)
  const { width, height } = found.format
  if (width * height > maxPixels) throw new TooManyPixels(number, width, height, maxPixels)
  return found.format
}
