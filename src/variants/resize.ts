import sharp, { type Sharp } from 'sharp'
import { identifyImage } from '../images/identify.ts'
import type { ImageFormat, Orientation } from '../images/types.ts'
import { type Encoder, MOST_MEMORY, memoryFor, mostWidth } from './memory.ts'
import { type Source, sourceOf, withEnd } from './source.ts'
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
 * has animations that browsers play: WebP and GIF; of others it is the first frame. Size and orientation are those that the upload
 * has found, by the same rule.
 *
 * @param width most pixels
 */
export async function resize(file: Buffer, width: number, form: Form): Promise<Resized | Problem> {
  const found = identifyImage(file)
  if (found.kind !== 'image') return 'broken'
  const { format } = found
  if (Math.max(format.width, format.height) > MOST_SIDE || format.width * format.height > MOST_PIXELS) return 'huge'
  try {
    return await resizeSource(sourceOf(file, format), format, width, form, 'error')
  } catch (error) {
    if (NO_MEMORY.test(String(error))) return 'huge'
  }
  // The scan may be complete. If it is, what libjpeg warns of otherwise is an error here
  const ended = format.type === 'jpg' ? withEnd(file) : undefined
  if (!ended) return 'broken'
  try {
    return await resizeSource({ bytes: ended }, format, width, form, 'warning')
  } catch (error) {
    return NO_MEMORY.test(String(error)) ? 'huge' : 'broken'
  }
}

async function resizeSource(
  source: Source,
  { type, width: shownWidth, height: shownHeight, orientation }: ImageFormat,
  width: number,
  form: Form,
  failOn: 'error' | 'warning',
): Promise<Resized | Problem> {
  const about = await sharp(source.bytes).metadata()
  const isTurned = orientation >= 5
  const canvas = isTurned ? { width: shownHeight, height: shownWidth } : { width: shownWidth, height: shownHeight }
  const { left = 0, top = 0 } = source.place ?? {}
  // What a decoder returns may be smaller than the canvas, and of a GIF larger
  const frame = {
    width: Math.min(about.width, canvas.width - left),
    height: Math.min(about.height, canvas.height - top),
  }
  if (frame.width < 1 || frame.height < 1) return 'broken'
  const isWhole = frame.width === canvas.width && frame.height === canvas.height
  const hasAlpha = about.hasAlpha || !isWhole
  const { firstPage = 0 } = source
  const pages = (about.pages ?? 1) - firstPage
  const isAnimated = pages > 1 && (type === 'gif' || type === 'webp') && (form === 'webp' || form === 'plain')
  const frames = isAnimated ? pages : 1
  if (Math.max(about.width, about.height) > MOST_SIDE || about.width * about.height * frames > MOST_PIXELS)
    return 'huge'
  const encoder = form === 'plain' ? plainForm(isAnimated, hasAlpha) : form
  // sharp turns an image before it extends it, and libvips would write the orientation of the source into an AVIF
  const isTurnedLast = orientation > 1 && !isWhole
  const hasOtherOrientation = encoder === 'avif' && (about.orientation ?? 1) > 1
  const isPremultiplied = source.isPremultiplied === true && about.hasAlpha
  const held = isPremultiplied ? 8 : isTurnedLast || hasOtherOrientation ? 4 : 0
  const plan = { size: source.bytes.length, about, canvas, isTurned, frames, encoder, held }
  const box = { width: Math.min(width, mostWidth(plan)), height: MOST_HEIGHT }
  const scale = Math.min(1, box.width / shownWidth, box.height / shownHeight)
  if (memoryFor(plan, scale) > MOST_MEMORY) return 'huge'

  const scaled = (pixels: number) => Math.max(1, Math.round(pixels * scale))
  const target = { width: scaled(canvas.width), height: scaled(canvas.height) }
  // sharp takes 16 bits for P3 otherwise, and grey ones for sRGB
  const depth = about.space === 'rgb16' ? 'srgb' : about.space === 'grey16' ? 'b-w' : undefined
  const inDepth = (picture: Sharp) => (depth ? picture.pipelineColourspace(depth) : picture)
  const open = () =>
    inDepth(sharp(source.bytes, { page: firstPage, pages: isAnimated ? -1 : 1, limitInputPixels: MOST_PIXELS, failOn }))
  const size = isWhole ? target : { width: scaled(frame.width), height: scaled(frame.height) }
  let picture: Sharp
  if (isPremultiplied) picture = await unpremultiplied(open, size)
  else {
    picture = open()
    if (about.width > frame.width || about.height > frame.height) picture.extract({ left: 0, top: 0, ...frame })
    picture.resize({ ...size, fit: 'fill' })
  }
  if (!isWhole) extend(picture, size, target, { left: Math.round(left * scale), top: Math.round(top * scale) })
  if (isTurnedLast) picture = fromRaw(await raw(picture))
  turn(picture, orientation)
  if (hasOtherOrientation) picture = fromRaw(await raw(picture))
  const { data, info } = await encode(picture, encoder, about.delay?.slice(firstPage)).toBuffer({
    resolveWithObject: true,
  })
  return {
    bytes: data,
    contentType: `image/${info.format === 'heif' ? 'avif' : info.format}`,
    width: info.width,
    height: info.pageHeight ?? info.height,
  }
}

