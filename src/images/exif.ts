import type { Orientation } from './types.ts'

/**
 * Reads the Orientation (tag 0x0112, one SHORT) in the first directory of Exif data, which is a TIFF file (TIFF 6.0 section 2). Returns
 * undefined if there is none, or one of another type, which browsers ignore.
 */
export function readOrientation(tiff: Buffer): Orientation | undefined {
  const order = tiff.toString('latin1', 0, 4)
  if (tiff.length < 8 || (order !== 'II*\0' && order !== 'MM\0*')) return undefined
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength)
  const little = order === 'II*\0'
  const directory = view.getUint32(4, little)
  if (directory + 2 > tiff.length) return undefined
  const entries = view.getUint16(directory, little)
  for (let at = directory + 2, n = 0; n < entries && at + 12 <= tiff.length; at += 12, n += 1) {
    if (view.getUint16(at, little) !== 0x0112) continue
    if (view.getUint16(at + 2, little) !== 3 || view.getUint32(at + 4, little) !== 1) return undefined
    const value = view.getUint16(at + 8, little)
    return value >= 1 && value <= 8 ? (value as Orientation) : 1
  }
  return undefined
}
