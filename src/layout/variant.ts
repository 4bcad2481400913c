import type { Size } from '../images/types.ts'
import { isStoryId } from './story.ts'

/**
 * Prefix of the keys of variants: `variants/<story id>/<name of the image>.<width>.<format>`, or `….<width>x<height>.<format>` for
 * those that are cropped. They are a cache: each can be made again from its image at any time, and counts only while the image exists.
 */
export const VARIANTS = 'variants/'

/** The values of the query parameter `format`. */
export const REQUEST_FORMATS = ['auto', 'jpeg', 'webp', 'avif'] as const
export type RequestFormat = (typeof REQUEST_FORMATS)[number]

/** The format of a variant. `plain` is what every client can show: GIF for an animation, PNG where there is transparency, otherwise JPEG. */
export type Format = Exclude<RequestFormat, 'auto'> | 'plain'

/** What to make of an image. */
export interface VariantShape {
  /** At most, in pixels. */
  readonly width: number
  /** At most, in pixels: the image is cropped to the shape of width and height. Without it the image keeps its shape. */
  readonly height?: number | undefined
  readonly format: Format
}

export interface VariantSpec extends VariantShape {
  readonly storyId: string
  /** Key of the image. */
  readonly source: string
}

const VARIANT_NAME =
  /^[1-9]\d{0,8}\.(jpg|jpeg|png|gif|webp|avif)\.[1-9]\d{0,4}(x[1-9]\d{0,4})?\.(jpeg|webp|avif|plain)$/
const ID_END = VARIANTS.length + 36

export function variantsPrefix(storyId: string): string {
  return `${VARIANTS}${storyId}/`
}

export function variantKey({ storyId, source, format, ...size }: VariantSpec): string {
  return `${variantsPrefix(storyId)}${source.slice(source.lastIndexOf('/') + 1)}.${sizeName(size)}.${format}`
}

/** Returns the size in the name of a variant: "320", or "320x240" if it is cropped. */
export function sizeName({ width, height }: Pick<VariantShape, 'width' | 'height'>): string {
  return height === undefined ? String(width) : `${width}x${height}`
}

/** Returns the size of a crop with this name, as `VARIANT_SIZES` has them: "320x240". */
export function parseSize(name: string): Size {
  const [width = 0, height = 0] = name.split('x').map(Number)
  return { width, height }
}

/** Returns the story id in a key or prefix below `variants/<uuid>/`, and undefined for any other. */
export function variantStoryId(key: string): string | undefined {
  const id = key.slice(VARIANTS.length, ID_END)
  return key.startsWith(VARIANTS) && key[ID_END] === '/' && isStoryId(id) ? id : undefined
}

/** Returns whether a key is one that `variantKey` makes. */
export function isVariantKey(key: string): boolean {
  return variantStoryId(key) !== undefined && VARIANT_NAME.test(key.slice(ID_END + 1))
}
