import { HEADERS } from './headers.ts'
import { ScanRun } from './scan.ts'
import type { Header, ImageInfo, ImageType } from './types.ts'

export type Identified =
  | { kind: 'image'; info: ImageInfo }
  /** Not one of the five types. HEIC and SVG are named, so that the error can say what to send instead. */
  | { kind: 'heic' }
  | { kind: 'svg' }
  | { kind: 'unsupported' }
  /** It has the signature of one of the types, but no size, or a width or height of 0. */
  | { kind: 'broken'; type: ImageType }

/**
 * Finds the type and size of an image while its bytes pass. It reads the signature and the headers and decodes no pixels, so it does not
 * notice a damaged image.
 *
 * The size is the displayed one. A quarter turn swaps width and height, by what browsers respect:
 * - JPEG: the Orientation of the first Exif segment, before the scan;
 * - PNG: the Orientation of an `eXIf` chunk before the pixels;
 * - AVIF: `irot` and `clap` of the primary item (HEIF readers are told to ignore Exif here);
 * - WebP: nothing, since browsers do not look for an orientation after the pixels, where its Exif chunk is;
 * - GIF: nothing; its size is that of the logical screen, or of the first frame where that is larger.
 *
 * Variants follow the same rule.
 */
export class Identifier {
  #found: Identified | undefined
  #start = Buffer.alloc(0)
  #type: ImageType | undefined
  #run: ScanRun<Header | undefined> | undefined

  /** Undefined until the type is known. */
  get type(): ImageType | undefined {
    return this.#type
  }

  /**
   * Reads the next bytes of the file, in linear time. Neither changes nor keeps them.
   *
   * @returns the result, as soon as nothing that follows can change it
   */
  push(bytes: Uint8Array): Identified | undefined {
    if (this.#found) return this.#found
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (this.#run) {
      this.#run.push(chunk)
    } else {
      const start = this.#start.length === 0 ? chunk : Buffer.concat([this.#start, chunk])
      this.#readStart(start, false)
      if (!this.#run && !this.#found) this.#start = Buffer.from(start.subarray(0, LONGEST_START))
    }
    if (this.#run?.isDone) this.#found ??= this.#conclude()
    return this.#found
  }

  /** Ends the file. */
  end(): Identified {
    if (!this.#run && !this.#found) this.#readStart(this.#start, true)
    this.#run?.end()
    this.#found ??= this.#conclude()
    return this.#found
  }

  #readStart(start: Buffer, complete: boolean): void {
    if (start.length < LONGEST_SIGNATURE && !complete) return
    const type = readSignature(start, complete)
    if (type === 'more') return
    if (type === 'heic' || type === 'svg' || type === 'unsupported') {
      this.#found = { kind: type }
      return
    }
    this.#type = type
    this.#run = new ScanRun(HEADERS[type]())
    this.#run.push(start)
  }

  #conclude(): Identified {
    const type = this.#type as ImageType
    const header = this.#run?.result
    if (!header?.width || !header.height) return { kind: 'broken', type }
    const { width, height, orientation } = header
    const [shownWidth, shownHeight] = orientation >= 5 ? [height, width] : [width, height]
    return { kind: 'image', info: { type, width: shownWidth, height: shownHeight, orientation } }
  }
}

/** Identifies a complete file. */
export function identifyImage(file: Uint8Array): Identified {
  const identifier = new Identifier()
  return identifier.push(file) ?? identifier.end()
}

/** In bytes: that of WebP, whose second half is at offset 8. */
const LONGEST_SIGNATURE = 12

function readSignature(bytes: Buffer, complete: boolean): ImageType | 'heic' | 'svg' | 'unsupported' | 'more' {
  const text = bytes.toString('latin1', 0, LONGEST_SIGNATURE)
  if (text.startsWith('\xff\xd8\xff')) return 'jpg'
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return 'png'
  if (/^GIF8[79]a/.test(text)) return 'gif'
  if (/^RIFF.{4}WEBP/s.test(text)) return 'webp'
  if (/^.{4}ftyp/s.test(text)) return readBrands(bytes, complete)
  return readMarkup(bytes, complete)
}

/** Most bytes of a `ftyp` box to read; real ones have 20 to 60. */
const BRANDS_WINDOW = 512
const HEVC_BRANDS = ['heic', 'heix', 'heim', 'heis', 'hevc', 'hevx', 'hevm', 'hevs']

/**
 * Distinguishes AVIF from HEIC by the brands of the file type box (ISO/IEC 14496-12 section 4.3). Both are HEIF files and may have the
 * codec-neutral brands `mif1` and `msf1` (ISO/IEC 23008-12 section 10). The major brand has precedence.
 */
function readBrands(bytes: Buffer, complete: boolean): 'avif' | 'heic' | 'unsupported' | 'more' {
  const end = Math.min(bytes.readUInt32BE(0), BRANDS_WINDOW)
  if (bytes.length < end && !complete) return 'more'
  const major = bytes.toString('latin1', 8, 12)
  if (HEVC_BRANDS.includes(major)) return 'heic'
  const brands = [major, ...(bytes.toString('latin1', 16, end).match(/.{4}/gs) ?? [])]
  if (brands.includes('avif') || brands.includes('avis')) return 'avif'
  return brands.some((brand) => HEVC_BRANDS.includes(brand) || brand === 'mif1' || brand === 'msf1')
    ? 'heic'
    : 'unsupported'
}

/** Most bytes to search for the first tag of an SVG, which may come after an editor's comment. */
const MARKUP_WINDOW = 8192

/** Most bytes to hold until the type is known. */
const LONGEST_START = Math.max(BRANDS_WINDOW, MARKUP_WINDOW)

/** Finds `<svg`, or a doctype of that name, after the white space, instructions and comments with which an XML file may begin. */
function readMarkup(bytes: Buffer, complete: boolean): 'svg' | 'unsupported' | 'more' {
  const text = decode(bytes.subarray(0, MARKUP_WINDOW))
  // Nothing follows the repeated group, so the expression never backtracks
  const rest = text.replace(/^\s*(?:(?:<\?.*?\?>|<!--.*?-->)\s*)*/s, '')
  if (/^<(?:!doctype\s+)?(?:[\w.-]+:)?svg[\s/>[]/i.test(rest)) return 'svg'
  const unfinished = rest === '' || /^<(?:\?|!--|[^>]*$)/.test(rest)
  return unfinished && bytes.length < MARKUP_WINDOW && !complete ? 'more' : 'unsupported'
}

/**
 * Decodes UTF-16, which has a byte order mark or a `<` of two bytes (XML 1.0, appendix F), or UTF-8. Omits the mark, and a character that
 * is cut off at the end.
 */
function decode(bytes: Buffer): string {
  const start = bytes.toString('latin1', 0, 2)
  const little = start === '\xff\xfe' || start === '<\0'
  const big = start === '\xfe\xff' || start === '\0<'
  return new TextDecoder(little ? 'utf-16le' : big ? 'utf-16be' : 'utf-8').decode(bytes, { stream: true })
}
