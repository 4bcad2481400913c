import sharp, { type Sharp } from 'sharp'
import type { Form } from './variant.ts'

/**
 * Most pixels of a picture, all frames of an animation together. Not MAX_PIXELS: that one bounds what is stored, these bound what is
 * decoded. A worker takes up to 7 bytes for a pixel (progressive JPEG), and 18 for one of AVIF: docs/variants.md has the figures.
 */
const MOST_PIXELS = 100_000_000
const MOST_PIXELS_OF_AVIF = 32_000_000

/** WebP's most in either direction; the other formats take more. */
const MOST_HEIGHT = 16_383

/** What is read; a picture of another kind is broken, whatever its name. Nothing else of libvips can be reached by a file. */
const LOADERS = ['Jpeg', 'Png', 'Nsgif', 'Webp', 'Heif'].map((loader) => `VipsForeignLoad${loader}Buffer`)
sharp.block({ operation: ['VipsForeignLoad'] })
sharp.unblock({ operation: LOADERS })
// Each worker makes one picture at a time, and there is nothing in it that comes again
sharp.cache(false)
sharp.concurrency(1)

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
    const { width: w, height: h, pages = 1, format, hasAlpha } = await sharp(source).metadata()
    const animated = pages > 1 && (format === 'gif' || format === 'webp') && (form === 'webp' || form === 'plain')
    if (w * h * (animated ? pages : 1) > (format === 'heif' ? MOST_PIXELS_OF_AVIF : MOST_PIXELS)) return 'huge'
    const picture = sharp(source, { animated, limitInputPixels: MOST_PIXELS, failOn: 'error' })
      .autoOrient()
      .resize({ width, height: MOST_HEIGHT, fit: 'inside', withoutEnlargement: true })
    const encoded = encode(picture, form === 'plain' ? plainForm(animated, hasAlpha) : form)
    const { data, info } = await encoded.toBuffer({ resolveWithObject: true })
    return {
      bytes: data,
      contentType: `image/${info.format === 'heif' ? 'avif' : info.format}`,
      width: info.width,
      height: info.pageHeight ?? info.height,
    }
  } catch {
    return 'broken'
  }
}

function plainForm(animated: boolean, hasAlpha: boolean): 'gif' | 'png' | 'jpeg' {
  if (animated) return 'gif'
  return hasAlpha ? 'png' : 'jpeg'
}

/** docs/variants.md says what these numbers cost and bring. */
function encode(picture: Sharp, form: Exclude<Form, 'plain'> | 'gif' | 'png'): Sharp {
  if (form === 'jpeg') return picture.flatten({ background: 'white' }).jpeg({ quality: 80 })
  if (form === 'webp') return picture.webp({ quality: 80, effort: 2 })
  if (form === 'avif') return picture.avif({ quality: 50, effort: 0 })
  return form === 'gif' ? picture.gif({ effort: 1 }) : picture.png()
}
