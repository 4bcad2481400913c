import { randomInt } from 'node:crypto'
import { v7 } from 'uuid'
import type { ImageType } from '../images/types.ts'
import type { KeySpace, ListedObject, ListOptions } from '../store/object-store.ts'

/**
 * Where a story is in the bucket, and when it is there at all.
 *
 *   stories/<uuid>/0.<n>.json   the commit record of a story of n images, written last; its body is the manifest. With an
 *                               Idempotency-Key it is 0.<n>.claimed.json
 *   stories/<uuid>/<k>.<ext>    image k, from 1
 *   stories/-deleting/…         tombstones: see tombstone.ts
 *
 * The commit rule: a story exists if and only if its record and all its n images are listed. `0.` sorts before every image, so
 * whoever reads keys in order meets the record first and then counts. Our own ids are UUIDv7. An id of another version is that of an
 * imported story, copied in by hand: it has no record and is whatever images are there.
 */
export const STORIES = 'stories/'

/** A regular expression, as JSON Schema has them too. */
export const STORY_ID_PATTERN = '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
const STORY_ID = new RegExp(STORY_ID_PATTERN)
const IMAGE_NAME = /^([1-9]\d{0,8})\.(jpg|jpeg|png|gif|webp|avif)$/
const RECORD_NAME = /^0\.([1-9]\d{0,8})(\.claimed)?\.json$/
const ID_END = STORIES.length + 36
const NAME_START = ID_END + 1

/** Metadata of every object that an upload writes. Objects without it were copied in by hand. */
export const WRITTEN_BY_US: Readonly<Record<string, string>> = { 'written-by': 'story-images' }

export function isWrittenByUs(metadata: Readonly<Record<string, string>>): boolean {
  return metadata['written-by'] === WRITTEN_BY_US['written-by']
}

export interface StoredImage {
  readonly key: string
  readonly number: number
  /** When it was put, as a list says it. */
  readonly modified: string
}

export interface Story {
  readonly id: string
  /** In numeric order. */
  readonly images: readonly StoredImage[]
}

/** Returns whether a text is a UUID of any version in lower case: only these can be ids of stories. */
export function isStoryId(text: string): boolean {
  return STORY_ID.test(text)
}

/** Returns whether an id is one that an upload makes: UUIDv7 (RFC 9562 section 5.7). Every other id is an imported story's. */
export function isOwnId(id: string): boolean {
  return id[14] === '7' && '89ab'.includes(id.charAt(19))
}

let lastId = { msecs: Number.NaN, seq: 0 }

/**
 * Makes a UUIDv7. Ids of one process are in the order in which they were made, even within one millisecond, as long as the clock does not
 * go back. If the clock goes back, so do the ids: after a clock that was ahead is corrected, no more ids are from the future.
 */
export function newStoryId(): string {
  const msecs = Date.now()
  // 32 bits, and never as many as 2^31 ids in a millisecond
  lastId = { msecs, seq: msecs === lastId.msecs ? lastId.seq + 1 : randomInt(2 ** 31) }
  return v7(lastId)
}

/** Returns when the upload of a story of ours began: the 48 bits of milliseconds in its id (RFC 9562 section 5.7). */
export function ownIdTime(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}

export function storyPrefix(id: string): string {
  return `${STORIES}${id}/`
}

/** Returns a key above every key of the story, and below every key of the next one: "0" comes after "/". */
export function storyEnd(id: string): string {
  return `${STORIES}${id}0`
}

/** The stories whose keys are above `after` and below `before`. */
export type Range = Pick<ListOptions, 'after' | 'before'>

export function imageKey(id: string, number: number, type: ImageType): string {
  return `${storyPrefix(id)}${number}.${type}`
}

export function recordKey(id: string, count: number, isIdempotent = false): string {
  return `${storyPrefix(id)}0.${count}${isIdempotent ? '.claimed' : ''}.json`
}

