import { forEachConcurrent } from '../for-each-concurrent.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { pastUnreadable } from '../store/past-unreadable.ts'
import { orphanedVariants, variantRange } from '../variants/remove.ts'
import { VARIANTS, variantStoryId } from '../variants/variant.ts'
import { debrisOf, HEADS_AT_ONCE, isOurs, removeDebris } from './debris.ts'
import { sweepIdempotencyRecords } from './idempotency.ts'
import { isOwnId, ownIdTime, type Range, STORIES, STORY_SPACE, type StoryKeys, storyIdOf } from './key.ts'
import { keysOfStory, readStoryKeys } from './list.ts'
import { Removal } from './removal.ts'
import type { Watermark } from './story-ids.ts'
import { endedBefore, type StoryStore } from './story-store.ts'
import { putTombstone, readTombstones, TOMBSTONES, type Tombstone } from './tombstone.ts'

/** A regular sweep reads one slice of what is old; so many cover it. */
const SLICES = 24

/** With more exceptions there is no watermark. */
const MAX_EXCEPTIONS = 10_000

/** Ids that get a tombstone of their own in place of the one of a deletion of all. */
const MOST_TOMBSTONES = 1000

/** Sweeps by the hour are less than this apart, in milliseconds: the last minute of one hour, the first of the next but one. */
const HOURLY_MS = 2 * 60 * 60_000

export interface SweepOptions {
  /** Ends it before the next page; it rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** Says what would be removed, and changes nothing. */
  readonly dryRun?: boolean
  /** For processes that live for one sweep: reads what the hour of the day picks, and raises no watermark. */
  readonly byHour?: boolean
  /**
   * Is told what was removed, page after page: all that is ours below a story id, the tombstone of a deletion, an idempotency record, or the variants of a
   * story that is no more.
   */
  readonly onRemoved?: (what: string, keys: readonly string[]) => void
  /** Is told which keys the store did not delete. */
  readonly onKept?: (keys: readonly string[]) => void
  /** Is told what was removed that the store has beside objects. */
  readonly onDebris?: (name: string) => void
  /** Is told of a folder that can't be read, which it leaves alone. */
  readonly onUnreadable?: (folder: string, error: unknown) => void
}

export interface SweepReport {
  /** Ids of which something was removed, and nothing of our layout is left. */
  readonly stories: number
  /** Their keys. */
  readonly keys: number
  /** Idempotency-Keys that were forgotten. */
  readonly idempotencyKeys: number
  /** Variants of stories that are no more. */
  readonly variants: number
  /** Keys that the store did not delete; a later sweep tries again. */
  readonly kept: number
}

/** How far sweeps have come, in milliseconds since 1970. */
interface Swept {
  readonly before: number
  /** When the last sweep began, by the steady clock. */
  readonly began: number
  /** Time of the first id of ours. */
  readonly first: number
  /** Where the next slice of the rest begins. */
  readonly next: number
}

/** Times in milliseconds since 1970: from the first one up to, but without, the second one. */
type Span = readonly [from: number, to: number]

/**
 * Removes what uploads and deletions that were interrupted have left in the bucket: ids of ours with images but no record, or with
 * a record but no image, from before any upload that can still run, with no object that is younger than that or that somebody else
 * wrote. A record with some of its images is no such thing: no crash leaves that, and what harmed a story is not to be finished.
 *
 * Several servers may sweep a bucket at once. What a sweep has seen makes the list of story ids quick: see `watermark`.
 */
export class Sweeper {
  readonly #store: StoryStore
  readonly #now: () => number
  readonly #steady: () => number
  #swept: Swept | undefined
  #exceptions: ReadonlySet<string> | undefined

  /**
   * @param steady milliseconds of a clock that nobody sets
   */
  constructor(store: StoryStore, now = Date.now, steady = () => performance.now()) {
    this.#store = store
    this.#now = now
    this.#steady = steady
  }

