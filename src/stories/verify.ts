import { createHash } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { Type } from 'typebox'
import { Check } from 'typebox/schema'
import { ObjectNotFound, StoreUnavailable, StoryNotFound } from '../errors.ts'
import { CONTENT_TYPES } from '../images/types.ts'
import { forEachConcurrent } from '../io/for-each-concurrent.ts'
import { imageTypeOf, isOwnId, STORIES, type StoryKeys, storyIdOf, storyPrefix } from '../layout/story.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { pastUnreadable } from '../store/past-unreadable.ts'
import { keysOfStory, readStoryKeys } from './list.ts'
import { fingerprintOf, MAX_RECORD_BYTES, type ManifestImage } from './record.ts'

/** Stories that are read at once; each of them image after image, as a stream. */
const STORIES_AT_ONCE = 4

/** Tries of a read before its failure counts. */
const TRIES = 3

const DIGEST = Type.String({ pattern: '^[0-9a-f]{64}$' })
const COUNT = Type.Integer({ minimum: 1 })
const RecordSchema = Type.Object({
  version: Type.Literal(1),
  images: Type.Array(
    Type.Object({
      name: Type.String(),
      type: Type.String(),
      size: COUNT,
      width: COUNT,
      height: COUNT,
      sha256: DIGEST,
    }),
    { minItems: 1 },
  ),
  fingerprint: DIGEST,
})

export interface VerifyReport {
  /** Number of stories with a commit record. */
  stories: number
  /** Number of stories with a record that are not as they were uploaded. */
  damaged: number
  /** Number of imported stories. They have no record, so they are counted in the list and not read. */
  imported: number
  /** Ids of ours with images and no record: uploads and deletions that run, or what interrupted ones have left. */
  unfinished: number
  /** Number of images that were read. */
  images: number
  /** Number of bytes of the images that were read. */
  bytes: number
}

export interface VerifyOptions {
  /** A story's: only this one. */
  readonly id?: string
  /** Ends the work, which rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** Gets what is wrong with a story, while others are read: sentences without a full stop. */
  readonly onDamaged: (id: string, problems: readonly string[]) => void
  /** Called after each story. */
  readonly onProgress?: (report: Readonly<VerifyReport>) => void
}

/**
 * Reads every record and every image that it names, and compares sizes and SHA-256 digests. Holds a page of the list, and of each
 * story that it reads the record and a few chunks of an image.
 *
 * @throws {StoryNotFound} if the one story that was asked for has no record
 * @throws {ServiceError} of a store that is out of reach
 */
export async function verifyStories(store: ObjectStore, options: VerifyOptions): Promise<VerifyReport> {
  const { id, signal, onDamaged, onProgress } = options
  const report = { stories: 0, damaged: 0, imported: 0, unfinished: 0, images: 0, bytes: 0 }
  const verification = new Verification(store, report, signal)
  const readable = pastUnreadable(store, (folder) => {
    report.stories += 1
    report.damaged += 1
    onDamaged(storyIdOf(folder) ?? folder, ["can't be read"])
  })
  await forEachConcurrent(storiesOf(readable, id), STORIES_AT_ONCE, async (keys) => {
    signal?.throwIfAborted()
    if (!isOwnId(keys.id)) report.imported += keys.images.length > 0 ? 1 : 0
    else if (keys.records.length > 0) {
      const problems = await verification.problemsOf(keys)
      if (problems === undefined) return
      report.stories += 1
      if (problems.length > 0) {
        report.damaged += 1
        onDamaged(keys.id, problems)
      }
    } else if (keys.images.length > 0) report.unfinished += 1
    onProgress?.(report)
  })
  if (id !== undefined && report.stories + report.imported === 0) throw new StoryNotFound(id)
  return report
}

async function* storiesOf(store: ObjectStore, id: string | undefined): AsyncGenerator<StoryKeys> {
  const prefix = id === undefined ? STORIES : storyPrefix(id)
  for await (const found of readStoryKeys(store, { prefix })) yield* found
}

class Verification {
  readonly #store: ObjectStore
  readonly #report: VerifyReport
  readonly #signal: AbortSignal | undefined

  constructor(store: ObjectStore, report: VerifyReport, signal: AbortSignal | undefined) {
    this.#store = store
    this.#report = report
    this.#signal = signal
  }

