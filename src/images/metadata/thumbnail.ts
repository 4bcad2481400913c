/**
 * Zeroes the metadata in a thumbnail, a whole JPEG (ITU-T T.81 annex B) inside other metadata: application segments except JFIF and
 * Adobe's, comments, and what follows the end of the image. In place, in linear time.
 */
export function stripThumbnail(jpeg: Buffer): void {
  for (let at = jpeg.indexOf(0xff, 2); at >= 0 && at + 4 <= jpeg.length; at = jpeg.indexOf(0xff, at)) {
    const marker = jpeg.readUInt8(at + 1)
    if (marker === 0xff) {
      at += 1
    } else if (marker === 0xd9) {
      jpeg.fill(0, at + 2)
      return
    } else if (marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      at += 2
    } else {
      const end = Math.min(at + 2 + Math.max(2, jpeg.readUInt16BE(at + 2)), jpeg.length)
      const name = jpeg.toString('latin1', at + 4, Math.min(at + 9, end))
      const isPicture = (marker === 0xe0 && name === 'JFIF\0') || (marker === 0xee && name === 'Adobe')
      if (((marker >= 0xe0 && marker <= 0xef) || marker === 0xfe) && !isPicture) jpeg.fill(0, at + 4, end)
      at = end
    }
  }
}
