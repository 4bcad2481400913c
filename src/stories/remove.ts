import { RestoreUnderWay, StoryNotFound } from '../errors.ts'
import { forEachConcurrent } from '../io/for-each-concurrent.ts'
import { stopwatch } from '../io/stopwatch.ts'
import { isOwnId, isStoryId, ownIdTime, STORIES, STORY_SPACE, type StoryKeys, storyPrefix } from '../layout/story.ts'
import { VARIANTS, variantsPrefix } from '../layout/variant.ts'
import { type Keep, type ObjectStore, PAGE_KEYS } from '../store/object-store.ts'
import { pastUnreadable } from '../store/past-unreadable.ts'
import { orphanedVariants, variantsOf } from '../variants/remove.ts'
import { debrisOf, removeDebris } from './debris.ts'
import { keysOfStory, readStoryKeys } from './list.ts'
import { Removal } from './removal.ts'
import { CLOCK_MARGIN_MS, endedBefore, mayRestore, type StoryStore } from './story-store.ts'
import { putTombstone, readTombstones, TOMBSTONE_MS, type Tombstone } from './tombstone.ts'

/** Batches that are deleted at once, while the list goes on. */
const BATCHES_AT_ONCE = 16

/** Stories of a batch that are looked up, or get a tombstone, at once. */
const STORIES_AT_ONCE = 16

/**
 * Deletes a story: first its record, and with it the story, then its images, then their variants. A repetition finishes what an earlier
 * call left, and is a success.
 *
 * A full store has to be emptied too, so nothing that a deletion writes is necessary for it. The tombstone is left out if there is no
 * room for it: a server whose watermark is later than the id lists it until the last of its keys is gone. For the end of an idempotency
 * record see `Removal.remove`.
 *
 * @param keep whether the store should keep it, so that it can be restored
 * @returns whether what this call deleted of the story can be restored
 * @throws {StoryNotFound} if nothing of the story is there
 */
export async function removeStory(store: StoryStore, id: string, keep: Keep = 'all'): Promise<boolean> {
  if (!isStoryId(id)) throw new StoryNotFound(id)
  // Beside a restore a deletion needs a tombstone whatever the age of the story
  const isKept = await mayRestore(store)
  const needsTombstone = isKept || mayBeBelowWatermark(store, id)
  const [found, earlier] = await Promise.all([keysOfStory(store, id), needsTombstone ? readTombstones(store, id) : []])
  const tombstones = earlier.filter(isOfRemoval).map(({ key }) => key)
  const bury = async () => {
    const tombstone = await tryToBury(store, id)
    if (tombstone !== undefined) tombstones.push(tombstone)
    return tombstone !== undefined
  }
  let keys = found
  let isBuried = !needsTombstone || !keys?.keys().length
  while (keys && !isBuried) {
    const age = stopwatch()
    if (!(await bury())) break
    // A restore may have begun before it could see the tombstone
    if (isKept) keys = await keysOfStory(store, id)
    isBuried = !isKept || age() < TOMBSTONE_MS
  }
  const removal = new Removal(store, store.onImagesRemoved)
  // An earlier call may have deleted the images, and ended before caches were told
  if (!keys) store.onImagesRemoved([id])
  const gone = keys ? await removal.remove([keys], { keep, onRoom: isBuried ? undefined : bury }) : []
  removal.throwIfFailed()
  const variants = await variantsOf(store, id)
  await removal.delete(variants)
  removal.throwIfFailed()
  // With anything below it, such as a record that waits for its end or an object that is not ours, the id would still count as a story
  const isEmpty = gone.length > 0 ? !keys?.hasOthers : keys === undefined
  if (isEmpty && tombstones.length > 0) await store.delete(tombstones)
  if (isEmpty) store.withoutTombstone.delete(id)
  if (variants.length === 0 && !found?.keys().length) throw new StoryNotFound(id)
  return removal.isRestorable
}

