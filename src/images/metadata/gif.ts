import type { Stripped } from '../types.ts'
import { dropUntil, type Edit, type Finder, hold, keep, keepUntil, MAX_BLOCKS, put } from './editor.ts'

/**
 * Removes metadata from a GIF (GIF89a section 17 and following): application extensions other than those of the animation and the colour
 * profile, extensions that are not in the standard and, if everything is to be removed, comments. Removes what follows the trailer. Removes
 * XMP whole instead of cleaning it: its packet is not divided into blocks, and decoders take bytes of it for the lengths of blocks.
 */
export function* stripGif(_head: Buffer, what: Stripped): Edit {
  const screen = yield hold(13)
  yield put(screen)
  yield keep(colorTableBytes(screen[10]))
  const kept = new Set(what === 'all' ? PICTURE : [...PICTURE, COMMENT])
  for (let blocks = 0; blocks < MAX_BLOCKS; ) {
    yield keepUntil(acrossChunks((bytes, at) => skipPictureBlocks(bytes, at, kept)))
    const start = yield hold(2)
    if (start[0] === IMAGE) {
      const rest = yield hold(8)
      yield put(start)
      yield put(rest)
      yield keep(colorTableBytes(rest[7]) + 1)
      yield keepUntil(endOfBlocks())
    } else if (start[0] === EXTENSION && start.length === 2) {
      if (!kept.has(start[1] ?? 0)) blocks += 1
      yield* stripExtension(start, kept)
    } else {
      // Decoders stop at a byte that begins no block
      yield put(start.subarray(0, Math.min(start.length, 1)).fill(TRAILER))
      return
    }
  }
}

const IMAGE = 0x2c
const EXTENSION = 0x21
const TRAILER = 0x3b
/** Labels of extensions (sections 23 to 26). */
const COMMENT = 0xfe
const APPLICATION = 0xff
const PICTURE = [0xf9, 0x01]

/** Identifiers and authentication codes: loops of the animation, by two names, and an ICC profile. */
const PICTURE_APPLICATIONS = ['NETSCAPE2.0', 'ANIMEXTS1.0', 'ICCRGBG1012']

function* stripExtension(start: Buffer, kept: ReadonlySet<number>): Edit {
  const label = start[1] ?? 0
  const length = yield hold(label === APPLICATION ? 1 : 0)
  const identifier = yield hold(length[0] === 11 ? 11 : 0)
  if (kept.has(label) || PICTURE_APPLICATIONS.includes(identifier.toString('latin1'))) {
    yield put(start)
    yield put(length)
    yield put(identifier)
    yield keepUntil(endOfBlocks())
  } else {
    if (length[0] !== 0) yield dropUntil(endOfBlocks((length[0] ?? 0) - identifier.length))
    yield dropUntil(acrossChunks(endOfZeros))
  }
}

/**
 * Finds the first block that is not of the picture, or is not whole in these bytes. Passes over zeros between blocks: the data of a block
 * in a damaged file can end with several, which decoders accept. Zeros after a block that is removed are removed with it.
 */
function skipPictureBlocks(bytes: Buffer, at: number, kept: ReadonlySet<number>): number {
  for (let end = at; end >= 0; ) {
    at = end
    if (bytes[at] === IMAGE && at + 10 <= bytes.length)
      end = endOfBlocks(11 + colorTableBytes(bytes[at + 9]))(bytes, at)
    else if (bytes[at] === 0) end = endOfZeros(bytes, at)
    else if (bytes[at] === EXTENSION && kept.has(bytes[at + 1] ?? 0)) end = endOfBlocks(2)(bytes, at)
    else break
  }
  return at
}

/** Returns a finder that goes on in the next chunk if it has come to the end of one. */
function acrossChunks(find: Finder): Finder {
  return (bytes, at) => {
    const end = find(bytes, at)
    return end === bytes.length ? -1 : end
  }
}

function endOfZeros(bytes: Buffer, at: number): number {
  while (bytes[at] === 0) at += 1
  return at
}

/**
 * Finds the end of data in blocks (section 15), each with its length before it, of which the last one is empty.
 *
 * @param left bytes before the first block
 */
function endOfBlocks(left = 0): (bytes: Buffer, at: number) => number {
  return (bytes, at) => {
    let next = at + left
    while (next < bytes.length) {
      const length = bytes[next] as number
      next += 1 + length
      if (length === 0) return next
    }
    left = next - bytes.length
    return -1
  }
}

/** The bytes of the color table that the flags of a screen or an image announce (sections 18 and 20). */
function colorTableBytes(flags = 0): number {
  return flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0
}
