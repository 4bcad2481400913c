import { StoryNotFound } from '../errors.ts'
import {
  isStoryFolder,
  isStoryId,
  type Range,
  STORIES,
  STORY_SPACE,
  type Story,
  StoryKeys,
  storyEnd,
  storyIdOf,
  storyPrefix,
} from '../layout/story.ts'
import type { ListOptions, ObjectStore } from '../store/object-store.ts'

/**
 * Yields every story id that has keys below it, in id order, with what a listing shows of it: the one place that turns keys into
 * stories. Yields about one array for each page of the store. Holds one page and the keys of one story.
 */
export async function* readStoryKeys(store: ObjectStore, options: ListOptions): AsyncGenerator<StoryKeys[]> {
  let current: StoryKeys | undefined
  /** Ids with an unreadable folder below them, as a NAS puts one into each. It is not of our layout, so the story may be whole. */
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

/** Yields every story of a range, by the commit rule, in id order, about one array for each page of the store. */
export async function* storiesIn(store: ObjectStore, range: Range): AsyncGenerator<Story[]> {
  for await (const found of readStoryKeys(store, { prefix: STORIES, space: STORY_SPACE, ...range })) {
    yield found.map((keys) => keys.story()).filter((story) => story !== undefined)
  }
}

/** Returns the range of the stories after an id, or of all stories. */
export function storiesAfter(id: string | undefined): Range {
  return id === undefined ? {} : { after: storyEnd(id) }
}

/**
 * Yields every story, by the commit rule, in id order, about one array for each page of the store.
 *
 * @param after a story id: only stories after it
 */
export function listStories(store: ObjectStore, after?: string): AsyncGenerator<Story[]> {
  return storiesIn(store, storiesAfter(after))
}

/** An item of a list: a story, or its id. */
export type Listed = Story | string

/** Images of one page of stories, unless a single story has more: the memory that a page takes depends on them. */
export const PAGE_IMAGES = 10_000

/**
 * Takes the first items of a list: at most `limit` of them, and of stories as many as have `PAGE_IMAGES` images together, or one.
 *
 * @param keep what is kept of an item until the page is complete
 * @returns the items and, if there are more, the id of the last one, where the next page begins
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

/**
 * Reads one story.
 *
 * @throws {StoryNotFound} also if the id is not a UUID
 */
export async function findStory(store: ObjectStore, id: string): Promise<Story> {
  const story = isStoryId(id) ? await lookUp(store, id) : undefined
  if (!story) throw new StoryNotFound(id)
  return story
}

/** Returns the story of an id, or undefined if there is none. */
export async function lookUp(store: ObjectStore, id: string): Promise<Story | undefined> {
  return (await keysOfStory(store, id))?.story()
}

/**
 * Returns what a listing shows of story ids, for those that have keys, in about one call for each page of keys between the first and
 * the last of them, and in no more calls than ids. Holds a page and the keys of these stories.
 *
 * @param ids in their order
 */
export async function keysOfStories(store: ObjectStore, ids: readonly string[]): Promise<Map<string, StoryKeys>> {
  const found = new Map<string, StoryKeys>()
  const wanted = new Set(ids)
  const last = ids.at(-1) ?? ''
  for (let at = 0; at < ids.length; ) {
    const first = ids[at] ?? ''
    // On disk a range is looked for in the names of all stories
    const range =
      first === last
        ? { prefix: storyPrefix(first) }
        : { prefix: STORIES, after: storyPrefix(first), before: storyEnd(last) }
    let reached: string | undefined
    for await (const stories of readStoryKeys(store, range)) {
      for (const keys of stories) if (wanted.has(keys.id)) found.set(keys.id, keys)
      reached = stories.at(-1)?.id
      // The next page may be far before the next id
      if (reached !== undefined) break
    }
    if (reached === undefined) break
    while (at < ids.length && (ids[at] ?? '') <= reached) at++
  }
  return found
}

/** Returns what a listing shows of one story id, or undefined if there are no keys below it. */
export async function keysOfStory(store: ObjectStore, id: string): Promise<StoryKeys | undefined> {
  for await (const [keys] of readStoryKeys(store, { prefix: storyPrefix(id) })) if (keys) return keys
  return undefined
}