  /** The watermark, or undefined before the first sweep is over. */
  get watermark(): Watermark | undefined {
    if (!this.#swept || !this.#exceptions) return undefined
    const before = this.#sweptBefore(this.#swept)
    const { withoutTombstone } = this.#store
    if (withoutTombstone.size === 0) return { before, exceptions: this.#exceptions }
    if (withoutTombstone.size > MAX_EXCEPTIONS) return undefined
    return { before, exceptions: new Set([...this.#exceptions, ...withoutTombstone]) }
  }

  /**
   * How far the last sweep has come, by the clock as it is now. If that was set back since, ids that were made meanwhile are from
   * before what the sweep took for old.
   */
  #sweptBefore({ before, began }: Swept): number {
    return Math.min(before, endedBefore(this.#store, this.#now() - (this.#steady() - began)))
  }

  /**
   * One sweep: the first one, and one that finds a deletion of all interrupted, reads every key of ours that is old enough; any
   * other one, and one by the hour, what has become old enough, and a slice of the rest. Page after page, so that others get at
   * the store, and nothing is held longer than its page.
   *
   * @throws {ServiceError} of the store; such a sweep raises no watermark
   */
  async sweep(options: SweepOptions = {}): Promise<SweepReport> {
    const { signal, dryRun = false, byHour = false } = options
    const now = this.#now()
    const began = this.#steady()
    const before = endedBefore(this.#store, now)
    const tombstones = await readTombstones(this.#store)
    const interrupted = tombstones.filter(({ time }) => time < before)
    const ofAll = interrupted.filter(({ id }) => id === 'all')
    const isPart = byHour && ofAll.length === 0
    const last = ofAll.length > 0 || byHour ? undefined : this.#swept
    const everything: Span[] = [[0, before]]
    const { spans, next } = last
      ? following({ ...last, before: this.#sweptBefore(last) }, before, now - before)
      : { spans: isPart ? await ofTheHour(this.#store, now, before, now - before) : everything, next: 0 }
    const report = { stories: 0, keys: 0, idempotencyKeys: 0, variants: 0, kept: 0 }

    const noteKept = ({ kept }: Removal) => {
      report.kept += kept.size
      if (kept.size > 0) options.onKept?.([...kept])
    }

    /** Removes debris; returns the ids that are old enough and neither a story now nor without any key. */
    const clean = async (found: readonly StoryKeys[]): Promise<string[]> => {
      const broken = found.filter((keys) => isOwnId(keys.id) && ownIdTime(keys.id) < before && !keys.story())
      const suspects = broken.filter(({ records, images }) => records.length > 0 !== images.length > 0)
      const debris = await debrisOf(this.#store, suspects, before)
      const removal = new Removal(this.#store)
      const gone = new Set(dryRun ? debris : await removeDebris(this.#store, removal, debris, now))
      for (const story of gone) {
        const keys = story.keys()
        report.stories += 1
        report.keys += keys.length
        options.onRemoved?.(story.id, keys)
      }
      noteKept(removal)
      return broken.filter((keys) => !gone.has(keys) || keys.hasOthers).map(({ id }) => id)
    }

    /** With one more than can be remembered it is full, and tells nothing. */
    const exceptions = new Set<string>()
    const isFull = () => exceptions.size > MAX_EXCEPTIONS
    for (const id of (last && this.#exceptions) ?? []) if (!isIn(spans, ownIdTime(id))) exceptions.add(id)
    const store = pastUnreadable(this.#store, (folder, error) => {
      const id = storyIdOf(folder)
      if (id !== undefined && !isFull()) exceptions.add(id)
      options.onUnreadable?.(folder, error)
    })
    let first: number | undefined
    for (const [from, to] of spans) {
      // No hint of a key space: one page at a time
      const range = { prefix: STORIES, ...rangeOf([from, to]) }
      for await (const found of readStoryKeys(store, range)) {
        signal?.throwIfAborted()
        const own = found.find(({ id }) => isOwnId(id))
        if (own) first ??= ownIdTime(own.id)
        for (const id of await clean(found)) if (!isFull()) exceptions.add(id)
      }
    }

    const done: Tombstone[] = []
    if (ofAll.length > 0 && exceptions.size <= MOST_TOMBSTONES) {
      // Other servers may have seen these whole before the deletion of all
      const withTombstone = new Set(tombstones.map(({ id }) => id))
      let isRoom = true
      for (const id of exceptions) {
        if (isRoom && !withTombstone.has(id) && !dryRun) isRoom = (await putTombstone(this.#store, id)) !== undefined
      }
      if (isRoom) done.push(...ofAll)
    }
    for (const tombstone of interrupted) {
      const { id } = tombstone
      if (id === 'all') continue
      signal?.throwIfAborted()
      if (isIn(spans, ownIdTime(id)) && !isFull()) {
        if (!exceptions.has(id)) done.push(tombstone)
        continue
      }
      const keys = await keysOfStory(this.#store, id)
      if (!keys || (await clean([keys])).length === 0) done.push(tombstone)
    }
    const removal = new Removal(this.#store)
    if (!dryRun) await removal.delete(done.map(({ key }) => key))
    for (const { id, key } of done) if (!removal.kept.has(key)) options.onRemoved?.(id, [key])
    noteKept(removal)
    await sweepIdempotencyRecords(this.#store, now, {
      signal,
      dryRun,
      onRemoved(keys) {
        report.idempotencyKeys += 1
        options.onRemoved?.('An expired Idempotency-Key', keys)
      },
    })
    for (const [from, to] of spans) {
      // Most imported ids are behind every one of ours
      const span: Span = [from, to === before ? Number.POSITIVE_INFINITY : to]
      for await (const { storyId, keys } of oldOrphans(store, span, before)) {
        signal?.throwIfAborted()
        const removal = new Removal(this.#store)
        if (!dryRun) await removal.delete(keys)
        const gone = keys.filter((key) => !removal.kept.has(key))
        report.variants += gone.length
        if (gone.length > 0) options.onRemoved?.(storyId, gone)
        noteKept(removal)
      }
    }
    await this.#removeDebris(before, spans, options)

    if (dryRun || byHour) return report
    this.#swept = { before, began, first: last?.first ?? first ?? before, next }
    // What one sweep could not remember is not known until everything is read again
    const isKnown = !last || this.#exceptions !== undefined
    this.#exceptions = isKnown && !isFull() ? exceptions : undefined
    return report
  }

  async #removeDebris(olderThan: number, spans: readonly Span[], options: SweepOptions): Promise<void> {
    // Tombstones are before every id
    const ranges: Range[] = [{ before: keyAt(0) }, ...spans.map(rangeOf)]
    const { signal, dryRun = false, onDebris } = options
    const within = (folder: string) => [folder === TOMBSTONES, storyIdOf(folder), variantStoryId(folder)].some(Boolean)
    for await (const name of this.#store.removeDebris?.({ prefix: STORIES, ranges, within, olderThan, dryRun }) ?? []) {
      signal?.throwIfAborted()
      onDebris?.(name)
    }
    const ofVariants = { prefix: VARIANTS, within, ranges: spans.map(rangeOf).map(variantRange), olderThan, dryRun }
    for await (const name of this.#store.removeDebris?.(ofVariants) ?? []) {
      signal?.throwIfAborted()
      // What is temporary is below no prefix, and comes with each
      if (name.startsWith(VARIANTS)) onDebris?.(name)
    }
  }
}

/** Variants of stories that are no more, those that we wrote and that are older than `before`. */
async function* oldOrphans(store: ObjectStore, span: Span, before: number) {
  for await (const page of orphanedVariants(store, rangeOf(span))) {
    for (const { storyId, objects } of page) {
      const keys: string[] = []
      await forEachConcurrent(objects, HEADS_AT_ONCE, async ({ key }) => {
        if (await isOurs(store, key, before)) keys.push(key)
      })
      if (keys.length > 0) yield { storyId, keys }
    }
  }
}

/**
 * What a sweep reads after the last one. The last `age` before that comes again: objects of an upload can be younger than its id by
 * as long as an upload takes.
 */
function following(last: Swept, before: number, age: number): { spans: Span[]; next: number } {
  const recent = Math.max(0, Math.min(last.before, before) - age)
  const isFirst = last.next < last.first || last.next >= recent
  const begin = isFirst ? last.first : last.next
  const width = Math.max(0, Math.ceil((recent - last.first) / SLICES))
  const next = Math.min(begin + width, Math.max(begin, recent))
  return {
    spans: [
      [isFirst ? 0 : begin, next],
      [recent, before],
    ],
    next,
  }
}

/**
 * What a sweep reads that knows of no earlier one: what has become old enough since the one an hour ago, and the part of the rest
 * that the hour of the day (UTC) picks, so that a day of them covers the bucket. The rest is cut into 24 to 48 cells of a grid that
 * is the same on the next day, also when its first id is gone by then.
 */
async function ofTheHour(store: ObjectStore, now: number, before: number, age: number): Promise<Span[]> {
  const recent = Math.max(0, before - age - HOURLY_MS)
  const first = await firstTime(store, recent)
  const width = 2 ** Math.max(0, Math.floor(Math.log2((recent - first) / SLICES)))
  const spans: Span[] = []
  for (let cell = Math.floor(first / width); cell * width < recent; cell++) {
    const isPicked = cell % SLICES === new Date(now).getUTCHours()
    if (isPicked) spans.push([cell * width, Math.min((cell + 1) * width, recent)])
  }
  return [...spans, [recent, before]]
}

/** Time of the first id of ours from before `end`; `end` when there is none. */
async function firstTime(store: ObjectStore, end: number): Promise<number> {
  for await (const page of store.listPrefixes({ prefix: STORIES, after: keyAt(0), before: keyAt(end) })) {
    const own = page.map(storyIdOf).find((id) => id !== undefined && isOwnId(id))
    if (own !== undefined) return ownIdTime(own)
  }
  return end
}

function isIn(spans: readonly Span[], time: number): boolean {
  return spans.some(([from, to]) => time >= from && time < to)
}

function rangeOf([from, to]: Span): Range {
  return to === Number.POSITIVE_INFINITY ? { after: keyAt(from) } : { after: keyAt(from), before: keyAt(to) }
}

function keyAt(time: number): string {
  return STORY_SPACE.keyAt(time) as string
}
