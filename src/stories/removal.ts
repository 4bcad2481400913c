import { DeleteFailure } from '../errors.ts'
import { forEachConcurrent } from '../io/for-each-concurrent.ts'
import type { StoryKeys } from '../layout/story.ts'
import type { Keep, ObjectStore } from '../store/object-store.ts'
import { commitBeforeDeletion } from './idempotency-record.ts'
import type { StoryStore } from './story-store.ts'

const ENDS_AT_ONCE = 16

/** Deletes the keys of stories, and collects those that could not be deleted. */
export class Removal {
  /** Keys that could not be deleted, and folders that could not be read. */
  readonly left = new Set<string>()
  readonly #store: ObjectStore
  readonly #onImagesRemoved: StoryStore['onImagesRemoved'] | undefined
  #cause: unknown
  #isKept: boolean | undefined

  /** @param onImagesRemoved that of the `StoryStore`; undefined for images that nobody could read */
  constructor(store: ObjectStore, onImagesRemoved?: StoryStore['onImagesRemoved']) {
    this.#store = store
    this.#onImagesRemoved = onImagesRemoved
  }

  /**
   * Deletes records before images, so a reader sees no story in between, and never a part of one. A story whose record could not be
   * deleted keeps its images.
   *
   * Puts the end of an idempotency record before both. If the store has no room for it, deletes the images first, which takes the
   * story out of every list at once, too. Then there is room, or the commit record stays: it tells an upload with the same key that
   * its story was committed, and a later call puts the end and deletes the record.
   *
   * @param options.keep whether they can be restored
   * @param options.onRoom called once when a part of the keys is deleted, and others are still there
   * @returns the stories of which no key of our layout is left
   */
  async remove(
    stories: readonly StoryKeys[],
    { keep, onRoom }: { keep?: Keep; onRoom?: (() => Promise<unknown>) | undefined } = {},
  ): Promise<StoryKeys[]> {
    const open = await this.#withoutEnd(stories)
    await this.#deleteRecords(
      stories.filter((keys) => !open.has(keys)),
      keep,
    )
    const isHidden = ({ records }: StoryKeys) => !records.some((key) => this.left.has(key))
    if (open.size === 0) await onRoom?.()
    const hidden = stories.filter(isHidden)
    try {
      const keys = hidden.flatMap(({ images }) => images.map((image) => image.key))
      await this.delete(keys, keep)
    } finally {
      // After a failure some of them may be gone
      if (hidden.length > 0) this.#onImagesRemoved?.(hidden.map(({ id }) => id))
    }
    if (open.size > 0) await onRoom?.()
    const gone = hidden.filter(({ images }) => !images.some(({ key }) => this.left.has(key)))
    const waiting = open.size > 0 ? await this.#withoutEnd(gone.filter((keys) => open.has(keys))) : open
    await this.#deleteRecords(
      gone.filter((keys) => open.has(keys) && !waiting.has(keys)),
      keep,
    )
    return gone.filter((keys) => !waiting.has(keys) && isHidden(keys))
  }

  /** Puts the ends of their idempotency records. Returns the stories for whose end the store has no room. */
  async #withoutEnd(stories: readonly StoryKeys[]): Promise<Set<StoryKeys>> {
    const full = new Set<StoryKeys>()
    await forEachConcurrent(stories, ENDS_AT_ONCE, async (keys) => {
      if (!(await commitBeforeDeletion(this.#store, keys))) full.add(keys)
    })
    return full
  }

  async #deleteRecords(stories: readonly StoryKeys[], keep: Keep = 'none'): Promise<void> {
    const keys = stories.flatMap(({ records }) => records)
    await this.delete(keys, keep)
  }

  /** Whether every object that was deleted with `keep: 'all'` can be restored. False if there was none. */
  get isRestorable(): boolean {
    return this.#isKept === true
  }

  /** Notes a folder that can't be read. */
  leave(folder: string, cause: unknown): void {
    this.left.add(folder)
    this.#cause ??= cause
  }

  throwIfFailed(): void {
    if (this.left.size > 0) throw new DeleteFailure([...this.left], { cause: this.#cause })
  }

  /** @param keep whether the objects can be restored */
  async delete(keys: readonly string[], keep?: Keep): Promise<void> {
    if (keys.length === 0) return
    try {
      const isKept = await this.#store.delete(keys, keep)
      if (keep === 'all') this.#isKept = isKept && this.#isKept !== false
    } catch (error) {
      if (!(error instanceof DeleteFailure)) throw error
      for (const key of error.keys) this.left.add(key)
      this.#cause ??= error.cause
    }
  }
}
