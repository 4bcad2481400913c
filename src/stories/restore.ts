import { DeletedNotKept, PurgeUnderWay, RestoreInterrupted, StoreFull, StoryNotFound, StoryNotKept } from '../errors.ts'
import { isOwnId, isStoryId, STORIES, StoryKeys, storyIdOf, storyPrefix } from '../layout/story.ts'
import type { DeletedObject, ObjectStore } from '../store/object-store.ts'
import { keysOfStories, keysOfStory, lookUp } from './list.ts'
import { CLOCK_MARGIN_MS, type StoryStore } from './story-store.ts'
import { putTombstone, readTombstones } from './tombstone.ts'

/** Tries to restore a story of which something is removed at the same time. */
const TRIES = 3

/** A story that is deleted and can be restored. */
export interface DeletedStory {
  readonly id: string
  /** When it vanished from the lists. */
  readonly deletedAt: Date
  /** Number of its images. */
  readonly images: number
  /** Until when it can be restored, or less long if the disk gets full; undefined if the store does not tell. */
  readonly until: Date | undefined
}

/**
 * Restores a deleted story: first its images, then its record, and with it the story. Lists have it whole or not at all, except an
 * imported one, which has no record. A story that is there is a success. A repetition finishes what an earlier call left.
 *
 * Puts a tombstone, as a deletion does, since the id goes through states in which it has keys and is not a story: servers look such an id
 * up, and sweeps leave it alone. Before it restores anything and at the end it looks for tombstones of others, and gives way: a deletion
 * or sweep that has put one may have looked for this one too early, and be about to remove the images. Both sides first write and then
 * read, as in debris.ts.
 *
 * @throws {StoryNotFound} for what is not an id
 * @throws {StoryNotKept} if there is no such story, and not every part of a deleted one
 * @throws {DeletedNotKept} if moreover the store keeps nothing of what is deleted
 * @throws {VersionsHidden} if the store may keep something that this server may not see
 * @throws {RestoreInterrupted} if the story is, or may be, removed at the same time
 * @throws {PurgeUnderWay} if a deletion for good runs, or was interrupted and no sweep has removed its tombstone yet
 */
export async function restoreStory(store: StoryStore, id: string): Promise<void> {
  if (!isStoryId(id)) throw new StoryNotFound(id)
  const earlier = (await readTombstones(store, id)).filter(({ kind }) => kind === 'restore').map(({ key }) => key)
  if (earlier.length === 0 && (await lookUp(store, id))) return
  let parts = await partsOf(store, id)
  if (!parts) throw await whyNot(store, id)
  const own = await putTombstone(store, id, 'restore')
  if (own === undefined) throw new StoreFull()
  let hindrance = await findHindrance(store, id)
  if (hindrance) {
    await store.delete([own])
    throw hindrance
  }
  for (let round = 1; parts && round <= TRIES; round++) {
    await store.deleted?.restore(parts.images)
    await store.deleted?.restore(parts.records)
    hindrance = await findHindrance(store, id)
    if (hindrance) break
    if (await lookUp(store, id)) {
      await store.delete([own, ...earlier])
      return
    }
    parts = await partsOf(store, id)
  }
  await hide(store, id)
  throw hindrance ?? new RestoreInterrupted()
}

/**
 * Yields every deleted story that can be restored, in the order of ids. Holds the keys of a page and what the store holds. Rejects
 * as `DeletedObjects.list` does.
 */
export async function* deletedStories(
  store: ObjectStore,
  { since, signal }: { readonly since?: Date; readonly signal?: AbortSignal } = {},
): AsyncGenerator<DeletedStory> {
  const isRecent = ({ deletedAt }: { readonly deletedAt: Date }) => since === undefined || deletedAt >= since
  for await (const deleted of deletedById(store, signal)) {
    // Without a call of the store for those that were deleted earlier
    const wanted = [...deleted].filter(([, objects]) => objects.some(isRecent))
    const ids = wanted.map(([id]) => id)
    const current = await keysOfStories(store, ids)
    for (const [id, objects] of wanted) {
      const parts = partsFrom(id, objects, current.get(id))
      if (!parts || parts.isThere || !isRecent(parts)) continue
      yield { id, deletedAt: parts.deletedAt, images: parts.count, until: parts.until }
    }
  }
}

/** What there is to restore of a story. */
interface Parts {
  readonly images: readonly DeletedObject[]
  readonly records: readonly DeletedObject[]
  /** Whether the story is in the lists: an imported one is, with any of its images. */
  readonly isThere: boolean
  /** Of its images, those that are not deleted included. */
  readonly count: number
  readonly deletedAt: Date
  readonly until: Date | undefined
}

async function partsOf(store: ObjectStore, id: string): Promise<Parts | undefined> {
  const found: DeletedObject[] = []
  // What is deleted or restored meanwhile is in one of the two lists of current keys, before and after, or in that of deleted ones
  const before = await keysOfStory(store, id)
  for await (const objects of store.deleted?.list({ prefix: storyPrefix(id) }) ?? []) found.push(...objects)
  return partsFrom(id, found, await keysOfStory(store, id), before?.keys())
}

