import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import { v7 } from 'uuid'
import type { ObjectStore } from '../../src/store/object-store.ts'
import { storyStore } from '../../src/stories/story-store.ts'
import { Sweeper } from '../../src/stories/sweep.ts'
import { inChunks, listKeys, putBytes } from '../support/bodies.ts'
import { putOurs } from '../support/recording-store.ts'
import type { ServerProcess } from '../support/server-process.ts'
import { wholeStories } from './whole-stories.ts'

/** The default of UPLOAD_TIMEOUT. */
const UPLOAD_TIMEOUT = 3_600_000

/** After so many milliseconds an upload or deletion that runs now can't be running any more, by any clock. */
const LATE = UPLOAD_TIMEOUT + 6 * 60_000

/**
 * What no sweep may touch: an imported story of these images, files that others copied in below an id of ours, a story that was
 * harmed, an upload that runs by the time of the late sweep, and what is no story at all.
 *
 * @returns their keys
 */
async function placeBystanders(store: ObjectStore, images: readonly Buffer[]): Promise<string[]> {
  const [imported, copied, mixed, harmed, running] = [randomUUID(), v7(), v7(), v7(), v7({ msecs: Date.now() + LATE })]
  const before = new Set(await listKeys(store))
  for (const [index, image] of images.entries())
    await store.put(`stories/${imported}/${index + 1}.jpg`, inChunks(image), {
      contentType: 'image/jpeg',
      metadata: {},
    })
  for (const key of [`${copied}/1.jpg`, `${mixed}/1.jpg`, 'notes.txt']) await putBytes(store, `stories/${key}`)
  for (const key of [`${mixed}/2.jpg`, `${harmed}/0.2.json`, `${harmed}/1.jpg`, `${running}/1.jpg`])
    await putOurs(store, `stories/${key}`)
  await putOurs(store, `other/${v7()}/1.jpg`)
  return (await listKeys(store)).filter((key) => !before.has(key))
}

const sweeper = (store: ObjectStore) => new Sweeper(storyStore(store, UPLOAD_TIMEOUT), () => Date.now() + LATE)

/**
 * Sweeps by the clock of an hour later, twice: with bystanders, all of which stay, and then without them.
 *
 * @param whole ids of the stories that stay too; nothing else does
 * @param server to look at after the first sweep
 */
export async function lateSweeps(
  t: Test,
  store: ObjectStore,
  server: ServerProcess,
  images: readonly Buffer[],
  whole: readonly string[],
  what: string,
): Promise<void> {
  const bystanders = await placeBystanders(store, images)
  const isWhole = (key: string) => whole.some((id) => key.startsWith(`stories/${id}/`))
  const before = await listKeys(store)
  const removed: string[] = []
  const { left } = await sweeper(store).sweep({ onRemoved: (_id, keys) => removed.push(...keys) })
  t.equal(left, 0, `${what}: the sweep removed all that it found`)
  // After a deletion of all was interrupted, each exception gets a tombstone of its own
  const isOwnTombstone = (key: string) =>
    /^stories\/-deleting\//.test(key) && bystanders.some((each) => each.includes(key.slice(18, 54)))
  const after = (await listKeys(store)).filter((key) => !isOwnTombstone(key))
  t.same(
    after,
    before.filter((key) => !removed.includes(key)),
    `${what}: and nothing but what it says`,
  )
  t.same(
    after.filter((key) => !isWhole(key)),
    bystanders,
    `${what}: besides whole stories nothing of ours is left, and of others everything`,
  )
  const seen = await wholeStories(t, server, images, `${what}, swept`)
  t.same(
    seen.filter((id) => whole.includes(id)),
    whole,
    `${what}: what was whole still is`,
  )
  t.equal(seen.length, whole.length + 1, `${what}: and so is the imported story`)
  await store.delete(bystanders)
  await sweeper(store).sweep()
  t.same(
    (await listKeys(store)).filter((key) => !isWhole(key)),
    [],
    `${what}: without others nothing is left at all`,
  )
}
