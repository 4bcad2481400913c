import sharp, { type Metadata, type Sharp } from 'sharp'
import { identifyImage } from '../images/identify.ts'
import type { ImageInfo, Orientation, Size } from '../images/types.ts'
import type { Format } from '../layout/variant.ts'
import { type Encoder, MAX_MEMORY, maxWidth, memoryFor, type Plan } from './memory.ts'
import { sourceOf, withEnd } from './rewrite.ts'
import type { Source } from './source.ts'

/** Most pixels to decode, all frames of an animation together, since they take time. MAX_PIXELS bounds what is stored. */
const MAX_PIXELS = 100_000_000

/** Longest side of an image: libvips holds hundreds of rows at once, or all, and nothing else bounds the length of a row. */
const MAX_SIDE = 65_535

/** The longest side that WebP allows; the other formats allow more. */
const MAX_HEIGHT = 16_383

/** No file can reach any other decoder of libvips: an image of another kind is broken, whatever its name. */
const LOADERS = ['Jpeg', 'Png', 'Nsgif', 'Webp', 'Heif'].map((loader) => `VipsForeignLoad${loader}Buffer`)
sharp.block({ operation: ['VipsForeignLoad'] })
sharp.unblock({ operation: LOADERS })
// A worker makes one variant at a time, and no image comes twice
sharp.cache(false)
sharp.concurrency(1)

/** Errors of libvips, libjpeg, libheif and libaom when they get no more memory. */
const NO_MEMORY = /memory|bufferpool/i

export interface Variant {
  readonly bytes: Buffer
  readonly contentType: string
  /** In pixels, of one frame. */
  readonly width: number
  readonly height: number
}

/** Why no variant can be made: the image cannot be decoded, or would take too much. */
export type Problem = 'broken' | 'huge'

/**
 * Makes a variant: upright, in sRGB, without metadata, and never larger than the image. An animation stays one in the formats whose
 * animations browsers play, WebP and GIF, and becomes its first frame in the others. Size and orientation are found as in an upload.
 *
 * @param width at most, in pixels
 */
export async function resize(file: Buffer, width: number, format: Format): Promise<Variant | Problem> {
  const found = identifyImage(file)
  if (found.kind !== 'image') return 'broken'
  const { info: image } = found
  if (isHuge(image)) return 'huge'
  const problemOf = (error: unknown): Problem => (NO_MEMORY.test(String(error)) ? 'huge' : 'broken')
  const result = await makeVariant(() => sourceOf(file, image), image, width, format).catch(problemOf)
  const ended = result === 'broken' && image.type === 'jpg' ? withEnd(file) : undefined
  if (!ended) return result
  // If its scan is complete, libjpeg gives no warning
  return makeVariant(() => ({ bytes: ended, failOn: 'warning' }), image, width, format).catch(problemOf)
}

function isHuge({ width, height }: Size, frames = 1): boolean {
  return Math.max(width, height) > MAX_SIDE || width * height * frames > MAX_PIXELS
}

async function makeVariant(open: () => Source, image: ImageInfo, width: number, format: Format) {
  const source = open()
  const metadata = await sharp(source.bytes).metadata()
  const steps = planSteps(source, image, metadata, format)
  if (!steps) return 'broken'
  if (isHuge(metadata, steps.frames)) return 'huge'
  const scale = Math.min(1, Math.min(width, maxWidth(steps)) / image.width, MAX_HEIGHT / image.height)
  if (memoryFor(steps, scale) > MAX_MEMORY) return 'huge'
  const pixels = await render(source, steps, scale)
  const delay = metadata.delay?.slice(source.firstPage)
  const { data, info } = await encode(pixels, steps.encoder, delay).toBuffer({ resolveWithObject: true })
  return {
    bytes: data,
    contentType: `image/${info.format === 'heif' ? 'avif' : info.format}`,
    width: info.width,
    height: info.pageHeight ?? info.height,
  }
}

/** How to make a variant, whatever its width. Sizes are those of the image as stored. */
type Steps = NonNullable<ReturnType<typeof planSteps>>

/** Returns undefined if no decoded pixel is on the canvas. */
function planSteps(source: Source, image: ImageInfo, metadata: Metadata, format: Format) {
  const { type, width, height, orientation } = image
  const { left = 0, top = 0 } = source.place ?? {}
  const isTurned = orientation >= 5
  const canvas: Size = isTurned ? { width: height, height: width } : { width, height }
  // The decoded frame may be smaller than the canvas, and that of a GIF larger
  const frame: Size = {
    width: Math.min(metadata.width, canvas.width - left),
    height: Math.min(metadata.height, canvas.height - top),
  }
  if (frame.width < 1 || frame.height < 1) return undefined
  const isExtended = frame.width < canvas.width || frame.height < canvas.height
  const pages = (metadata.pages ?? 1) - (source.firstPage ?? 0)
  const isAnimated = pages > 1 && (type === 'gif' || type === 'webp') && (format === 'webp' || format === 'plain')
  const frames = isAnimated ? pages : 1
  const encoder = format === 'plain' ? plainEncoder(isAnimated, metadata.hasAlpha || isExtended) : format
  // sharp would turn an image before it extends it, and libvips would write the orientation of the source into an AVIF
  const isTurnedLast = orientation > 1 && isExtended
  const dropsOrientation = encoder === 'avif' && (metadata.orientation ?? 1) > 1
  const isPremultiplied = source.isPremultiplied === true && metadata.hasAlpha
  const held = isPremultiplied ? 8 : isTurnedLast || dropsOrientation ? 4 : 0
  const plan: Plan = { size: source.bytes.length, metadata, canvas, isTurned, frames, encoder, held }
  return { ...plan, orientation, frame, left, top, isExtended, isTurnedLast, dropsOrientation, isPremultiplied }
}