/**
 * Deletes stories for good, what is kept of deleted ones included, with everything else that the store keeps below their keys.
 *
 * A restore that runs at the same time could bring a story back after it was looked for. So both sides first write and then read, as in
 * debris.ts: this puts a tombstone before it begins, and looks for those of restores at its end; a restore puts one, and looks for this
 * one before it begins. Whichever comes second sees the other, and gives way.
 *
 * @param id of a story; without it, every story
 * @throws {StoryNotFound} if the store has no story of this id, not even a deleted one
 * @throws {RestoreUnderWay} if something of a story may be restored at the same time; the rest is deleted
 */
export async function purgeStories(store: StoryStore, id?: string): Promise<void> {
  if (id !== undefined && !isStoryId(id)) throw new StoryNotFound(id)
  const isKept = await mayRestore(store)
  // On a full store, on which there is no room for it, a restore has none for its own
  const tombstone = isKept ? await putTombstone(store, id ?? 'all', 'purge') : undefined
  try {
    if (id === undefined) await removeAllStories(store, 'none')
    else {
      await removeStory(store, id, 'none').catch(async (error) => {
        if (!(error instanceof StoryNotFound) || !(await isKeptFrom(store, storyPrefix(id)))) throw error
      })
    }
    const prefixes = id === undefined ? [STORIES, VARIANTS] : [storyPrefix(id), variantsPrefix(id)]
    for (const prefix of prefixes) await store.deleted?.purge({ prefix })
    if (isKept && (await isAnyRestored(store, id))) throw new RestoreUnderWay()
  } finally {
    if (tombstone !== undefined) await store.delete([tombstone])
  }
}

/** Returns whether a deletion that leaves nothing may delete a tombstone. A restore or purge may still run, and deletes its own. */
function isOfRemoval({ kind }: Tombstone): boolean {
  return kind !== 'restore' && kind !== 'purge'
}

/** Returns whether a restore of a story, or of any, may run. */
async function isAnyRestored(store: StoryStore, id?: string): Promise<boolean> {
  const lately = Date.now() - CLOCK_MARGIN_MS
  return (await readTombstones(store, id)).some(({ kind, time }) => kind === 'restore' && time >= lately)
}

async function isKeptFrom({ deleted }: StoryStore, prefix: string): Promise<boolean> {
  for await (const _ of deleted?.list({ prefix }) ?? []) return true
  return false
}

/**
 * Returns whether a sweep may have seen the story whole, so that its deletion needs a tombstone. Younger stories are still to be swept,
 * which will not happen before this deletion is over or given up; imported ones are looked up in any case.
 */
function mayBeBelowWatermark({ uploadTimeout }: StoryStore, id: string): boolean {
  return isOwnId(id) && ownIdTime(id) < Date.now() - uploadTimeout
}

/** Puts a tombstone for a story. Returns its key, or undefined if the store has no room for it. */
async function tryToBury(store: StoryStore, id: string): Promise<string | undefined> {
  const tombstone = await putTombstone(store, id)
  if (tombstone === undefined) store.withoutTombstone.add(id)
  return tombstone
}

/**
 * Deletes every story that is listed now, then debris that is older than any running upload, then the variants of whatever is gone. A
 * running upload, whose record is still to come, is not touched. A full store is emptied too, as by `removeStory`.
 *
 * @param keep whether the store should keep them, so that they can be restored
 * @returns whether there were stories, and each of them can be restored
 * @throws {DeleteFailure} with every key that could not be deleted, after all the others were deleted
 * @throws {ServiceError} any other error ends the work, and comes when nothing of it runs any more
 */
