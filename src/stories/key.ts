import { v7 } from 'uuid'
import type { ImageType } from './image-format.ts'

/**
 * Where a story is in the bucket, and when it is there at all.
 *
 *   stories/<uuid>/0.<n>.json   the commit record of a story of n images, written last; its body is the manifest
 *   stories/<uuid>/<k>.<ext>    image k, from 1
 *
 * The commit rule: a story exists if and only if its record and all its n images are listed. `0.` sorts before every image, so
 * whoever reads keys in order meets the record first and then counts. Our own ids are UUIDv7. An id of another version is a
 * foreign story, copied in by hand: it has no record and is whatever images are there.
 */
export const STORIES = 'stories/'

/** A regular expression, as JSON Schema has them too. */
export const STORY_ID_PATTERN = '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
const STORY_ID = new RegExp(STORY_ID_PATTERN)
const IMAGE_NAME = /^([1-9]\d{0,8})\.(jpg|jpeg|png|gif|webp|avif)$/
const RECORD_NAME = /^0\.([1-9]\d{0,8})\.json$/
const NAME_START = STORIES.length + 37

/** Metadata of every object that an upload writes. What does not have it was copied in by hand. */
export const WRITTEN_BY_US: Readonly<Record<string, string>> = { 'written-by': 'story-images' }

export function isWrittenByUs(metadata: Readonly<Record<string, string>>): boolean {
  return metadata['written-by'] === WRITTEN_BY_US['written-by']
}

export interface StoredImage {
  readonly key: string
  readonly number: number
  readonly lastModified: Date
}

export interface Story {
  readonly id: string
  /** In numeric order. */
  readonly images: readonly StoredImage[]
}

/** A lower-case UUID of any version: the only ids that can name a story. */
export function isStoryId(text: string): boolean {
  return STORY_ID.test(text)
}

/** Whether the id is one that an upload makes: UUIDv7 (RFC 9562 section 5.7). Every other id is a foreign story's. */
export function isOwnId(id: string): boolean {
  return id[14] === '7' && '89ab'.includes(id.charAt(19))
}

export function newStoryId(): string {
  return v7()
}

/** When a story of ours was begun, from the 48 bits of milliseconds in its id (RFC 9562 section 5.7). */
export function ownIdTime(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}

export function storyPrefix(id: string): string {
  return `${STORIES}${id}/`
}

export function imageKey(id: string, number: number, type: ImageType): string {
  return `${storyPrefix(id)}${number}.${type}`
}

export function recordKey(id: string, count: number): string {
  return `${storyPrefix(id)}0.${count}.json`
}

/** The path under which the image is fetched, relative to the server's root. */
export function publicPath(key: string): string {
  return `/images/${key}`
}

/** The type that a file name of an image promises; nothing when it is no name of an image. */
export function imageTypeOf(name: string): ImageType | undefined {
  const extension = IMAGE_NAME.exec(name)?.[2]
  return extension === 'jpeg' ? 'jpg' : (extension as ImageType | undefined)
}

/** What a listed key of our layout is; nothing for every other key. */
export function parseKey(
  key: string,
): { id: string; kind: 'record'; count: number } | { id: string; kind: 'image'; number: number } | undefined {
  const id = key.slice(STORIES.length, NAME_START - 1)
  if (!key.startsWith(STORIES) || key[NAME_START - 1] !== '/' || !STORY_ID.test(id)) return undefined
  const name = key.slice(NAME_START)
  const image = IMAGE_NAME.exec(name)
  if (image) return { id, kind: 'image', number: Number(image[1]) }
  const record = RECORD_NAME.exec(name)
  return record ? { id, kind: 'record', count: Number(record[1]) } : undefined
}

/** What a listing shows of one story id: the keys of our layout, whether or not they make a story. */
export class StoryKeys {
  readonly records: string[] = []
  readonly images: StoredImage[] = []
  #count = 0

  constructor(readonly id: string) {}

  addRecord(key: string, count: number): void {
    this.records.push(key)
    this.#count = count
  }

  addImage(image: StoredImage): void {
    this.images.push(image)
  }

  /** The story, if the commit rule says that there is one. To be asked once every key of the id was added. */
  story(): Story | undefined {
    const images = this.images.toSorted((a, b) => a.number - b.number)
    if (images.length === 0) return undefined
    if (isOwnId(this.id)) {
      if (this.records.length !== 1 || images.length !== this.#count) return undefined
      if (images.some((image, index) => image.number !== index + 1)) return undefined
    }
    return { id: this.id, images }
  }
}

/** `created_at` of an image: the upload's time for stories of ours, else when the object was last modified. UTC, to the second. */
export function createdAt(story: Story, image: StoredImage): string {
  const time = isOwnId(story.id) ? new Date(ownIdTime(story.id)) : image.lastModified
  return time.toISOString().replace(/\.\d+Z$/, 'Z')
}
