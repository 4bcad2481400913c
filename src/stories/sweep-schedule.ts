import { isOwnId, ownIdTime, type Range, STORIES, STORY_SPACE, storyIdOf } from '../layout/story.ts'
import type { ObjectStore } from '../store/object-store.ts'

/** A sweep that does not read everything reads one slice of what is old: this many cover it. */
const SLICES = 24

/** Longest time between two sweeps by the hour, in milliseconds: from the first minute of one hour to the last minute of the next. */
const HOURLY_MS = 2 * 60 * 60_000

/** Ids from a time up to, but without, another one, in milliseconds since 1970. */
export type Span = readonly [from: number, to: number]

/** How far the sweeps of a process have come, in milliseconds since 1970. */
export interface Progress {
  readonly before: number
  /** When the last sweep began, by the steady clock. */
  readonly began: number
  /** Time of the first id of ours. */
  readonly first: number
  /** Where the next slice begins. */
  readonly next: number
}

/**
 * Returns what the sweep after `last` reads: the next slice of what is old, and what has become old enough since. It also reads the `age`
 * milliseconds before that again, since objects of an upload can be younger than its id by as long as an upload takes.
 *
 * @param before time before which ids are old enough
 * @param age at which an id is old enough, in milliseconds
 */
export function spansAfter(last: Progress, before: number, age: number): { spans: Span[]; next: number } {
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
 * Returns what a sweep reads that knows of no earlier one: what has become old enough since the one an hour ago, and the part of the
 * rest that the hour of the day (UTC) picks, so that a day of such sweeps covers the bucket. The rest is cut into 24 to 48 cells of a
 * grid that is the same on the next day, even if its first id is gone by then.
 */
export async function spansOfTheHour(store: ObjectStore, now: number, before: number): Promise<Span[]> {
  const recent = Math.max(0, before - (now - before) - HOURLY_MS)
  const first = await firstTime(store, recent)
  const width = 2 ** Math.max(0, Math.floor(Math.log2((recent - first) / SLICES)))
  const spans: Span[] = []
  for (let cell = Math.floor(first / width); cell * width < recent; cell++) {
    const isPicked = cell % SLICES === new Date(now).getUTCHours()
    if (isPicked) spans.push([cell * width, Math.min((cell + 1) * width, recent)])
  }
  return [...spans, [recent, before]]
}

/** Returns the time of the first id of ours from before `end`, or `end` if there is none. */
async function firstTime(store: ObjectStore, end: number): Promise<number> {
  for await (const page of store.listPrefixes({ prefix: STORIES, after: keyAt(0), before: keyAt(end) })) {
    const own = page.map(storyIdOf).find((id) => id !== undefined && isOwnId(id))
    if (own !== undefined) return ownIdTime(own)
  }
  return end
}

export function isIn(spans: readonly Span[], time: number): boolean {
  return spans.some(([from, to]) => time >= from && time < to)
}

export function rangeOf([from, to]: Span): Range {
  return to === Number.POSITIVE_INFINITY ? { after: keyAt(from) } : { after: keyAt(from), before: keyAt(to) }
}

/** Returns a key below those of every id from this time on. */
export function keyAt(time: number): string {
  return STORY_SPACE.keyAt(time) as string
}
