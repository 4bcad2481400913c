import { DeleteFailure, ObjectNotFound, StoryNotFound } from '../errors.ts'
import { forEachConcurrent } from '../for-each-concurrent.ts'
import { stopwatch } from '../stopwatch.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { pastUnreadable } from '../store/past-unreadable.ts'
import { orphanedVariants, variantsOf } from '../variants/remove.ts'
import { removeDebris } from './debris.ts'
import { commitBeforeDeletion } from './idempotency-record.ts'
import {
  CLOCK_MARGIN_MS,
  isOwnId,
  isStoryId,
  isWrittenByUs,
  ownIdTime,
  STORIES,
  STORY_SPACE,
  type StoryKeys,
} from './key.ts'
import { keysOfStory, readStoryKeys } from './list.ts'
import { putTombstone, readTombstones } from './tombstone.ts'

/** S3's DeleteObjects takes 1,000 keys a call. */
const BATCH = 1000

/** Batches that are deleted side by side, while the list goes on. */
const BATCHES_AT_ONCE = 16

/** Keys of one batch that are looked at side by side, to see who wrote them. */
export const HEADS_AT_ONCE = 8

/** Looks and tombstones side by side. */
const LOOKS_AT_ONCE = 16

/**
 * Deletes a story: first its record, and with it the story, then its images, then their variants. A repetition finishes what an earlier
 * call left behind, and is a success. Rejects with `StoryNotFound` when there is nothing of it.
 *
 * A full store has to be emptied too, so nothing that a deletion writes is necessary for it. The tombstone is left out where there is
 * no room for it: a server with a later watermark then lists it until the last of its keys is gone. For the end of an idempotency
 * record see `Removal.remove`.
 *
 * @param uploadTimeout milliseconds after which an upload of ours can't be running any more
 * @param withoutTombstone has the id from before the first step until nothing is left, when there is no tombstone
 */
export async function removeStory(
  store: ObjectStore,
  id: string,
  uploadTimeout: number,
  withoutTombstone = new Set<string>(),
): Promise<void> {
  if (!isStoryId(id)) throw new StoryNotFound(id)
  const needsCheck = mayBeBelowWatermark(id, uploadTimeout)
  const [keys, earlier] = await Promise.all([keysOfStory(store, id), needsCheck ? readTombstones(store, id) : []])
  const tombstones = earlier.map(({ key }) => key)
  const needsTombstone = needsCheck && keys?.story() !== undefined
  const bury = async () => {
    const own = await putTombstone(store, id)
    if (own === undefined) withoutTombstone.add(id)
    else tombstones.push(own)
    return own !== undefined
  }
  const hasTombstone = !needsTombstone || (await bury())
  const removal = new Removal(store)
  const gone = keys ? await removal.remove([keys], hasTombstone ? undefined : bury) : []
  removal.throwIfFailed()
  const variants = await variantsOf(store, id)
  await removal.delete(variants)
  removal.throwIfFailed()
  // With something below its id, a record that waits for its end or what is none of ours, it would still count as a story
  const isEmpty = gone.length > 0 ? !keys?.hasOthers : keys === undefined
  if (isEmpty && tombstones.length > 0) await store.delete(tombstones)
  if (isEmpty) withoutTombstone.delete(id)
  if (variants.length === 0 && !keys?.keys().length) throw new StoryNotFound(id)
}

/**
 * Whether a sweep may have seen the story whole, so that its deletion needs a tombstone. A younger one is still to be swept, and will
 * not be before this deletion is over or given up; an imported one is looked at in any case.
 */
function mayBeBelowWatermark(id: string, uploadTimeout: number): boolean {
  return isOwnId(id) && ownIdTime(id) < Date.now() - uploadTimeout
}

/**
 * Deletes every story that is listed now, and what failed uploads and deletions left that are older than `uploadTimeout`, and then the
 * variants of whatever is gone. A running upload, whose record is still to come, is not touched. A full store is emptied too, as by
 * `removeStory`.
 *
 * Rejects with `DeleteFailure`, naming every key that the store kept, after all the others were deleted. Any other error ends the
 * work, and comes when nothing of it runs any more.
 *
 * @param uploadTimeout milliseconds after which an upload of ours can't be running any more
 * @param withoutTombstone has ids as for `removeStory`
 */