/** Returns the path of an image, from the server's root. */
export function publicPath(key: string): string {
  return `/images/${key}`
}

/** Returns the image type of a file name, or undefined if it is not the name of an image. */
export function imageTypeOf(name: string): ImageType | undefined {
  const extension = IMAGE_NAME.exec(name)?.[2]
  return extension === 'jpeg' ? 'jpg' : (extension as ImageType | undefined)
}

/**
 * Positions of stories: the first 48 bits of their ids, which in ours are the time. Even the ids of one busy second are hundreds of
 * positions apart.
 */
export const STORY_SPACE: KeySpace = {
  position: (key) => ownIdTime(key.slice(STORIES.length)),
  keyAt(position) {
    if (!(position >= 0 && position < 2 ** 48)) return undefined
    const digits = Math.floor(position).toString(16).padStart(12, '0')
    return `${STORIES}${digits.slice(0, 8)}-${digits.slice(8)}`
  },
}

/** Returns the id in a key below `stories/<uuid>/`, whatever follows it, or undefined for every other key. */
export function storyIdOf(key: string): string | undefined {
  const id = key.slice(STORIES.length, ID_END)
  return key.startsWith(STORIES) && key[ID_END] === '/' && STORY_ID.test(id) ? id : undefined
}

/** Returns whether a folder is that of a story: no other one below `stories/` is looked into. */
export function isStoryFolder(folder: string): boolean {
  return storyIdOf(folder) !== undefined
}

/** What a listing shows of one story id: the keys of our layout, whether or not they make a story. */
export class StoryKeys {
  readonly records: string[] = []
  readonly images: StoredImage[] = []
  /** Whether there are keys below the id that are not of our layout. */
  hasOthers = false
  readonly #prefix: string
  #count = 0
  #isSorted = true

  constructor(readonly id: string) {
    this.#prefix = storyPrefix(id)
  }

  /** Returns whether a key is below this story id. */
  covers(key: string): boolean {
    return key.startsWith(this.#prefix)
  }

  /** The commit record of an upload with an Idempotency-Key, whose body names its idempotency record. */
  get idempotentRecord(): string | undefined {
    return this.records.find((key) => key.endsWith('.claimed.json'))
  }

  /** Returns the keys of our layout, records first. */
  keys(): string[] {
    return [...this.records, ...this.images.map(({ key }) => key)]
  }

  /** Adds a listed object that is below this story id. Returns whether it is of our layout. */
  add({ key, modified }: ListedObject): boolean {
    const name = key.slice(NAME_START)
    if (IMAGE_NAME.test(name)) {
      const number = Number.parseInt(name, 10)
      if (number < (this.images.at(-1)?.number ?? 0)) this.#isSorted = false
      this.images.push({ key, number, modified })
      return true
    }
    const record = RECORD_NAME.exec(name)
    if (!record) {
      this.hasOthers = true
      return false
    }
    this.records.push(key)
    this.#count = Number(record[1])
    return true
  }

  /** Returns the story, if the commit rule says that there is one. Call it once every key of the id was added. */
  story(): Story | undefined {
    if (this.images.length === 0) return undefined
    const images = this.#isSorted ? this.images : this.images.toSorted((a, b) => a.number - b.number)
    if (isOwnId(this.id)) {
      if (this.records.length !== 1 || images.length !== this.#count) return undefined
      if (images.some((image, index) => image.number !== index + 1)) return undefined
    }
    return { id: this.id, images }
  }
}

/**
 * Returns a function for `created_at` of the images of a story: the time of the upload for stories of ours, else when the object was
 * last modified. UTC, to the second.
 */
export function createdAt(story: Story): (image: StoredImage) => string {
  if (!isOwnId(story.id)) return (image) => toSecond(image.modified)
  const time = toSecond(new Date(ownIdTime(story.id)).toISOString())
  return () => time
}

function toSecond(time: string): string {
  return time.replace(/\.\d+Z$/, 'Z')
}
