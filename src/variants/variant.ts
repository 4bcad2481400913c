import { isStoryId } from '../stories/key.ts'

/**
 * Where smaller forms of images are kept: `variants/<story id>/<name of the image>.<width>.<form>`. They are a cache: each can be made
 * again from its image at any time, and counts only while the image is there.
 */
export const VARIANTS = 'variants/'

/** What a client can ask for by name. */
export const FORMATS = ['auto', 'jpeg', 'webp', 'avif'] as const
export type Format = (typeof FORMATS)[number]

/** What a variant can be. `plain` is what every client can show: JPEG, PNG where there is transparency, GIF for an animation. */
export type Form = Exclude<Format, 'auto'> | 'plain'

export interface VariantSpec {
  readonly storyId: string
  /** Key of the image. */
  readonly source: string
  /** Most pixels. */
  readonly width: number
  readonly form: Form
}

const VARIANT_NAME = /^[1-9]\d{0,8}\.(jpg|jpeg|png|gif|webp|avif)\.[1-9]\d{0,4}\.(jpeg|webp|avif|plain)$/
const ID_END = VARIANTS.length + 36

export function variantsPrefix(storyId: string): string {
  return `${VARIANTS}${storyId}/`
}

export function variantKey({ storyId, source, width, form }: VariantSpec): string {
  return `${variantsPrefix(storyId)}${source.slice(source.lastIndexOf('/') + 1)}.${width}.${form}`
}

/** The story id of a key, or prefix, below `variants/<uuid>/`; nothing for every other one. */
export function variantStoryId(key: string): string | undefined {
  const id = key.slice(VARIANTS.length, ID_END)
  return key.startsWith(VARIANTS) && key[ID_END] === '/' && isStoryId(id) ? id : undefined
}

/** Whether a key is of our layout. */
export function isVariantKey(key: string): boolean {
  return variantStoryId(key) !== undefined && VARIANT_NAME.test(key.slice(ID_END + 1))
}
