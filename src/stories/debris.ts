import { LONGEST_UPLOAD_MS } from '../config.ts'
import { forEachConcurrent } from '../io/for-each-concurrent.ts'
import { stopwatch } from '../io/stopwatch.ts'
import { isWrittenByUs, ownIdTime, type StoryKeys } from '../layout/story.ts'
import { ifThere, type ObjectStore } from '../store/object-store.ts'
import { keysOfStory } from './list.ts'
import type { Removal } from './removal.ts'
import { CLOCK_MARGIN_MS, endedBefore, mayRestore, type StoryStore } from './story-store.ts'
import { putTombstone, readTombstones, TOMBSTONE_MS } from './tombstone.ts'

/*
 * A server with a short UPLOAD_TIMEOUT takes an upload that runs on a server with a longer one for interrupted. So that it never
 * removes images of an upload that is acknowledged, both sides first write and then read, as in Dekker's algorithm:
 *
 *   removal: put a tombstone, look for the record;          delete the images, delete the tombstone
 *   upload:  put the record,  look for tombstones and images; acknowledge
 *
 * Whichever of the two puts comes second, its side sees the other's, and gives way. Once the tombstone is gone so are the images, and
 * since the upload looks for tombstones before it looks for images, it misses one of them.
 *
 * Restoring a deleted story does what an upload does, with images of any age, and puts a tombstone of its own first: see restore.ts.
 */

const REMOVALS_AT_ONCE = 16

/** Keys whose writers are looked up at once. */
export const HEADS_AT_ONCE = 8

/**
 * Returns whether a story whose record is written is whole and stays so: no removal of debris is about to take its images. A deletion of
 * the story is another matter.
 */
export async function isLasting(store: ObjectStore, id: string): Promise<boolean> {
  const tombstones = await readTombstones(store, id)
  if (tombstones.some(({ kind }) => kind !== 'restore')) return false
  return (await keysOfStory(store, id))?.story() !== undefined
}

/**
 * Removes debris, except of uploads and restores that turn out to run. While the store is full, debris that may be a running upload
 * stays until it is too old for that. What an interrupted deletion has left is kept like the rest of its story.
 *
 * @param removal collects the keys that could not be deleted
 * @param now milliseconds since 1970
 * @returns the debris of which no key of our layout is left
 */
export async function removeDebris(
  store: StoryStore,
  removal: Removal,
  debris: readonly StoryKeys[],
  now: number,
): Promise<StoryKeys[]> {
  const oldest = now - LONGEST_UPLOAD_MS - CLOCK_MARGIN_MS
  const isUpload = ({ id, records }: StoryKeys) => records.length === 0 && ownIdTime(id) >= oldest
  const isKept = debris.length > 0 && (await mayRestore(store))
  const mayRun = (keys: StoryKeys) => isUpload(keys) || (isKept && keys.records.length === 0)
  const gone = await removal.remove(
    debris.filter((keys) => !mayRun(keys)),
    { keep: 'rest' },
  )
  await forEachConcurrent(debris.filter(mayRun), REMOVALS_AT_ONCE, async (keys) => {
    const isGone = await removeUnlessGrown(store, removal, keys, { now, isKept, needsTombstone: isUpload(keys) })
    if (isGone) gone.push(keys)
  })
  return gone
}

/**
 * Removes the images of one id, unless there are more by now or a restore has begun.
 *
 * @param options.isKept whether there can be a restore
 * @param options.needsTombstone whether they stay if the store has no room for a tombstone. A restore can't put one then either
 * @returns whether no key of our layout is left
 */
async function removeUnlessGrown(
  store: StoryStore,
  removal: Removal,
  keys: StoryKeys,
  { now, isKept, needsTombstone }: { now: number; isKept: boolean; needsTombstone: boolean },
): Promise<boolean> {
  const age = stopwatch()
  const tombstone = await putTombstone(store, keys.id, 'debris')
  if (tombstone === undefined && needsTombstone) return false
  const isRestored = isKept && (await isBeingRestored(store, keys.id, now))
  const found = isRestored ? undefined : await keysOfStory(store, keys.id)
  const hasGrown = found !== undefined && (found.records.length > 0 || found.images.length > keys.images.length)
  const isAbandoned = !isRestored && !hasGrown && age() < TOMBSTONE_MS
  const [gone] = isAbandoned ? await removal.remove([keys], { keep: 'rest' }) : []
  // A deletion that failed may still be carried out
  if (tombstone !== undefined && (gone || !isAbandoned)) await removal.delete([tombstone])
  return gone !== undefined
}

/** Returns whether a restore of a story runs, or was interrupted only lately. */
async function isBeingRestored(store: StoryStore, id: string, now: number): Promise<boolean> {
  const before = endedBefore(store, now)
  return (await readTombstones(store, id)).some(({ kind, time }) => kind === 'restore' && time >= before)
}

/**
 * Returns those of the suspects of which we wrote every object. Files that were copied in by hand are never debris.
 *
 * @param before milliseconds since 1970; a suspect with an object from later is not debris either
 */
export async function debrisOf(
  store: ObjectStore,
  suspects: readonly StoryKeys[],
  before = Number.POSITIVE_INFINITY,
): Promise<StoryKeys[]> {
  const notOurs = new Set<StoryKeys>()
  const objects = suspects.flatMap((keys) => keys.keys().map((key) => ({ keys, key })))
  await forEachConcurrent(objects, HEADS_AT_ONCE, async ({ keys, key }) => {
    if (!notOurs.has(keys) && !(await isOurs(store, key, before))) notOurs.add(keys)
  })
  return suspects.filter((keys) => !notOurs.has(keys))
}

/** Returns whether we wrote an object, and before that time. One that is deleted meanwhile counts as ours. */
export async function isOurs(store: ObjectStore, key: string, before = Number.POSITIVE_INFINITY): Promise<boolean> {
  const head = await ifThere(store.head(key))
  return !head || (isWrittenByUs(head.metadata) && (head.changedAt ?? head.lastModified).getTime() < before)
}
