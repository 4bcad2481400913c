import { StoryNotFound } from '../errors.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { isStoryId, STORIES, STORY_SPACE, type Story, StoryKeys, storyIdOf, storyPrefix } from './key.ts'

/**
 * Every story id that has keys of our layout, in id order, with what a listing shows of it: the one place that turns keys into
 * stories. Yields about one array for each page of the store; holds one page and the keys of one story.
 */
export async function* readStoryKeys(store: ObjectStore, prefix: string, after?: string): AsyncGenerator<StoryKeys[]> {
  let current: StoryKeys | undefined
  // Within one story there is nothing to cut
  const space = prefix === STORIES ? { space: STORY_SPACE } : {}
  for await (const page of store.list({ prefix, ...(after !== undefined && { after }), ...space })) {
    const complete: StoryKeys[] = []
    for (const object of page) {
      if (current?.covers(object.key)) {
        current.add(object)
        continue
      }
      const id = storyIdOf(object.key)
      if (id === undefined) continue
      const next = new StoryKeys(id)
      if (!next.add(object)) continue
      if (current) complete.push(current)
      current = next
    }
    yield complete
  }
  if (current) yield [current]
}

/**
 * Every story that the commit rule shows, in id order, about one array for each page of the store.
 *
 * @param after a story id: only stories behind it
 */
export async function* listStories(store: ObjectStore, after?: string): AsyncGenerator<Story[]> {
  // "0" is the character behind "/": above every key of the story, below every key of the next one
  const key = after === undefined ? undefined : `${STORIES}${after}0`
  for await (const found of readStoryKeys(store, STORIES, key)) yield existing(found)
}

/**
 * One page of whole stories.
 *
 * @returns the stories, at most `limit`, and whether there are more behind them
 */
export async function pageOfStories(
  store: ObjectStore,
  limit: number,
  after?: string,
): Promise<{ stories: Story[]; more: boolean }> {
  const stories: Story[] = []
  for await (const found of listStories(store, after)) {
    stories.push(...found)
    if (stories.length > limit) return { stories: stories.slice(0, limit), more: true }
  }
  return { stories, more: false }
}

/** One story. Rejects with `StoryNotFound`, also when the id is no UUID. */
export async function findStory(store: ObjectStore, id: string): Promise<Story> {
  if (isStoryId(id)) {
    for await (const found of readStoryKeys(store, storyPrefix(id))) {
      const [story] = existing(found)
      if (story) return story
    }
  }
  throw new StoryNotFound(id)
}

function existing(found: readonly StoryKeys[]): Story[] {
  return found.map((keys) => keys.story()).filter((story) => story !== undefined)
}
