import { forEachConcurrent } from '../io/for-each-concurrent.ts'
import {
  isOwnId,
  isStoryFolder,
  type Range,
  STORIES,
  STORY_SPACE,
  storyEnd,
  storyIdOf,
  storyPrefix,
} from '../layout/story.ts'
import { TOMBSTONES } from '../layout/tombstone.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { lookUp, storiesAfter, storiesIn } from './list.ts'
import { MAX_TOMBSTONES, readTombstones, type Tombstone } from './tombstone.ts'

/** Time up to which sweeps have looked at every id. */
export interface Watermark {
  /** Milliseconds since 1970. An id of ours from before it is a story if there is any key below it, unless it is an exception. */
  readonly before: number
  /** Ids that have to be looked up. */
  readonly exceptions: ReadonlySet<string>
}

/** With more look-ups for a page of the store, reading all keys of its ids takes fewer calls. */
const MAX_LOOKUPS_A_PAGE = 64
const LOOKUPS_AT_ONCE = 16

/**
 * Yields the ids of the stories of `listStories`, in the same order. Ids below the watermark take no keys: with 8 images in each story
 * that is a ninth of the calls.
 *
 * @param after a story id: only ids after it
 */
export async function* listStoryIds(
  store: ObjectStore,
  watermark: Watermark | undefined,
  after?: string,
): AsyncGenerator<string[]> {
  const end = watermark && STORY_SPACE.keyAt(watermark.before)
  if (!watermark || end === undefined || (after !== undefined && storyEnd(after) >= end)) {
    yield* idsByKeys(store, storiesAfter(after))
    return
  }
  // From the start of the list it is the list that shows whether there are tombstones
  const tombstones = after === undefined ? undefined : await readTombstones(store)
  yield* idsByPrefixes(store, watermark, { ...storiesAfter(after), before: end }, tombstones)
  yield* idsByKeys(store, { after: end })
}

async function* idsByKeys(store: ObjectStore, range: Range): AsyncGenerator<string[]> {
  for await (const stories of storiesIn(store, range)) yield stories.map(({ id }) => id)
}

/** @param tombstones read before any id; undefined: read them when the list shows that there are some */
async function* idsByPrefixes(
  store: ObjectStore,
  watermark: Watermark,
  range: Range,
  tombstones: readonly Tombstone[] | undefined,
): AsyncGenerator<string[]> {
  if (tombstones && (tombstones.length > MAX_TOMBSTONES || tombstones.some(({ id }) => id === 'all'))) {
    yield* idsByKeys(store, range)
    return
  }
  const deleting = new Set(tombstones?.map(({ id }) => id))
  const within = (folder: string) => folder === TOMBSTONES || isStoryFolder(folder)
  for await (const page of store.listPrefixes({ prefix: STORIES, space: STORY_SPACE, within, ...range })) {
    if (!tombstones && page.includes(TOMBSTONES)) {
      // From the start: a story of this page, and its tombstone, may be gone by the time the tombstones are read
      yield* idsByPrefixes(store, watermark, range, await readTombstones(store))
      return
    }
    const ids = page.map(storyIdOf).filter((id) => id !== undefined)
    const exceptions = ids.filter((id) => !isOwnId(id) || watermark.exceptions.has(id) || deleting.has(id))
    if (exceptions.length > MAX_LOOKUPS_A_PAGE) {
      yield* idsByKeys(store, { after: storyPrefix(ids[0] as string), before: storyEnd(ids.at(-1) as string) })
      continue
    }
    const missing = new Set<string>()
    await forEachConcurrent(exceptions, LOOKUPS_AT_ONCE, async (id) => {
      if (!(await lookUp(store, id))) missing.add(id)
    })
    yield missing.size === 0 ? ids : ids.filter((id) => !missing.has(id))
  }
}
