import { BrokenImage, EmptyFile, HeicImage, SvgImage, TooManyPixels, UnsupportedImage } from '../errors.ts'
import { type ImageFormat, identifyImage } from './image-format.ts'

/** Where the size of an image has to be found at the latest, in bytes from its start. */
const HEAD_BYTES = 5 * 1024 * 1024

/** Reads as much of an image as it takes to know what it is. */
export async function readHead(
  chunks: AsyncIterator<Uint8Array>,
  number: number,
  maxPixels: number,
): Promise<{ head: Uint8Array; format: ImageFormat }> {
  let head: Uint8Array = Buffer.alloc(0)
  // More is collected only for an image whose first chunk does not say enough
  let buffer = Buffer.alloc(0)
  let wanted = 0
  for (;;) {
    const next = await chunks.next()
    if (!next.done && head.length === 0) head = next.value
    else if (!next.done) {
      const length = head.length + next.value.length
      if (length > buffer.length) {
        buffer = Buffer.allocUnsafe(Math.max(length, Math.min(2 * length, HEAD_BYTES)))
        buffer.set(head)
      }
      buffer.set(next.value, head.length)
      head = buffer.subarray(0, length)
    }
    if (head.length === 0 && next.done) throw new EmptyFile(number)
    // Looking again only when there is twice as much keeps the work linear
    if (!next.done && head.length < wanted) continue
    wanted = Math.min(2 * head.length, HEAD_BYTES)
    const complete = next.done === true || head.length >= HEAD_BYTES
    const found = identifyImage(head, complete)
    if (found.kind === 'image') {
      const { width, height } = found.format
      if (width * height > maxPixels) throw new TooManyPixels(number, width, height, maxPixels)
      return { head, format: found.format }
    }
    if (found.kind === 'heic') throw new HeicImage(number)
    if (found.kind === 'svg') throw new SvgImage(number)
    if (found.kind === 'broken') throw new BrokenImage(number, found.type)
    if (found.kind === 'unsupported') throw new UnsupportedImage(number)
  }
}
