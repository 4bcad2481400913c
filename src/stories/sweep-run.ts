import { forEachConcurrent } from '../io/for-each-concurrent.ts'
import { isOwnId, ownIdTime, type Range, STORIES, type StoryKeys, storyIdOf } from '../layout/story.ts'
import { TOMBSTONES } from '../layout/tombstone.ts'
import { VARIANTS, variantStoryId } from '../layout/variant.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { pastUnreadable } from '../store/past-unreadable.ts'
import { orphanedVariants, variantRange } from '../variants/remove.ts'
import { debrisOf, HEADS_AT_ONCE, isOurs, removeDebris } from './debris.ts'
import { deleteRecords, expiredRecords } from './idempotency.ts'
import { keysOfStory, readStoryKeys } from './list.ts'
import { Removal } from './removal.ts'
import type { StoryStore } from './story-store.ts'
import { isIn, keyAt, rangeOf, type Span } from './sweep-schedule.ts'
import { MAX_TOMBSTONES, putTombstone, type Tombstone } from './tombstone.ts'

/** With more exceptions there is no watermark. */
export const MAX_EXCEPTIONS = 10_000

export interface SweepOptions {
  /** Ends the sweep before the next page; it rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** Reports what would be removed, and changes nothing. */
  readonly dryRun?: boolean
  /** For processes that live for one sweep: reads what the hour of the day picks, and raises no watermark. */
  readonly byHour?: boolean
  /**
   * Gets what was removed, page after page: all that is ours below a story id, the tombstone of a deletion, an idempotency record, or
   * the variants of a story that is gone.
   */
  readonly onRemoved?: (what: string, keys: readonly string[]) => void
  /** Gets the keys that the store did not delete. */
  readonly onLeft?: (keys: readonly string[]) => void
  /** Gets the name of something that the store had beside objects, and that was removed. */
  readonly onDebris?: (name: string) => void
  /** Gets a folder that can't be read, and is left alone. */
  readonly onUnreadable?: (folder: string, error: unknown) => void
}

export interface SweepReport {
  /** Ids of which something was removed, and nothing of our layout is left. */
  stories: number
  /** Their keys. */
  keys: number
  /** Idempotency keys whose records were removed. */
  idempotencyKeys: number
  /** Variants of stories that are gone. */
  variants: number
  /** Keys that the store did not delete; a later sweep tries again. */
  left: number
}

/** The steps of one sweep. */
export class SweepRun {
  readonly report: SweepReport = { stories: 0, keys: 0, idempotencyKeys: 0, variants: 0, left: 0 }
  /** Ids that are old enough and have keys but are not stories; one more than `MAX_EXCEPTIONS` if there are more. */
  readonly exceptions = new Set<string>()
  /** Time of the first id of ours. */
  first: number | undefined
  readonly #store: StoryStore
  /** In milliseconds since 1970; `before` is the time from before which things are old enough to be swept. */
  readonly #times: { readonly now: number; readonly before: number; readonly spans: readonly Span[] }
  readonly #options: SweepOptions

  constructor(store: StoryStore, now: number, before: number, spans: readonly Span[], options: SweepOptions) {
    this.#store = store
    this.#times = { now, before, spans }
    this.#options = options
  }

  /** Whether there may be more exceptions than are known. */
  get isFull(): boolean {
    return this.exceptions.size > MAX_EXCEPTIONS
  }

