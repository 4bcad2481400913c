import type { ObjectStore } from '../store/object-store.ts'
import { putMark, readMarks } from './deletion-mark.ts'
import { isOwnId, ownIdTime, STORIES, STORY_SPACE, type StoryKeys } from './key.ts'
import { keysOfStory, readStoryKeys, type Settled } from './list.ts'
import { CLOCK_MARGIN_MS, leftoversOf, Removal } from './remove.ts'

/** A regular sweep reads one slice of what is old; so many cover it. */
const SLICES = 24

/** Ids in doubt that are remembered. With more, nothing counts as settled. */
const MOST_DOUBTS = 10_000

/** Ids that get a mark of their own in place of the one of a deletion of all. */
const MOST_MARKS = 1000

export interface SweepReport {
  /** Ids of which something was removed, and nothing of our layout is left. */
  readonly stories: number
  /** Their keys. */
  readonly keys: number
  /** Keys that the store did not delete; a later sweep tries again. */
  readonly kept: number
}

/** How far sweeps have come, in milliseconds since 1970. */
interface Swept {
  readonly before: number
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
 * Several servers may sweep a bucket at once. What a sweep has seen makes the list of story ids quick: see `settled`.
 */
export class Sweeper {
  readonly #store: ObjectStore
  readonly #age: number
  readonly #now: () => number
  #swept: Swept | undefined
  #doubts: ReadonlySet<string> | undefined

  /** @param uploadTimeout milliseconds after which an upload of ours can't be running any more */
  constructor(store: ObjectStore, uploadTimeout: number, now = Date.now) {
    this.#store = store
    this.#age = uploadTimeout + CLOCK_MARGIN_MS
    this.#now = now
  }

  /** What sweeps have made sure of; nothing before the first one is over. */
  get settled(): Settled | undefined {
    if (!this.#swept || !this.#doubts) return undefined
    // If the clock was set back, uploads that run now have ids from before
    return { before: Math.min(this.#swept.before, this.#now() - this.#age), unsure: this.#doubts }
  }

  /**
   * One sweep: the first one, and one that finds a deletion of all interrupted, reads every key of ours that is old enough; any
   * other one what has become old enough, and a slice of the rest. Page after page, so that others get at the store.
   *
   * @param options.signal ends it before the next page; it rejects with the signal's reason
   * @param options.dryRun says what would be removed, and changes nothing
   * @throws {ServiceError} of the store; nothing is settled by such a sweep
   */
  async sweep({ signal, dryRun = false }: { signal?: AbortSignal; dryRun?: boolean } = {}): Promise<SweepReport> {
    const before = this.#now() - this.#age
    const marks = await readMarks(this.#store)
    const interrupted = marks.filter(({ time }) => time < before)
    const ofAll = interrupted.filter(({ id }) => id === 'all')
    const last = ofAll.length > 0 ? undefined : this.#swept
    const { spans, next } = last ? following(last, before, this.#age) : { spans: [[0, before] as const], next: 0 }
    const removal = new Removal(this.#store)
    const removed = { stories: 0, keys: 0 }

    /** Removes leftovers; returns the ids that are old enough and neither a story now nor without any key. */
    const clean = async (found: readonly StoryKeys[]): Promise<string[]> => {
      const broken = found.filter((keys) => isOwnId(keys.id) && ownIdTime(keys.id) < before && !keys.story())
      const suspects = broken.filter(({ records, images }) => records.length > 0 !== images.length > 0)
      const leftovers = await leftoversOf(this.#store, suspects, before)
      const gone = new Set(dryRun ? leftovers : await removal.remove(leftovers))
      for (const keys of gone) {
        removed.stories += 1
        removed.keys += keys.keys().length
      }
      return broken.filter((keys) => !gone.has(keys) || keys.hasOthers).map(({ id }) => id)
    }

    const doubts = new Set<string>()
    for (const id of (last && this.#doubts) ?? []) if (!isIn(spans, ownIdTime(id))) doubts.add(id)
    let first: number | undefined
    for (const [from, to] of spans) {
      // No hint of a key space: one page at a time
      const options = { prefix: STORIES, after: keyAt(from), before: keyAt(to) }
      for await (const found of readStoryKeys(this.#store, options)) {
        signal?.throwIfAborted()
        const own = found.find(({ id }) => isOwnId(id))
        if (own) first ??= ownIdTime(own.id)
        for (const id of await clean(found)) doubts.add(id)
      }
    }

    if (dryRun) return { ...removed, kept: 0 }

    const done: string[] = []
    if (ofAll.length > 0 && doubts.size <= MOST_MARKS) {
      // Other servers may have seen these whole before the deletion of all
      const marked = new Set(marks.map(({ id }) => id))
      for (const id of doubts) if (!marked.has(id)) await putMark(this.#store, id)
      done.push(...ofAll.map(({ key }) => key))
    }
    for (const { id, key } of interrupted) {
      if (id === 'all') continue
      signal?.throwIfAborted()
      const keys = await keysOfStory(this.#store, id)
      if (!keys || (await clean([keys])).length === 0) done.push(key)
    }
    await removal.delete(done)

    this.#swept = { before, first: last?.first ?? first ?? before, next }
    // What one sweep could not remember is not known until everything is read again
    const isKnown = !last || this.#doubts !== undefined
    this.#doubts = isKnown && doubts.size <= MOST_DOUBTS ? doubts : undefined
    return { ...removed, kept: removal.kept.size }
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

function isIn(spans: readonly Span[], time: number): boolean {
  return spans.some(([from, to]) => time >= from && time < to)
}

function keyAt(time: number): string {
  return STORY_SPACE.keyAt(time) as string
}
