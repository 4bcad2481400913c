import type { Size } from '../images/types.ts'
import type { Source } from './source.ts'

/** A frame of one transparent pixel: a graphic control extension, an image descriptor and its data (GIF89a). */
const PIXEL = Buffer.from('21f90405000000002c0000000001000100800000000000000202440100', 'hex')
/** Offset of its left and top, two bytes each. */
const PIXEL_LEFT = 9

/**
 * Rewrites a GIF so that libvips sees the canvas that browsers see: libvips shrinks some canvases to their frames, and paints black what
 * no frame covers. If the first frame does not cover the canvas, inserts a frame of one transparent pixel before it, at the bottom right.
 */
export function gifSource(file: Buffer, canvas: Size): Source {
  const flags = file[10] ?? 0
  let at = 13 + (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0)
  // Of the first frame, or of the extension that belongs to it
  let start: number | undefined
  while (file[at] === 0x21) {
    if (file[at + 1] === 0xf9) start ??= at
    at += 2
    while (file[at]) at += 1 + (file[at] ?? 0)
    at += 1
  }
  if (file[at] !== 0x2c || at + 10 > file.length) return { bytes: file }
  const { width, height } = canvas
  const frame = [1, 3, 5, 7].map((offset) => file.readUInt16LE(at + offset))
  if (frame.join() === [0, 0, width, height].join()) return { bytes: file }

  start ??= at
  const bytes = Buffer.concat([file.subarray(0, start), PIXEL, file.subarray(start)])
  bytes.writeUInt16LE(width, 6)
  bytes.writeUInt16LE(height, 8)
  bytes.writeUInt16LE(width - 1, start + PIXEL_LEFT)
  bytes.writeUInt16LE(height - 1, start + PIXEL_LEFT + 2)
  return { bytes, firstPage: 1 }
}