  /** Takes over the exceptions of the last sweep that this one does not read. */
  carryOver(exceptions: Iterable<string>): void {
    for (const id of exceptions) if (!isIn(this.#times.spans, ownIdTime(id))) this.exceptions.add(id)
  }

  /** Removes debris of uploads and deletions, page after page, so that nothing is held longer than its page. */
  async sweepStories(): Promise<void> {
    const { signal } = this.#options
    const store = this.#readable()
    for (const span of this.#times.spans) {
      // Without a key space: one page at a time, so that others get at the store
      for await (const found of readStoryKeys(store, { prefix: STORIES, ...rangeOf(span) })) {
        signal?.throwIfAborted()
        const own = found.find(({ id }) => isOwnId(id))
        if (own) this.first ??= ownIdTime(own.id)
        for (const id of await this.#clean(found)) this.#except(id)
      }
    }
  }

  /** Removes the tombstones of interrupted deletions of which nothing is left. */
  async finishDeletions(interrupted: readonly Tombstone[], tombstones: readonly Tombstone[]): Promise<void> {
    const ofAll = interrupted.filter(({ id }) => id === 'all')
    const done = ofAll.length > 0 && (await this.#buryExceptions(tombstones)) ? ofAll : []
    for (const tombstone of interrupted) {
      if (tombstone.id === 'all') continue
      this.#options.signal?.throwIfAborted()
      if (await this.#isFinished(tombstone.id)) done.push(tombstone)
    }
    // The process that deleted them may have ended before it told caches
    const unsure = done.filter(({ id }) => id !== 'all').map(({ id }) => id)
    if (unsure.length > 0 && !this.#options.dryRun) this.#store.onImagesRemoved(unsure)
    const gone = new Set(await this.#delete(done.map(({ key }) => key)))
    for (const { id, key } of done) if (gone.has(key)) this.#options.onRemoved?.(id, [key])
  }

  /** Removes idempotency records that have expired. */
  async sweepIdempotencyRecords(): Promise<void> {
    const { signal, dryRun, onRemoved } = this.#options
    for await (const keys of expiredRecords(this.#store, this.#times.now, signal)) {
      if (!dryRun) await deleteRecords(this.#store, keys)
      this.report.idempotencyKeys += 1
      onRemoved?.('An expired Idempotency-Key', keys)
    }
  }

  /** Removes variants of stories that are gone: those that we wrote, and that are old enough. */
  async sweepVariants(): Promise<void> {
    const { before, spans } = this.#times
    const store = this.#readable()
    for (const span of spans) {
      for await (const page of orphanedVariants(store, this.#rangeOfVariants(span))) {
        for (const { storyId, objects } of page) {
          this.#options.signal?.throwIfAborted()
          const keys: string[] = []
          await forEachConcurrent(objects, HEADS_AT_ONCE, async ({ key }) => {
            if (await isOurs(this.#store, key, before)) keys.push(key)
          })
          const gone = await this.#delete(keys)
          this.report.variants += gone.length
          if (gone.length > 0) this.#options.onRemoved?.(storyId, gone)
        }
      }
    }
  }

  /** Returns the range of the variants of a span. The newest span has no end, since most imported ids are above every one of ours. */
  #rangeOfVariants([from, to]: Span): Range {
    return rangeOf([from, to === this.#times.before ? Number.POSITIVE_INFINITY : to])
  }

  /** Removes for good what the store has kept of deleted objects for long enough. */
  async expireDeleted(): Promise<void> {
    const { signal, dryRun = false, onDebris, onUnreadable = () => {} } = this.#options
    const options = { now: this.#times.now, dryRun, onUnreadable }
    for await (const name of this.#store.deleted?.expire?.(options) ?? []) {
      signal?.throwIfAborted()
      onDebris?.(name)
    }
  }

  /** Removes what the store has beside objects. */
  async removeFiles(): Promise<void> {
    const { signal, dryRun = false, onDebris } = this.#options
    const { before: olderThan, spans } = this.#times
    const within = (folder: string) => [folder === TOMBSTONES, storyIdOf(folder), variantStoryId(folder)].some(Boolean)
    const ranges = spans.map(rangeOf)
    for (const part of [
      // Tombstones are below every id
      { prefix: STORIES, ranges: [{ before: keyAt(0) }, ...ranges] },
      { prefix: VARIANTS, ranges: spans.map((span) => variantRange(this.#rangeOfVariants(span))) },
    ]) {
      for await (const name of this.#store.removeDebris?.({ ...part, within, olderThan, dryRun }) ?? []) {
        signal?.throwIfAborted()
        // Temporary files are below no prefix, and come with each
        if (part.prefix === STORIES || name.startsWith(part.prefix)) onDebris?.(name)
      }
    }
  }

  /** Returns the store with lists that go on without a folder that can't be read. */
  #readable(): ObjectStore {
    return pastUnreadable(this.#store, (folder, error) => {
      const id = storyIdOf(folder)
      if (id !== undefined) this.#except(id)
      this.#options.onUnreadable?.(folder, error)
    })
  }

  /** Removes debris. Returns the ids that are old enough, still have keys, and are not stories. */
  async #clean(found: readonly StoryKeys[]): Promise<string[]> {
    const { now, before } = this.#times
    const broken = found.filter((keys) => isOwnId(keys.id) && ownIdTime(keys.id) < before && !keys.story())
    const suspects = broken.filter(({ records, images }) => records.length > 0 !== images.length > 0)
    const debris = await debrisOf(this.#store, suspects, before)
    const removal = new Removal(this.#store, this.#store.onImagesRemoved)
    const gone = new Set(this.#options.dryRun ? debris : await removeDebris(this.#store, removal, debris, now))
    for (const story of gone) {
      const keys = story.keys()
      this.report.stories += 1
      this.report.keys += keys.length
      this.#options.onRemoved?.(story.id, keys)
    }
    this.#noteLeft(removal)
    return broken.filter((keys) => !gone.has(keys) || keys.hasOthers).map(({ id }) => id)
  }

  /** Returns whether nothing is left of a story whose deletion was interrupted. */
  async #isFinished(id: string): Promise<boolean> {
    if (isIn(this.#times.spans, ownIdTime(id)) && !this.isFull) return !this.exceptions.has(id)
    const keys = await keysOfStory(this.#store, id)
    return !keys || (await this.#clean([keys])).length === 0
  }

  /**
   * Puts a tombstone for each exception, in place of that of a deletion of all: other servers may have seen these ids whole before it.
   *
   * @returns whether each of them has one
   */
  async #buryExceptions(tombstones: readonly Tombstone[]): Promise<boolean> {
    if (this.exceptions.size > MAX_TOMBSTONES) return false
    if (this.#options.dryRun) return true
    const buried = new Set(tombstones.map(({ id }) => id))
    for (const id of this.exceptions) {
      if (!buried.has(id) && (await putTombstone(this.#store, id)) === undefined) return false
    }
    return true
  }

  /** Deletes keys. Returns those that are gone, or would be without a dry run. */
  async #delete(keys: readonly string[]): Promise<string[]> {
    const removal = new Removal(this.#store)
    if (!this.#options.dryRun) await removal.delete(keys)
    this.#noteLeft(removal)
    return keys.filter((key) => !removal.left.has(key))
  }

  #except(id: string): void {
    if (!this.isFull) this.exceptions.add(id)
  }

  #noteLeft({ left }: Removal): void {
    this.report.left += left.size
    if (left.size > 0) this.#options.onLeft?.([...left])
  }
}