function plainEncoder(isAnimated: boolean, hasAlpha: boolean): Encoder {
  if (isAnimated) return 'gif'
  return hasAlpha ? 'png' : 'jpeg'
}

/** Scales an image, puts it on its canvas and turns it upright. */
async function render(source: Source, steps: Steps, scale: number): Promise<Sharp> {
  const { metadata, frame, canvas, left, top, isExtended } = steps
  const scaled = (pixels: number) => Math.max(1, Math.round(pixels * scale))
  const target = { width: scaled(canvas.width), height: scaled(canvas.height) }
  const size = isExtended ? { width: scaled(frame.width), height: scaled(frame.height) } : target
  // Otherwise sharp takes 16 bits for P3, and 16 bits of grey for sRGB
  const space = { rgb16: 'srgb', grey16: 'b-w' }[metadata.space as string]
  const open = () => {
    const { bytes, firstPage: page = 0, failOn = 'error' } = source
    const image = sharp(bytes, { page, pages: steps.frames > 1 ? -1 : 1, limitInputPixels: MAX_PIXELS, failOn })
    return space === undefined ? image : image.pipelineColourspace(space)
  }
  let image: Sharp
  if (steps.isPremultiplied) image = await unpremultiplied(open, size)
  else {
    image = open()
    if (metadata.width > frame.width || metadata.height > frame.height) image.extract({ left: 0, top: 0, ...frame })
    image.resize({ ...size, fit: 'fill' })
  }
  if (isExtended) extend(image, size, target, { left: Math.round(left * scale), top: Math.round(top * scale) })
  if (steps.isTurnedLast) image = fromRaw(await raw(image))
  turn(image, steps.orientation)
  return steps.dropsOrientation ? fromRaw(await raw(image)) : image
}

/** Scales an image whose colours are multiplied by their alpha, which libheif leaves as it is. */
async function unpremultiplied(open: () => Sharp, size: Size): Promise<Sharp> {
  const resized = (channels: Sharp) => raw(channels.resize({ ...size, fit: 'fill' }))
  // One after the other, since each decodes the whole image
  const colour = await resized(open().removeAlpha())
  const alpha = await resized(open().extractChannel('alpha'))
  const joined = await raw(fromRaw(colour).joinChannel(alpha.data, { raw: alpha.info }))
  return fromRaw(joined, { premultiplied: true })
}

type Raw = Awaited<ReturnType<typeof raw>>

function raw(image: Sharp) {
  return image.raw().toBuffer({ resolveWithObject: true })
}

function fromRaw({ data, info: { width, height, channels } }: Raw, more: { premultiplied?: boolean } = {}): Sharp {
  return sharp(data, { raw: { width, height, channels, ...more } })
}

/** Puts an image on a transparent canvas. */
function extend(image: Sharp, size: Size, canvas: Size, place: { left: number; top: number }): void {
  const left = Math.min(place.left, canvas.width - size.width)
  const top = Math.min(place.top, canvas.height - size.height)
  const right = canvas.width - size.width - left
  const bottom = canvas.height - size.height - top
  image.extend({ left, top, right, bottom, background: { r: 0, g: 0, b: 0, alpha: 0 } })
}

/** Turns an image upright: after scaling, when it takes less. */
function turn(image: Sharp, orientation: Orientation): void {
  if (orientation === 4) image.flip()
  if (orientation === 2 || orientation === 5 || orientation === 7) image.flop()
  if (orientation === 3) image.rotate(180)
  if (orientation === 6 || orientation === 7) image.rotate(90)
  if (orientation === 5 || orientation === 8) image.rotate(270)
}

/** docs/variants.md says what these settings cost and bring. */
function encode(image: Sharp, encoder: Encoder, delay?: number[]): Sharp {
  if (encoder === 'jpeg') return image.flatten({ background: 'white' }).jpeg({ quality: 80 })
  if (encoder === 'webp') return image.webp({ quality: 80, effort: 2, ...(delay && { delay }) })
  if (encoder === 'avif') return image.avif({ quality: 50, effort: 0 })
  return encoder === 'gif' ? image.gif({ effort: 1, ...(delay && { delay }) }) : image.png()
}
