import sharp, { type Metadata, type Sharp } from 'sharp'
import { type Encoder, MOST_MEMORY, memoryFor, mostWidth } from './memory.ts'
import type { Form } from './variant.ts'

/** Most pixels of an image, all frames of an animation together: they take time. MAX_PIXELS bounds what is stored, this what is decoded. */
const MOST_PIXELS = 100_000_000

/** Most pixels of either side: libvips holds hundreds of rows at once, or all, and a row has no other bound. */
const MOST_SIDE = 65_535

/** WebP's most in either direction; the other formats take more. */
const MOST_HEIGHT = 16_383

/** What is read; a picture of another kind is broken, whatever its name. Nothing else of libvips can be reached by a file. */
const LOADERS = ['Jpeg', 'Png', 'Nsgif', 'Webp', 'Heif'].map((loader) => `VipsForeignLoad${loader}Buffer`)
sharp.block({ operation: ['VipsForeignLoad'] })
sharp.unblock({ operation: LOADERS })
// Each worker makes one picture at a time, and there is nothing in it that comes again
sharp.cache(false)
sharp.concurrency(1)

/** What libvips, libjpeg, libheif and libaom say when they get no more memory. */
const NO_MEMORY = /memory|bufferpool/i

export interface Resized {
  readonly bytes: Buffer
  readonly contentType: string
  /** In pixels, of one frame. */
  readonly width: number
  readonly height: number
}

/** Why there is no smaller picture: it can't be decoded, or would take too much. */
export type Problem = 'broken' | 'huge'

/**
 * Makes a picture smaller, or leaves it at its size: upright, in sRGB, without any metadata. An animation stays one where the form
 * has animations that browsers play: WebP and GIF; of others it is the first frame.
 *
 * @param width most pixels
 */
export async function resize(source: Buffer, width: number, form: Form): Promise<Resized | Problem> {
  try {
    const about = asDisplayed(await sharp(source).metadata())
    const { pages = 1, format, hasAlpha, autoOrient } = about
    const isAnimated = pages > 1 && (format === 'gif' || format === 'webp') && (form === 'webp' || form === 'plain')
    const frames = isAnimated ? pages : 1
    if (Math.max(about.width, about.height) > MOST_SIDE || about.width * about.height * frames > MOST_PIXELS)
      return 'huge'
    const encoder = form === 'plain' ? plainForm(isAnimated, hasAlpha) : form
    const plan = { size: source.length, about, frames, encoder }
    const box = { width: Math.min(width, mostWidth(plan)), height: MOST_HEIGHT }
    const scale = Math.min(1, box.width / autoOrient.width, box.height / autoOrient.height)
    if (memoryFor(plan, scale) > MOST_MEMORY) return 'huge'
    const picture = sharp(source, {
      animated: isAnimated,
      limitInputPixels: MOST_PIXELS,
      failOn: 'error',
      autoOrient: format !== 'webp',
    }).resize({ ...box, fit: 'inside', withoutEnlargement: true })
    const encoded = encode(picture, encoder)
    const { data, info } = await encoded.toBuffer({ resolveWithObject: true })
    return {
      bytes: data,
      contentType: `image/${info.format === 'heif' ? 'avif' : info.format}`,
      width: info.width,
      height: info.pageHeight ?? info.height,
    }
  } catch (error) {
    return NO_MEMORY.test(String(error)) ? 'huge' : 'broken'
  }
}

/**
 * Browsers turn no WebP: its Exif data comes after the pixels (RFC 9649 section 2.7). And libvips would have to hold all frames of an
 * animation to turn them.
 */
function asDisplayed(about: Metadata): Metadata {
  const { format, width, height } = about
  return format === 'webp' ? { ...about, autoOrient: { width, height } } : about
}

function plainForm(animated: boolean, hasAlpha: boolean): Encoder {
  if (animated) return 'gif'
  return hasAlpha ? 'png' : 'jpeg'
}

/** docs/variants.md says what these numbers cost and bring. */
function encode(picture: Sharp, form: Encoder): Sharp {
  if (form === 'jpeg') return picture.flatten({ background: 'white' }).jpeg({ quality: 80 })
  if (form === 'webp') return picture.webp({ quality: 80, effort: 2 })
  if (form === 'avif') return picture.avif({ quality: 50, effort: 0 })
  return form === 'gif' ? picture.gif({ effort: 1 }) : picture.png()
}