/**
 * Returns what there is to restore, or undefined if it would not make a whole story.
 *
 * @param current what was there after the deleted objects were listed
 * @param before keys that were there before that
 */
function partsFrom(
  id: string,
  deleted: readonly DeletedObject[],
  current: StoryKeys | undefined,
  before: readonly string[] = [],
): Parts | undefined {
  const there = new Set(current?.keys())
  const objects = ofLastDeletion(id, deleted).filter(({ key }) => !there.has(key))
  const keys = new StoryKeys(id)
  const ofStory = objects.filter(({ key, size, deletedAt }) =>
    keys.add({ key, size, modified: deletedAt.toISOString() }),
  )
  const rest = [...before, ...there].filter((key) => !ofStory.some((object) => object.key === key))
  for (const key of new Set(rest)) keys.add({ key, size: 0, modified: new Date(0).toISOString() })
  const story = keys.story()
  if (!story) return undefined
  const records = ofStory.filter(({ key }) => keys.records.includes(key))
  const times = (records.length > 0 ? records : ofStory).map(({ deletedAt }) => deletedAt.getTime())
  const ends = ofStory.map(({ until }) => until?.getTime() ?? Number.NaN).filter((time) => !Number.isNaN(time))
  return {
    images: ofStory.filter((object) => !records.includes(object)),
    records,
    isThere: current?.story() !== undefined,
    count: story.images.length,
    deletedAt: new Date(Math.max(0, ...times)),
    until: ends.length > 0 ? new Date(Math.min(...ends)) : undefined,
  }
}

/**
 * Returns the objects that the last deletion of a story has deleted. An imported story can have had other images in earlier deletions;
 * those of an upload are always the same.
 */
function ofLastDeletion(id: string, objects: readonly DeletedObject[]): readonly DeletedObject[] {
  if (isOwnId(id)) return objects
  // The time of the earlier deletion would not do: a long one deletes some objects after the one whose key was reused
  const reusedAt = Math.max(...objects.map((object) => object.reusedAt?.getTime() ?? 0))
  return objects.filter(({ deletedAt }) => deletedAt.getTime() >= reusedAt)
}

/** Yields the deleted objects of each id, those of a page of the store at once. The last id may go on in the next page. */
async function* deletedById(store: ObjectStore, signal?: AbortSignal): AsyncGenerator<Map<string, DeletedObject[]>> {
  let stories = new Map<string, DeletedObject[]>()
  for await (const page of store.deleted?.list({ prefix: STORIES, ...(signal && { signal }) }) ?? []) {
    signal?.throwIfAborted()
    for (const object of page) {
      const id = storyIdOf(object.key)
      if (id === undefined) continue
      const objects = stories.get(id)
      if (objects) objects.push(object)
      else stories.set(id, [object])
    }
    const last = [...stories].slice(-1)
    for (const [id] of last) stories.delete(id)
    if (stories.size > 0) yield stories
    stories = new Map(last)
  }
  if (stories.size > 0) yield stories
}

/**
 * Returns an error if a deletion or sweep may be about to remove what is there of a story. Ignores tombstones older than the clock margin,
 * which are those of interrupted work: nobody removes anything so long after putting one. The exception is a purge, which counts at any
 * age: it can take long, and what it deletes need not be restored.
 */
async function findHindrance(store: StoryStore, id: string): Promise<Error | undefined> {
  const lately = Date.now() - CLOCK_MARGIN_MS
  const tombstones = [...(await readTombstones(store, id)), ...(await readTombstones(store, 'all'))]
  const purges = tombstones.filter(({ kind }) => kind === 'purge').map(({ time }) => time)
  // A sweep removes a tombstone that is older than `UPLOAD_TIMEOUT` and the margin
  if (purges.length > 0)
    return new PurgeUnderWay(minutesUntil(Math.max(...purges) + store.uploadTimeout + CLOCK_MARGIN_MS))
  const isRemoved = tombstones.some(({ kind, time }) => kind !== 'restore' && time >= lately)
  return isRemoved ? new RestoreInterrupted() : undefined
}

function minutesUntil(time: number): number {
  return Math.max(1, Math.ceil((time - Date.now()) / 60_000))
}

/** Deletes the record again. The tombstone stays, so what is left is that of an interrupted deletion. */
async function hide(store: StoryStore, id: string): Promise<void> {
  const keys = await keysOfStory(store, id)
  if (keys && keys.records.length > 0) await store.delete(keys.records, 'all')
}

async function whyNot(store: StoryStore, id: string): Promise<Error> {
  const isKept = store.deleted !== undefined && (await store.deleted.isKept())
  return isKept === false ? new DeletedNotKept() : new StoryNotKept(id)
}