export async function removeAllStories(store: StoryStore, keep: Keep = 'all'): Promise<boolean> {
  const earlier = await readTombstones(store)
  const isRepetition = earlier.some(({ id }) => id === 'all')
  const removal = new Removal(store, store.onImagesRemoved)
  const own: Promise<string | undefined>[] = []
  let sinceTombstone: (() => number) | undefined
  /** Stories of which a key of our layout is left without a failure: for want of room, or since their upload turned out to run. */
  const waiting = new Set<string>()

  async function buryAll(): Promise<boolean> {
    // A new tombstone from time to time: sweeps and restores take an old one for that of an interrupted deletion
    if (!sinceTombstone || sinceTombstone() > Math.min(TOMBSTONE_MS / 2, store.uploadTimeout)) {
      sinceTombstone = stopwatch()
      own.push(putTombstone(store, 'all'))
    }
    const isBuried = (await own.at(-1)) !== undefined
    // When the next batch begins, there may be room
    if (!isBuried) sinceTombstone = undefined
    return isBuried
  }

  // Before the list: a restore that ends meanwhile sees it, and what the list shows of that story may be out of date
  if (await mayRestore(store)) await buryAll()
  const readable = pastUnreadable(store, (folder, error) => removal.leave(folder, error))
  await forEachConcurrent(readBatches(readable, endedBefore(store)), BATCHES_AT_ONCE, async ({ stories, suspects }) => {
    const isBuried = await buryAll()
    const old = stories.filter(({ id }) => mayBeBelowWatermark(store, id))
    if (!isBuried) for (const { id } of old) store.withoutTombstone.add(id)
    const debris = await debrisOf(store, suspects)
    // Something that is not ours stays below these ids, now or since an earlier removal
    const lasting = [
      ...old.filter(({ hasOthers }) => hasOthers),
      ...(isRepetition ? suspects.filter((keys) => !debris.includes(keys)) : []),
    ]
    await forEachConcurrent(lasting, STORIES_AT_ONCE, async ({ id }) => void (await tryToBury(store, id)))
    const gone = new Set(await removal.remove(stories, { keep }))
    for (const keys of await removeDebris(store, removal, debris, Date.now())) gone.add(keys)
    for (const keys of [...stories, ...debris]) {
      if (gone.has(keys)) {
        if (!keys.hasOthers) store.withoutTombstone.delete(keys.id)
      } else waiting.add(keys.id)
    }
    // The variants of the other stories are orphans now
    const withOthers = stories.filter(({ hasOthers }) => hasOthers)
    await forEachConcurrent(withOthers, STORIES_AT_ONCE, async ({ id }) => removal.delete(await variantsOf(store, id)))
  })
  await forEachConcurrent(orphanedVariants(readable), BATCHES_AT_ONCE, (orphans) =>
    removal.delete(orphans.flatMap(({ objects }) => objects.map(({ key }) => key))),
  )
  removal.throwIfFailed()
  // What is left may be that of an earlier deletion: as long as there is a tombstone, no list of ids has it
  if (waiting.size > 0) return removal.isRestorable
  const done = (await Promise.all(own)).filter((key) => key !== undefined)
  await forEachConcurrent(earlier.filter(isOfRemoval), STORIES_AT_ONCE, async ({ key, id }) => {
    if (id === 'all' || !(await keysOfStory(store, id))) done.push(key)
  })
  await store.delete(done)
  return removal.isRestorable
}

/** About one page of keys, unless a single story has more. */
interface Batch {
  readonly stories: StoryKeys[]
  /** What may be debris; the keys alone don't tell. */
  readonly suspects: StoryKeys[]
}

/** @param oldest time, in milliseconds since 1970, from which on an id without a story may be that of a running upload */
async function* readBatches(store: ObjectStore, oldest: number): AsyncGenerator<Batch> {
  let batch: Batch = { stories: [], suspects: [] }
  let size = 0
  for await (const found of readStoryKeys(store, { prefix: STORIES, space: STORY_SPACE })) {
    for (const keys of found) {
      const isStory = keys.story() !== undefined
      if (!isStory && !(isOwnId(keys.id) && ownIdTime(keys.id) < oldest)) continue
      const count = keys.images.length + keys.records.length
      if (count === 0) continue
      if (size > 0 && size + count > PAGE_KEYS) {
        yield batch
        batch = { stories: [], suspects: [] }
        size = 0
      }
      const kind = isStory ? batch.stories : batch.suspects
      kind.push(keys)
      size += count
    }
  }
  if (size > 0) yield batch
}
