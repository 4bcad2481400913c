import { StoryNotFound } from '../errors.ts'
import { forEachConcurrent } from '../for-each-concurrent.ts'
import type { ListOptions, ObjectStore } from '../store/object-store.ts'
import {
  isOwnId,
  isStoryFolder,
  isStoryId,
  STORIES,
  STORY_SPACE,
  type Story,
  StoryKeys,
  storyIdOf,
  storyPrefix,
} from './key.ts'
import { readTombstones, TOMBSTONES, type Tombstone } from './tombstone.ts'

/**
 * Every story id that has keys below it, in id order, with what a listing shows of it: the one place that turns keys into stories.
 * Yields about one array for each page of the store; holds one page and the keys of one story.
 */
export async function* readStoryKeys(store: ObjectStore, options: ListOptions): AsyncGenerator<StoryKeys[]> {
  let current: StoryKeys | undefined
  /** Ids with a folder below them that can't be read, as a NAS puts one into each. It is not of our layout, so the story may be whole. */
  const withOthers = new Set<string>()
  const onUnreadable = (folder: string) => {
    const id = storyIdOf(folder)
    if (id === undefined || folder === storyPrefix(id)) return false
    withOthers.add(id)
    return true
  }
  const completed = (keys: StoryKeys) => {
    if (withOthers.delete(keys.id)) keys.hasOthers = true
    return keys
  }
  for await (const page of store.list({ within: isStoryFolder, onUnreadable, ...options })) {
    const complete: StoryKeys[] = []
    for (const object of page) {
      if (!current?.covers(object.key)) {
        const id = storyIdOf(object.key)
        if (id === undefined) continue
        if (current) complete.push(completed(current))
        current = new StoryKeys(id)
      }
      current.add(object)
    }
    yield complete
  }
  if (current) yield [completed(current)]
}

/** A part of the stories: those whose keys are above `after` and below `before`. */
export type Range = Pick<ListOptions, 'after' | 'before'>

/** Every story of a part that the commit rule shows, in id order, about one array for each page of the store. */
export async function* storiesIn(store: ObjectStore, range: Range): AsyncGenerator<Story[]> {
  for await (const found of readStoryKeys(store, { prefix: STORIES, space: STORY_SPACE, ...range })) {
    yield found.map((keys) => keys.story()).filter((story) => story !== undefined)
  }
}

/** Every key of the story is below this one, every key of the next story above. "0" is the character behind "/". */
function endOf(id: string): string {
  return `${STORIES}${id}0`
}

/** The stories behind an id, in id order. */
export function behind(id: string | undefined): Range {
  return id === undefined ? {} : { after: endOf(id) }
}

/**
 * Every story that the commit rule shows, in id order, about one array for each page of the store.
 *
 * @param after a story id: only stories behind it
 */
export function listStories(store: ObjectStore, after?: string): AsyncGenerator<Story[]> {
  return storiesIn(store, behind(after))
}

/** What a sweep has made sure of. */
export interface Settled {
  /** Milliseconds since 1970. Every id of ours from before is a story if there is any key below it, */
  readonly before: number
  /** but for these, of which that can't be told. */
  readonly unsure: ReadonlySet<string>
}

/** Of the ids that one page of the store brings: if more have to be looked at, all of their keys are fewer calls. */
const DOUBTS_A_PAGE = 64
const LOOKS_AT_ONCE = 16

/** With more deletions under way, or interrupted, ids are read from keys. */
const MOST_TOMBSTONES = 1000

/**
 * The ids of the stories of `listStories`, in the same order. What is settled needs no keys: with 8 images in each story that is a
 * ninth of the calls.
 *
 * @param after a story id: only ids behind it
 */
export async function* listStoryIds(
  store: ObjectStore,
  settled: Settled | undefined,
  after?: string,
): AsyncGenerator<string[]> {
  const end = settled && STORY_SPACE.keyAt(settled.before)
  if (!settled || end === undefined || (after !== undefined && endOf(after) >= end)) {
    yield* idsIn(store, behind(after))
    return
  }
  // From the start of the list it is the list that shows whether there are tombstones
  const tombstones = after === undefined ? undefined : await readTombstones(store)
  yield* settledIds(store, settled, { ...behind(after), before: end }, tombstones)
  yield* idsIn(store, { after: end })
}

