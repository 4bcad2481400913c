import type { Watermark } from './story-ids.ts'
import { endedBefore, type StoryStore } from './story-store.ts'
import { MAX_EXCEPTIONS, type SweepOptions, type SweepReport, SweepRun } from './sweep-run.ts'
import { type Progress, spansAfter, spansOfTheHour } from './sweep-schedule.ts'
import { readTombstones } from './tombstone.ts'

/**
 * Removes the debris of interrupted uploads and deletions: ids of ours with images but no record, or with a record but no image, from
 * before any upload that can still run, without an object that is younger or that somebody else wrote. A record with some of its images
 * is not debris: no crash leaves that, and a sweep must not complete whatever harmed the story.
 *
 * Several servers may sweep a bucket at once. What a sweep has seen makes the list of story ids quick: see `watermark`.
 */
export class Sweeper {
  readonly #store: StoryStore
  readonly #now: () => number
  readonly #steady: () => number
  #last: Progress | undefined
  #exceptions: ReadonlySet<string> | undefined

  /** @param steady milliseconds of a clock that nobody sets */
  constructor(store: StoryStore, now = Date.now, steady = () => performance.now()) {
    this.#store = store
    this.#now = now
    this.#steady = steady
  }

  /** The watermark, or undefined before the first sweep is over. */
  get watermark(): Watermark | undefined {
    if (!this.#last || !this.#exceptions) return undefined
    const { withoutTombstone } = this.#store
    if (withoutTombstone.size > MAX_EXCEPTIONS) return undefined
    const exceptions =
      withoutTombstone.size > 0 ? new Set([...this.#exceptions, ...withoutTombstone]) : this.#exceptions
    return { before: this.#sweptBefore(this.#last), exceptions }
  }

  /**
   * Returns how far the last sweep has come, by the clock as it is now. If the clock was set back since, ids that were made meanwhile
   * are from before what the sweep took for old.
   */
  #sweptBefore({ before, began }: Progress): number {
    return Math.min(before, endedBefore(this.#store, this.#now() - (this.#steady() - began)))
  }

  /**
   * Sweeps once. The first sweep, and one that finds an interrupted deletion of all, reads every key of ours that is old enough. Any
   * other one, and one by the hour, reads what has become old enough, and a slice of the rest.
   *
   * @throws {ServiceError} of the store; such a sweep raises no watermark
   */
  async sweep(options: SweepOptions = {}): Promise<SweepReport> {
    const now = this.#now()
    const began = this.#steady()
    const before = endedBefore(this.#store, now)
    const tombstones = await readTombstones(this.#store)
    const interrupted = tombstones.filter(({ time }) => time < before)
    const isAll = interrupted.some(({ id }) => id === 'all')
    const last = isAll || options.byHour ? undefined : this.#last
    const isPart = options.byHour && !isAll
    const { spans, next } = last
      ? spansAfter({ ...last, before: this.#sweptBefore(last) }, before, now - before)
      : { spans: isPart ? await spansOfTheHour(this.#store, now, before) : ([[0, before]] as const), next: 0 }

    const run = new SweepRun(this.#store, now, before, spans, options)
    if (last) run.carryOver(this.#exceptions ?? [])
    await run.sweepStories()
    await run.finishDeletions(interrupted, tombstones)
    await run.sweepIdempotencyRecords()
    await run.sweepVariants()
    await run.expireDeleted()
    await run.removeFiles()

    if (options.dryRun || options.byHour) return run.report
    this.#last = { before, began, first: last?.first ?? run.first ?? before, next }
    // Exceptions that one sweep could not hold are not known until everything is read again
    const isKnown = !last || this.#exceptions !== undefined
    this.#exceptions = isKnown && !run.isFull ? run.exceptions : undefined
    return run.report
  }
}