  /** Returns what is wrong with a story that has a record, or undefined if it was deleted meanwhile. */
  async problemsOf(keys: StoryKeys): Promise<string[] | undefined> {
    const problems: string[] = []
    for (const record of keys.records) problems.push(...(await this.#problemsOfRecord(keys, record)))
    if (keys.records.length > 1) problems.push(`there are ${keys.records.length} records`)
    if (problems.length === 0) return problems
    // A deletion takes the record first
    const now = await keysOfStory(this.#store, keys.id)
    return now && now.records.length > 0 ? problems : undefined
  }

  async #problemsOfRecord(keys: StoryKeys, key: string): Promise<string[]> {
    const listed = new Set(keys.images.map((image) => image.key))
    const count = Number(key.slice(storyPrefix(keys.id).length).split('.')[1])
    const problems: string[] = []
    let images: readonly ManifestImage[] = []
    const unreadable = await this.#tried(async () => {
      images = manifestIn(await this.#readRecord(key), count)
    })
    if (unreadable !== undefined) problems.push(`the record ${unreadable}`)
    for (const image of images) {
      const key = storyPrefix(keys.id) + image.name
      const problem = listed.delete(key) ? await this.#tried(() => this.#compare(key, image)) : 'is missing'
      if (problem !== undefined) problems.push(`${image.name} ${problem}`)
    }
    // Without a manifest the record's name still says how many there are
    if (unreadable === undefined) {
      for (const key of listed) problems.push(`${key.slice(storyPrefix(keys.id).length)} is not in the record`)
    } else if (listed.size !== count) problems.push(`there are ${listed.size} images, and not ${count}`)
    return problems
  }

  /** Returns what the last of a few tries finds wrong, or undefined once one finds nothing. */
  async #tried(attempt: () => Promise<void>): Promise<string | undefined> {
    for (let tries = 1; ; tries++) {
      try {
        await attempt()
        return undefined
      } catch (error) {
        this.#signal?.throwIfAborted()
        if (error instanceof Damage) return error.message
        if (error instanceof ObjectNotFound) return 'is missing'
        if (tries < TRIES) continue
        // The next story would fare no better
        if (error instanceof StoreUnavailable) throw error
        const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
        return `can't be read: ${cause instanceof Error ? cause.message : cause}`
      }
    }
  }

  #get(key: string) {
    return this.#store.get(key, this.#signal ? { signal: this.#signal } : {})
  }

  async #readRecord(key: string): Promise<string> {
    const { size, body } = await this.#get(key)
    if (size > MAX_RECORD_BYTES) {
      body.destroy()
      throw new Damage(`has ${size} bytes, which no record has`)
    }
    return text(body)
  }

  async #compare(key: string, image: ManifestImage): Promise<void> {
    const { body, metadata } = await this.#get(key)
    const digest = createHash('sha256')
    let size = 0
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length
      digest.update(chunk)
    }
    this.#report.images += 1
    this.#report.bytes += size
    if (size !== image.size) throw new Damage(`has ${size} bytes, and not ${image.size}`)
    if (digest.digest('hex') !== image.sha256) throw new Damage('has other bytes: its SHA-256 differs')
    // A copy may have lost its metadata
    for (const side of ['width', 'height'] as const) {
      const stored = metadata[side]
      if (stored !== undefined && stored !== String(image[side]))
        throw new Damage(`has the ${side} ${stored} in its metadata, and ${image[side]} in the record`)
    }
  }
}

/** The stored object is not what was uploaded. The message follows the name of the object. */
class Damage extends Error {}

/**
 * Parses the text of a commit record.
 *
 * @param count of images, from the record's name
 * @throws {Damage} if it is not the text of such a record
 */
function manifestIn(text: string, count: number): readonly ManifestImage[] {
  let record: unknown
  try {
    record = JSON.parse(text)
  } catch {
    throw new Damage('is not JSON')
  }
  if (!Check(RecordSchema, record)) throw new Damage('is JSON, but not that of a record of version 1')
  const { images, fingerprint } = record
  if (images.length !== count) throw new Damage(`is named for ${count} images and lists ${images.length}`)
  for (const [index, { name, type }] of images.entries()) {
    const format = imageTypeOf(name)
    if (format === undefined || Number.parseInt(name, 10) !== index + 1 || type !== CONTENT_TYPES[format])
      throw new Damage(`has a wrong name or type of image ${index + 1}`)
  }
  if (fingerprintOf(images) !== fingerprint) throw new Damage('has a fingerprint that is not that of its images')
  return images
}