export async function removeAllStories(
  store: ObjectStore,
  uploadTimeout: number,
  withoutTombstone = new Set<string>(),
): Promise<void> {
  const oldest = Date.now() - uploadTimeout - CLOCK_MARGIN_MS
  const earlier = await readTombstones(store)
  const isRepetition = earlier.some(({ id }) => id === 'all')
  const removal = new Removal(store)
  const own: Promise<string | undefined>[] = []
  let sinceTombstone: (() => number) | undefined
  /** Those of which a key of our layout is left without a failure: for want of room, or since an upload turned out to run. */
  const waiting = new Set<string>()

  async function bury(): Promise<boolean> {
    // A new one from time to time: a sweep takes an old one for that of a deletion that was interrupted
    if (!sinceTombstone || sinceTombstone() > uploadTimeout) {
      sinceTombstone = stopwatch()
      own.push(putTombstone(store, 'all'))
    }
    const hasTombstone = (await own.at(-1)) !== undefined
    // When the next batch begins, there may be room
    if (!hasTombstone) sinceTombstone = undefined
    return hasTombstone
  }

  const readable = pastUnreadable(store, (folder, error) => removal.keep(folder, error))
  await forEachConcurrent(readBatches(readable, oldest), BATCHES_AT_ONCE, async ({ stories, suspects }) => {
    const hasTombstone = await bury()
    const swept = stories.filter(({ id }) => mayBeBelowWatermark(id, uploadTimeout))
    if (!hasTombstone) for (const { id } of swept) withoutTombstone.add(id)
    const debris = await debrisOf(store, suspects)
    // Below these ids something stays that is no story, now or since an earlier removal
    const lasting = [
      ...swept.filter(({ hasOthers }) => hasOthers),
      ...(isRepetition ? suspects.filter((keys) => !debris.includes(keys)) : []),
    ]
    await forEachConcurrent(lasting, LOOKS_AT_ONCE, async ({ id }) => {
      if ((await putTombstone(store, id)) === undefined) withoutTombstone.add(id)
    })
    const gone = new Set(await removal.remove(stories))
    for (const keys of await removeDebris(store, removal, debris, Date.now())) gone.add(keys)
    for (const keys of [...stories, ...debris]) {
      if (gone.has(keys)) {
        if (!keys.hasOthers) withoutTombstone.delete(keys.id)
      } else waiting.add(keys.id)
    }
    // Of the others an id is left that has nothing but variants
    const withOthers = stories.filter(({ hasOthers }) => hasOthers)
    await forEachConcurrent(withOthers, LOOKS_AT_ONCE, async ({ id }) => removal.delete(await variantsOf(store, id)))
  })
  await forEachConcurrent(orphanedVariants(readable), BATCHES_AT_ONCE, (orphans) =>
    removal.delete(orphans.flatMap(({ objects }) => objects.map(({ key }) => key))),
  )
  removal.throwIfFailed()
  // What is left may be that of an earlier deletion: as long as there is a tombstone, no list of ids has it
  if (waiting.size > 0) return
  const done = (await Promise.all(own)).filter((key) => key !== undefined)
  await forEachConcurrent(earlier, LOOKS_AT_ONCE, async ({ key, id }) => {
    if (id === 'all' || !(await keysOfStory(store, id))) done.push(key)
  })
  await store.delete(done)
}

/** Of at most 1,000 keys, unless a single story has more. */
interface Batch {
  readonly stories: StoryKeys[]
  /** What a failed upload or deletion of ours may have left; the keys alone don't tell. */
  readonly suspects: StoryKeys[]
}

async function* readBatches(store: ObjectStore, oldest: number): AsyncGenerator<Batch> {
  let batch: Batch = { stories: [], suspects: [] }
  let size = 0
  for await (const found of readStoryKeys(store, { prefix: STORIES, space: STORY_SPACE })) {
    for (const keys of found) {
      const isStory = keys.story() !== undefined
      if (!isStory && !(isOwnId(keys.id) && ownIdTime(keys.id) < oldest)) continue
      const count = keys.images.length + keys.records.length
      if (count === 0) continue
      if (size > 0 && size + count > BATCH) {
        yield batch
        batch = { stories: [], suspects: [] }
        size = 0
      }
      const kind = isStory ? batch.stories : batch.suspects
      kind.push(keys)
      size += count
    }
  }
  if (size > 0) yield batch
}