async function* idsIn(store: ObjectStore, range: Range): AsyncGenerator<string[]> {
  for await (const stories of storiesIn(store, range)) yield stories.map(({ id }) => id)
}

/** @param tombstones, read before any id; undefined: to be read when the list shows that there are some */
async function* settledIds(
  store: ObjectStore,
  settled: Settled,
  range: Range,
  tombstones: readonly Tombstone[] | undefined,
): AsyncGenerator<string[]> {
  if (tombstones && (tombstones.length > MOST_TOMBSTONES || tombstones.some(({ id }) => id === 'all'))) {
    yield* idsIn(store, range)
    return
  }
  const withTombstone = new Set(tombstones?.map(({ id }) => id))
  const within = (folder: string) => folder === TOMBSTONES || isStoryFolder(folder)
  for await (const page of store.listPrefixes({ prefix: STORIES, space: STORY_SPACE, within, ...range })) {
    if (!tombstones && page.includes(TOMBSTONES)) {
      // From the start: what this page shows may have been deleted, and its tombstone too, before the tombstones are read
      yield* settledIds(store, settled, range, await readTombstones(store))
      return
    }
    const ids = page.map(storyIdOf).filter((id) => id !== undefined)
    const doubts = ids.filter((id) => !isOwnId(id) || settled.unsure.has(id) || withTombstone.has(id))
    if (doubts.length > DOUBTS_A_PAGE) {
      yield* idsIn(store, { after: storyPrefix(ids[0] as string), before: endOf(ids.at(-1) as string) })
      continue
    }
    const none = new Set<string>()
    await forEachConcurrent(doubts, LOOKS_AT_ONCE, async (id) => {
      if (!(await lookUp(store, id))) none.add(id)
    })
    yield none.size === 0 ? ids : ids.filter((id) => !none.has(id))
  }
}

/** An item of a list: a story, or its id. */
export type Listed = Story | string

/** Images of one page of stories, unless a single story has more: the memory that a page takes depends on them. */
export const PAGE_IMAGES = 10_000

/**
 * The first items of a list: at most `limit` of them, and of stories as many as have `PAGE_IMAGES` images together, or one.
 *
 * @param keep what is kept of an item until the page is complete
 * @returns if there are more, also the id of the last item, where the next page begins
 */
export async function pageOf<Item extends Listed, Kept>(
  list: AsyncIterable<Item[]>,
  limit: number,
  keep: (item: Item) => Kept,
): Promise<{ items: Kept[]; next: string | undefined }> {
  const items: Kept[] = []
  let images = 0
  let last: string | undefined
  for await (const found of list) {
    for (const item of found) {
      images += typeof item === 'string' ? 0 : item.images.length
      if (items.length === limit || (items.length > 0 && images > PAGE_IMAGES)) return { items, next: last }
      items.push(keep(item))
      last = typeof item === 'string' ? item : item.id
    }
  }
  return { items, next: undefined }
}

/** One story. Rejects with `StoryNotFound`, also when the id is no UUID. */
export async function findStory(store: ObjectStore, id: string): Promise<Story> {
  const story = isStoryId(id) ? await lookUp(store, id) : undefined
  if (!story) throw new StoryNotFound(id)
  return story
}

/** One story, if there is one. */
export async function lookUp(store: ObjectStore, id: string): Promise<Story | undefined> {
  return (await keysOfStory(store, id))?.story()
}

/** What a listing shows of one story id; nothing when there are no keys below it. */
export async function keysOfStory(store: ObjectStore, id: string): Promise<StoryKeys | undefined> {
  for await (const [keys] of readStoryKeys(store, { prefix: storyPrefix(id) })) if (keys) return keys
  return undefined
}