/** Puts a picture on a transparent canvas. */
function extend(picture: Sharp, size: Size, canvas: Size, place: { left: number; top: number }): void {
  const left = Math.min(place.left, canvas.width - size.width)
  const top = Math.min(place.top, canvas.height - size.height)
  const right = canvas.width - size.width - left
  const bottom = canvas.height - size.height - top
  picture.extend({ left, top, right, bottom, background: { r: 0, g: 0, b: 0, alpha: 0 } })
}

/** Turns a picture upright after it was made smaller, which takes less than before. */
function turn(picture: Sharp, orientation: Orientation): void {
  if (orientation === 4) picture.flip()
  if (orientation === 2 || orientation === 5 || orientation === 7) picture.flop()
  if (orientation === 3) picture.rotate(180)
  if (orientation === 6 || orientation === 7) picture.rotate(90)
  if (orientation === 5 || orientation === 8) picture.rotate(270)
}

interface Size {
  readonly width: number
  readonly height: number
}

/** A picture made smaller whose colours are multiplied by their alpha, which libheif leaves so. */
async function unpremultiplied(open: () => Sharp, size: Size): Promise<Sharp> {
  const resized = (part: Sharp) => raw(part.resize({ ...size, fit: 'fill' }))
  // One after the other, for each has the whole picture decoded
  const colour = await resized(open().removeAlpha())
  const alpha = await resized(open().extractChannel('alpha'))
  const joined = await raw(fromRaw(colour).joinChannel(alpha.data, { raw: alpha.info }))
  return fromRaw(joined, { premultiplied: true })
}

type Raw = Awaited<ReturnType<typeof raw>>

function raw(picture: Sharp) {
  return picture.raw().toBuffer({ resolveWithObject: true })
}

function fromRaw({ data, info: { width, height, channels } }: Raw, more: { premultiplied?: boolean } = {}): Sharp {
  return sharp(data, { raw: { width, height, channels, ...more } })
}

function plainForm(animated: boolean, hasAlpha: boolean): Encoder {
  if (animated) return 'gif'
  return hasAlpha ? 'png' : 'jpeg'
}

/** docs/variants.md says what these numbers cost and bring. */
function encode(picture: Sharp, form: Encoder, delay?: number[]): Sharp {
  if (form === 'jpeg') return picture.flatten({ background: 'white' }).jpeg({ quality: 80 })
  if (form === 'webp') return picture.webp({ quality: 80, effort: 2, ...(delay && { delay }) })
  if (form === 'avif') return picture.avif({ quality: 50, effort: 0 })
  return form === 'gif' ? picture.gif({ effort: 1, ...(delay && { delay }) }) : picture.png()
}