/**
 * Those that we wrote every object of. Files that were copied in by hand never are debris.
 *
 * @param before milliseconds since 1970; what has an object from later is none either
 */
export async function debrisOf(
  store: ObjectStore,
  suspects: readonly StoryKeys[],
  before = Number.POSITIVE_INFINITY,
): Promise<StoryKeys[]> {
  const notOurs = new Set<StoryKeys>()
  const objects = suspects.flatMap((keys) => keys.keys().map((key) => ({ keys, key })))
  await forEachConcurrent(objects, HEADS_AT_ONCE, async ({ keys, key }) => {
    if (!notOurs.has(keys) && !(await isOurs(store, key, before))) notOurs.add(keys)
  })
  return suspects.filter((keys) => !notOurs.has(keys))
}

/** Whether we wrote an object, and before that time; one that is deleted meanwhile is nobody else's. */
export async function isOurs(store: ObjectStore, key: string, before = Number.POSITIVE_INFINITY): Promise<boolean> {
  try {
    const { metadata, lastModified, changedAt = lastModified } = await store.head(key)
    return isWrittenByUs(metadata) && changedAt.getTime() < before
  } catch (error) {
    if (error instanceof ObjectNotFound) return true
    throw error
  }
}

/** Deletes the keys of stories, and remembers those that the store kept. */
export class Removal {
  readonly kept = new Set<string>()
  readonly #store: ObjectStore
  #cause: unknown

  constructor(store: ObjectStore) {
    this.#store = store
  }

  /**
   * Records before images: a reader who comes in between sees no story, never a part of one. A story whose record could not be
   * deleted keeps its images.
   *
   * The end of an idempotency record comes before both. Where the store has no room for it, the images go first, which takes the
   * story out of every list at once, too. Then there is room, or the record stays: it tells an upload with the same key that its
   * story was committed, and a later call writes the end and deletes it.
   *
   * @param onRoom is called once when a part of the keys is deleted, and others are still there
   * @returns the stories of which no key of our layout is left
   */
  async remove(stories: readonly StoryKeys[], onRoom?: () => Promise<unknown>): Promise<StoryKeys[]> {
    const open = await this.#withoutEnd(stories)
    await this.#deleteRecords(stories.filter((keys) => !open.has(keys)))
    const isHidden = ({ records }: StoryKeys) => !records.some((key) => this.kept.has(key))
    if (open.size === 0) await onRoom?.()
    const hidden = stories.filter(isHidden)
    await this.delete(hidden.flatMap(({ images }) => images.map((image) => image.key)))
    if (open.size > 0) await onRoom?.()
    const gone = hidden.filter(({ images }) => !images.some(({ key }) => this.kept.has(key)))
    const waiting = open.size > 0 ? await this.#withoutEnd(gone.filter((keys) => open.has(keys))) : open
    await this.#deleteRecords(gone.filter((keys) => open.has(keys) && !waiting.has(keys)))
    return gone.filter((keys) => !waiting.has(keys) && isHidden(keys))
  }

  /** Writes the ends of their idempotency records; returns those for which the store has no room. */
  async #withoutEnd(stories: readonly StoryKeys[]): Promise<Set<StoryKeys>> {
    const full = new Set<StoryKeys>()
    await forEachConcurrent(stories, LOOKS_AT_ONCE, async (keys) => {
      if (!(await commitBeforeDeletion(this.#store, keys))) full.add(keys)
    })
    return full
  }

  async #deleteRecords(stories: readonly StoryKeys[]): Promise<void> {
    await this.delete(stories.flatMap(({ records }) => records))
  }

  /** Remembers what can't be deleted, since it can't be read. */
  keep(folder: string, cause: unknown): void {
    this.kept.add(folder)
    this.#cause ??= cause
  }

  throwIfFailed(): void {
    if (this.kept.size > 0) throw new DeleteFailure([...this.kept], { cause: this.#cause })
  }

  async delete(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return
    try {
      await this.#store.delete(keys)
    } catch (error) {
      if (!(error instanceof DeleteFailure)) throw error
      for (const key of error.keys) this.kept.add(key)
      this.#cause ??= error.cause
    }
  }
}
