import { ObjectNotFound, StoryNotFound } from '../errors.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { isOwnId, isStoryId, isWrittenByUs, ownIdTime, STORIES, type StoryKeys, storyPrefix } from './key.ts'
import { readStoryKeys } from './list.ts'

/** S3's DeleteObjects takes 1,000 keys a call. */
const BATCH = 1000

/** Clocks of replicas differ, and an upload may end a little after its time. */
const CLOCK_MARGIN_MS = 5 * 60_000

/**
 * Deletes a story: first its record, and with it the story, then its images. A repetition finishes what an earlier call left
 * behind, and is a success. Rejects with `StoryNotFound` when there is nothing of it.
 */
export async function removeStory(store: ObjectStore, id: string): Promise<void> {
  if (!isStoryId(id)) throw new StoryNotFound(id)
  let found = false
  for await (const stories of readStoryKeys(store, storyPrefix(id))) {
    if (stories.length > 0) found = true
    await removeKeys(store, stories)
  }
  if (!found) throw new StoryNotFound(id)
}

/**
 * Deletes every story that is listed now, and what failed uploads and deletions left that are older than `uploadTimeout`. A
 * running upload, whose record is still to come, is not touched.
 *
 * @param uploadTimeout milliseconds after which an upload of ours can't be running any more
 */
export async function removeAllStories(store: ObjectStore, uploadTimeout: number): Promise<void> {
  const oldest = Date.now() - uploadTimeout - CLOCK_MARGIN_MS
  let batch: StoryKeys[] = []
  let size = 0
  for await (const found of readStoryKeys(store, STORIES)) {
    for (const keys of found) {
      if (!keys.story() && !(await isLeftover(store, keys, oldest))) continue
      batch.push(keys)
      size += keys.images.length + keys.records.length
      if (size < BATCH) continue
      await removeKeys(store, batch)
      batch = []
      size = 0
    }
  }
  await removeKeys(store, batch)
}

/** Whether these are what a failed upload or deletion of ours left. Files that were copied in by hand never are. */
async function isLeftover(store: ObjectStore, keys: StoryKeys, oldest: number): Promise<boolean> {
  if (!isOwnId(keys.id) || ownIdTime(keys.id) >= oldest) return false
  for (const key of [...keys.records, ...keys.images.map((image) => image.key)]) {
    try {
      const { metadata } = await store.head(key)
      if (!isWrittenByUs(metadata)) return false
    } catch (error) {
      // deleted meanwhile
      if (!(error instanceof ObjectNotFound)) throw error
    }
  }
  return true
}

/** Records before images: a reader who comes in between sees no story, never a part of one. */
async function removeKeys(store: ObjectStore, stories: readonly StoryKeys[]): Promise<void> {
  const records = stories.flatMap((keys) => keys.records)
  if (records.length > 0) await store.delete(records)
  const images = stories.flatMap((keys) => keys.images.map((image) => image.key))
  if (images.length > 0) await store.delete(images)
}
