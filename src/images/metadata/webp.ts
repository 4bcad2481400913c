import type { Stripped } from '../types.ts'
import { blank, type Edit, hold, keep, keepUntil, MAX_BLOCK, MAX_BLOCKS, put } from './editor.ts'
import { ORIENTATION_WINDOW, stripExif } from './exif.ts'
import { stripXmp } from './xmp.ts'

/**
 * Removes metadata from a WebP (RFC 9649 section 2). The header comes first and has the size of the file, but metadata comes after the
 * pixels, so chunks keep their length: Exif and XMP are cleaned in place, and chunks that are not in the standard are overwritten with
 * zeros. Removes what follows the size that the header gives.
 */
export function* stripWebp(_head: Buffer, what: Stripped): Edit {
  const header = yield hold(12)
  yield put(header)
  // The size includes the four bytes of "WEBP"
  if (header.length === 12) yield* stripChunks(header.readUInt32LE(4) - 4, what)
}

/** Chunks of the picture, its colours and its animation. */
const PICTURE = new Set(['VP8X', 'VP8 ', 'VP8L', 'ALPH', 'ANIM', 'ICCP'])

/** The bytes in a frame of an animation before its chunks (section 2.7.1.1). */
const FRAME_HEADER = 16

/**
 * Visits the chunks in the next bytes, including those in frames. If the header of a frame gives a wrong length, libwebp, which browsers
 * use, goes on after the last chunk of the frame, and other readers go on where the header says that the frame ends. This function goes on
 * as libwebp does. For the other readers, it keeps no chunk as it is that begins in a frame and ends after it; libwebp refuses pictures
 * that do. A frame that directly follows the header of another frame becomes zeros.
 */
function* stripChunks(bytes: number, what: Stripped): Edit {
  let left = bytes
  /** Bytes left in the frame, by its header; infinite outside of frames. */
  let leftInFrame = Number.POSITIVE_INFINITY
  let isFrameEmpty = false
  const pass = (passed: number) => {
    left -= passed
    leftInFrame = leftInFrame > passed ? leftInFrame - passed : Number.POSITIVE_INFINITY
  }
  for (let blocks = 0; left >= 8 && blocks < MAX_BLOCKS; ) {
    yield keepUntil((chunk, at) => {
      const end = skipPictureChunks(chunk, at, at + Math.min(left, leftInFrame))
      if (end > at) isFrameEmpty = false
      pass(end - at)
      return end
    })
    if (left < 8) break
    const start = yield hold(8)
    if (start.length < 8) break
    yield put(start)
    const type = start.toString('latin1', 0, 4)
    const isPicture = PICTURE.has(type) && leftInFrame >= start.length
    pass(start.length)
    const room = isPicture ? Math.min(left, leftInFrame) : left
    const length = Math.min(start.readUInt32LE(4), room)
    const padding = Math.min(length % 2, room - length)
    if (isPicture) yield keep(length + padding)
    else {
      blocks += 1
      if (type === 'ANMF' && length >= FRAME_HEADER && !isFrameEmpty) {
        isFrameEmpty = true
        leftInFrame = length + padding
        yield keep(FRAME_HEADER)
        pass(FRAME_HEADER)
        continue
      }
      const removed = length > leftInFrame ? 'all' : what
      if (type === 'EXIF') yield* stripExifChunk(length, removed)
      else if (type === 'XMP ') yield* stripXmpChunk(length, removed)
      else yield blank(length)
      yield blank(padding)
    }
    isFrameEmpty = false
    pass(length + padding)
  }
  yield blank(left)
}

/** Finds the first chunk that is not of the picture, or is not whole in these bytes and before the limit. */
function skipPictureChunks(bytes: Buffer, at: number, limit: number): number {
  while (at + 8 <= bytes.length && PICTURE.has(bytes.toString('latin1', at, at + 4))) {
    const length = bytes.readUInt32LE(at + 4)
    const end = at + 8 + length + (length % 2)
    if (end > bytes.length || end > limit) break
    at = end
  }
  return at
}

function* stripExifChunk(length: number, what: Stripped): Edit {
  if (length > MAX_BLOCK) {
    const start = yield hold(ORIENTATION_WINDOW)
    stripExif(start, 'all')
    yield put(start)
    yield blank(length - start.length)
    return
  }
  const content = yield hold(length)
  // Some writers begin as in a JPEG, with a name that the standard leaves out
  stripExif(content.toString('latin1', 0, 5) === 'Exif\0' ? content.subarray(6) : content, what)
  yield put(content)
}

function* stripXmpChunk(length: number, what: Stripped): Edit {
  if (length > MAX_BLOCK) yield blank(length, ' '.charCodeAt(0))
  else {
    const packet = yield hold(length)
    stripXmp(packet, what)
    yield put(packet)
  }
}
