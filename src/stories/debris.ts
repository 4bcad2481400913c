import { forEachConcurrent } from '../for-each-concurrent.ts'
import { stopwatch } from '../stopwatch.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { CLOCK_MARGIN_MS, LONGEST_UPLOAD_MS, ownIdTime, type StoryKeys } from './key.ts'
import { keysOfStory } from './list.ts'
import type { Removal } from './remove.ts'
import { putTombstone, readTombstones } from './tombstone.ts'

/*
 * A server with a short UPLOAD_TIMEOUT takes an upload that runs on a server with a longer one for interrupted. So that it never
 * removes images of an upload that is acknowledged, both sides first write and then read, as in Dekker's algorithm:
 *
 *   removal: put a tombstone, look for the record;          delete the images, delete the tombstone
 *   upload:  put the record,  look for tombstones and images; acknowledge
 *
 * Whichever of the two puts comes second, its side sees the other's, and gives way. Once the tombstone is gone so are the images, and
 * since the upload looks for tombstones before it looks for images, it misses one of them.
 */

/** Milliseconds from which on an upload may be taken for interrupted somewhere: sweeps leave twice as much for clocks. */
const SAFE_MS = CLOCK_MARGIN_MS / 2

/** A removal that stood still for longer than this, in milliseconds, may have lost its tombstone to another sweep. */
const TOMBSTONE_MS = CLOCK_MARGIN_MS / 2

const REMOVALS_AT_ONCE = 16

/** Whether a removal by another server's settings may hit an upload of this age, in milliseconds. */
export function mayBeSwept(age: number): boolean {
  return age > SAFE_MS
}

/**
 * Whether a story whose record is written is whole and stays so: no removal of debris is about to take its images. A deletion of the
 * story is another matter.
 */
export async function isLasting(store: ObjectStore, id: string): Promise<boolean> {
  if ((await readTombstones(store, id)).length > 0) return false
  return (await keysOfStory(store, id))?.story() !== undefined
}

/**
 * Removes what interrupted uploads and deletions have left, except uploads that turn out to run. While the store is full, what may be
 * one of these stays until it is too old for that.
 *
 * @param removal keeps the keys that could not be deleted
 * @param now milliseconds since 1970
 * @returns those of which no key of our layout is left
 */
export async function removeDebris(
  store: ObjectStore,
  removal: Removal,
  debris: readonly StoryKeys[],
  now: number,
): Promise<StoryKeys[]> {
  const oldest = now - LONGEST_UPLOAD_MS - CLOCK_MARGIN_MS
  const mayRun = ({ id, records }: StoryKeys) => records.length === 0 && ownIdTime(id) >= oldest
  const gone = await removal.remove(debris.filter((keys) => !mayRun(keys)))
  await forEachConcurrent(debris.filter(mayRun), REMOVALS_AT_ONCE, async (keys) => {
    if (await removeUnlessGrown(store, removal, keys)) gone.push(keys)
  })
  return gone
}

async function removeUnlessGrown(store: ObjectStore, removal: Removal, keys: StoryKeys): Promise<boolean> {
  const age = stopwatch()
  const tombstone = await putTombstone(store, keys.id)
  if (tombstone === undefined) return false
  const now = await keysOfStory(store, keys.id)
  const hasGrown = now !== undefined && (now.records.length > 0 || now.images.length > keys.images.length)
  const isAbandoned = !hasGrown && age() < TOMBSTONE_MS
  const [gone] = isAbandoned ? await removal.remove([keys]) : []
  // A deletion that failed may still be carried out
  if (gone || !isAbandoned) await removal.delete([tombstone])
  return gone !== undefined
}
