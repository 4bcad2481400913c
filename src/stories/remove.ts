import { DeleteFailure, ObjectNotFound, StoryNotFound } from '../errors.ts'
import { sideBySide } from '../side-by-side.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { isOwnId, isStoryId, isWrittenByUs, ownIdTime, STORIES, type StoryKeys, storyPrefix } from './key.ts'
import { readStoryKeys } from './list.ts'

/** S3's DeleteObjects takes 1,000 keys a call. */
const BATCH = 1000

/** Batches that are deleted side by side, while the list goes on. */
const BATCHES_AT_ONCE = 16

/** Keys of one batch that are looked at side by side, to see who wrote them. */
const HEADS_AT_ONCE = 8

/** Clocks of replicas differ, and an upload may end a little after its time. */
const CLOCK_MARGIN_MS = 5 * 60_000

/**
 * Deletes a story: first its record, and with it the story, then its images. A repetition finishes what an earlier call left
 * behind, and is a success. Rejects with `StoryNotFound` when there is nothing of it.
 */
export async function removeStory(store: ObjectStore, id: string): Promise<void> {
  if (!isStoryId(id)) throw new StoryNotFound(id)
  const removal = new Removal(store)
  let found = false
  for await (const stories of readStoryKeys(store, storyPrefix(id))) {
    if (stories.length > 0) found = true
    await removal.remove(stories)
  }
  if (!found) throw new StoryNotFound(id)
  removal.throwIfFailed()
}

/**
 * Deletes every story that is listed now, and what failed uploads and deletions left that are older than `uploadTimeout`. A
 * running upload, whose record is still to come, is not touched.
 *
 * Rejects with `DeleteFailure`, naming every key that the store kept, after all the others were deleted. Any other error ends the
 * work, and comes when nothing of it runs any more.
 *
 * @param uploadTimeout milliseconds after which an upload of ours can't be running any more
 */
export async function removeAllStories(store: ObjectStore, uploadTimeout: number): Promise<void> {
  const oldest = Date.now() - uploadTimeout - CLOCK_MARGIN_MS
  const removal = new Removal(store)
  await sideBySide(readBatches(store, oldest), BATCHES_AT_ONCE, async ({ stories, suspects }) => {
    await removal.remove([...stories, ...(await leftoversOf(store, suspects))])
  })
  removal.throwIfFailed()
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
  for await (const found of readStoryKeys(store, STORIES)) {
    for (const keys of found) {
      const isStory = keys.story() !== undefined
      if (!isStory && !(isOwnId(keys.id) && ownIdTime(keys.id) < oldest)) continue
      const count = keys.images.length + keys.records.length
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

/** Those that we wrote every object of. Files that were copied in by hand never are leftovers. */
async function leftoversOf(store: ObjectStore, suspects: readonly StoryKeys[]): Promise<StoryKeys[]> {
  const foreign = new Set<StoryKeys>()
  const objects = suspects.flatMap((keys) => keysOf(keys).map((key) => ({ keys, key })))
  await sideBySide(objects, HEADS_AT_ONCE, async ({ keys, key }) => {
    if (foreign.has(keys)) return
    try {
      const { metadata } = await store.head(key)
      if (!isWrittenByUs(metadata)) foreign.add(keys)
    } catch (error) {
      // deleted meanwhile
      if (!(error instanceof ObjectNotFound)) throw error
    }
  })
  return suspects.filter((keys) => !foreign.has(keys))
}

function keysOf({ records, images }: StoryKeys): string[] {
  return [...records, ...images.map((image) => image.key)]
}

/** Deletes the keys of stories, and remembers those that the store kept. */
class Removal {
  readonly #store: ObjectStore
  readonly #kept = new Set<string>()
  #cause: unknown

  constructor(store: ObjectStore) {
    this.#store = store
  }

  /**
   * Records before images: a reader who comes in between sees no story, never a part of one. A story whose record could not be
   * deleted keeps its images.
   */
  async remove(stories: readonly StoryKeys[]): Promise<void> {
    await this.#delete(stories.flatMap(({ records }) => records))
    const gone = stories.filter(({ records }) => !records.some((key) => this.#kept.has(key)))
    await this.#delete(gone.flatMap(({ images }) => images.map((image) => image.key)))
  }

  throwIfFailed(): void {
    if (this.#kept.size > 0) throw new DeleteFailure([...this.#kept]).because(this.#cause)
  }

  async #delete(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return
    try {
      await this.#store.delete(keys)
    } catch (error) {
      if (!(error instanceof DeleteFailure)) throw error
      for (const key of error.keys) this.#kept.add(key)
      this.#cause ??= error.cause
    }
  }
}
