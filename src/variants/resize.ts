import sharp, { type Metadata, type Sharp } from 'sharp'
import { identifyImage } from '../images/identify.ts'
import type { ImageInfo, Orientation, Size } from '../images/types.ts'
import type { VariantShape } from '../layout/variant.ts'
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
 */
export async function resize(file: Buffer, shape: VariantShape): Promise<Variant | Problem> {
  const found = identifyImage(file)
  if (found.kind !== 'image') return 'broken'
  const { info: image } = found
  if (isHuge(image)) return 'huge'
  const problemOf = (error: unknown): Problem => (NO_MEMORY.test(String(error)) ? 'huge' : 'broken')
  const result = await makeVariant(() => sourceOf(file, image), image, shape).catch(problemOf)
  const ended = result === 'broken' && image.type === 'jpg' ? withEnd(file) : undefined
  if (!ended) return result
  // If its scan is complete, libjpeg gives no warning
  return makeVariant(() => ({ bytes: ended, failOn: 'warning' }), image, shape).catch(problemOf)
}

function isHuge({ width, height }: Size, frames = 1): boolean {
  return Math.max(width, height) > MAX_SIDE || width * height * frames > MAX_PIXELS
}

async function makeVariant(open: () => Source, image: ImageInfo, shape: VariantShape) {
  const source = open()
  const metadata = await sharp(source.bytes).metadata()
  const steps = planSteps(source, image, metadata, shape)
  if (!steps) return 'broken'
  if (isHuge(metadata, steps.frames)) return 'huge'
  const { shown } = steps
  const scale = Math.min(1, Math.min(shape.width, maxWidth(steps)) / shown.width, MAX_HEIGHT / shown.height)
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

/** How to make a variant, whatever its scale. Sizes are those of the image as stored. */
type Steps = NonNullable<ReturnType<typeof planSteps>>

/** Returns undefined if no decoded pixel is on the canvas. */
function planSteps(source: Source, image: ImageInfo, metadata: Metadata, shape: VariantShape) {
  const { type, width, height, orientation } = image
  const { format } = shape
  const { left = 0, top = 0 } = source.place ?? {}
  const canvas: Size = orientation >= 5 ? { width: height, height: width } : { width, height }
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
  const isCropped = shape.height !== undefined
  const isPremultiplied = source.isPremultiplied === true && metadata.hasAlpha
  // The scaled image, or all scaled frames, are held to crop them
  const held = (isPremultiplied ? 8 : isTurnedLast || dropsOrientation ? 4 : 0) + (isCropped ? 4 * frames : 0)
  const plan: Plan = {
    size: source.bytes.length,
    metadata,
    canvas,
    shown: isCropped ? shownPart(image, shape.width / shape.height) : image,
    frames,
    encoder,
    held,
  }
  return {
    ...plan,
    image,
    frame,
    left,
    top,
    isExtended,
    isTurnedLast,
    dropsOrientation,
    isPremultiplied,
    isCropped,
  }
}

/** Returns the size of the largest part of an image with this ratio of width to height. */
function shownPart({ width, height }: Size, ratio: number): Size {
  return { width: Math.min(width, height * ratio), height: Math.min(height, width / ratio) }
}

function plainEncoder(isAnimated: boolean, hasAlpha: boolean): Encoder {
  if (isAnimated) return 'gif'
  return hasAlpha ? 'png' : 'jpeg'
}

/** Scales an image, puts it on its canvas, turns it upright and crops it. */
async function render(source: Source, steps: Steps, scale: number): Promise<Sharp> {
  const { metadata, frame, canvas, left, top, isExtended, isCropped, frames } = steps
  const scaled = ({ width, height }: Size): Size => ({
    width: Math.max(1, Math.round(width * scale)),
    height: Math.max(1, Math.round(height * scale)),
  })
  const size = scaled(frame)
  // Otherwise sharp takes 16 bits for P3, and 16 bits of grey for sRGB
  const space = { rgb16: 'srgb', grey16: 'b-w' }[metadata.space as string]
  const open = () => {
    const { bytes, firstPage: page = 0, failOn = 'error' } = source
    const image = sharp(bytes, { page, pages: frames > 1 ? -1 : 1, limitInputPixels: MAX_PIXELS, failOn })
    return space === undefined ? image : image.pipelineColourspace(space)
  }
  let image: Sharp
  if (steps.isPremultiplied) image = await unpremultiplied(open, size)
  else {
    image = open()
    if (metadata.width > frame.width || metadata.height > frame.height) image.extract({ left: 0, top: 0, ...frame })
    image.resize({ ...size, fit: 'fill' })
  }
  if (isExtended) extend(image, size, scaled(canvas), { left: Math.round(left * scale), top: Math.round(top * scale) })
  if (steps.isTurnedLast) image = fromRaw(await raw(image))
  turn(image, steps.image.orientation)
  if (isCropped) {
    // sharp would crop an image before it extends or mirrors it. Animations are neither extended nor turned
    if (frames === 1) image = fromRaw(await raw(image))
    return crop(image, scaled(steps.image), scaled(steps.shown))
  }
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

/** Cuts off the same on the left and on the right, and three times as much at the bottom as at the top, where heads are. */
function crop(image: Sharp, whole: Size, { width, height }: Size): Sharp {
  const left = Math.round((whole.width - width) / 2)
  const top = Math.round((whole.height - height) / 4)
  return image.extract({ left, top, width, height })
}

/** docs/variants.md says what these settings cost and bring. */
function encode(image: Sharp, encoder: Encoder, delay?: number[]): Sharp {
  if (encoder === 'jpeg') return image.flatten({ background: 'white' }).jpeg({ quality: 80 })
  if (encoder === 'webp') return image.webp({ quality: 80, effort: 2, ...(delay && { delay }) })
  if (encoder === 'avif') return image.avif({ quality: 50, effort: 0 })
  return encoder === 'gif' ? image.gif({ effort: 1, ...(delay && { delay }) }) : image.png()
}
