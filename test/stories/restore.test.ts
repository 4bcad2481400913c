import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { v7 } from 'uuid'
import {
  DeletedNotKept,
  PurgeUnderWay,
  RestoreInterrupted,
  StoryNotFound,
  StoryNotKept,
  VersionsHidden,
} from '../../src/errors.ts'
import { TOMBSTONES } from '../../src/layout/tombstone.ts'
import { openDiskStore } from '../../src/store/disk/disk-store.ts'
import type { ObjectStore } from '../../src/store/object-store.ts'
import { listStories } from '../../src/stories/list.ts'
import { purgeStories, removeAllStories, removeStory } from '../../src/stories/remove.ts'
import { type DeletedStory, deletedStories, restoreStory } from '../../src/stories/restore.ts'
import { listStoryIds } from '../../src/stories/story-ids.ts'
import { storyStore } from '../../src/stories/story-store.ts'
import { Sweeper } from '../../src/stories/sweep.ts'
import { putTombstone, readTombstones } from '../../src/stories/tombstone.ts'
import { listKeys, putBytes } from '../support/bodies.ts'
import { engines, makeBucket } from '../support/engines.ts'
import { putOurs, putStory } from '../support/recording-store.ts'
import { makeFolder, openOnEngine, openOnStandIn, startStandIn } from '../support/stores.ts'

const HOUR = 3_600_000
const WEEK = 168 * HOUR
const LONG_AGO = Date.UTC(2024, 0, 1)
const IMPORTED = '00000000-0000-4000-8000-000000000001'

const keeping: [string, (t: Test) => Promise<ObjectStore>][] = [
  ['disk', async (t) => openDiskStore(await makeFolder(t), [], WEEK)],
  [
    'the stand-in with versioning',
    async (t) => openOnStandIn(t, await startStandIn(t, { dialect: { versioning: 'Enabled' } })),
  ],
  ...engines.map((engine): [string, (t: Test) => Promise<ObjectStore>] => [
    `${engine.name} with versioning`,
    async (t) => openOnEngine(t, engine, (await makeBucket(t, { ...engine, versioning: 'Enabled' })).Bucket, ''),
  ]),
]

const oldId = (n = 0) => v7({ msecs: LONG_AGO + n * HOUR })

async function idsByRule(store: ObjectStore): Promise<string[]> {
  const ids: string[] = []
  for await (const page of listStories(store)) ids.push(...page.map(({ id }) => id))
  return ids
}

async function idsOf(store: ObjectStore, sweeper: Sweeper): Promise<string[]> {
  const ids: string[] = []
  for await (const page of listStoryIds(store, sweeper.watermark)) ids.push(...page)
  return ids
}

async function deletedIn(store: ObjectStore, since?: Date): Promise<DeletedStory[]> {
  const found: DeletedStory[] = []
  for await (const story of deletedStories(store, since ? { since } : {})) found.push(story)
  return found
}

for (const [name, open] of keeping) {
  t.test(`a deleted story comes back whole, in every list of every server (${name})`, async (t) => {
    const store = await open(t)
    const stories = storyStore(store, HOUR)
    const [id, other] = [oldId(), oldId(1)]
    for (const each of [id, other]) await putStory(store, each, ['1.jpg', '2.png'])
    const sweepers = [new Sweeper(stories), new Sweeper(storyStore(store, HOUR))]
    for (const sweeper of sweepers) await sweeper.sweep()
    const keys = await listKeys(store, { prefix: 'stories/' })
    const began = Date.now() - 60_000
    await removeStory(stories, id)
    t.same(await idsByRule(store), [other])
    t.match(await deletedIn(store), [{ id, images: 2 }])
    t.same(await deletedIn(store, new Date(began + HOUR)), [], 'not among those that were deleted later')
    t.equal((await deletedIn(store, new Date(began))).length, 1)
    await restoreStory(stories, id)
    for (const sweeper of [...sweepers, new Sweeper(stories)]) {
      t.same(await idsOf(store, sweeper), [id, other])
      await sweeper.sweep()
      t.same(await idsOf(store, sweeper), [id, other], 'after a sweep, too')
    }
    t.same(await listKeys(store, { prefix: 'stories/' }), keys, 'nothing else is left')
    t.same(await deletedIn(store), [])
    await t.resolves(restoreStory(stories, id), 'a story that is there is a success')
    await removeStory(stories, id)
    await restoreStory(stories, id)
    t.same(await idsByRule(store), [id, other], 'a second time')
  })

  t.test(`after a deletion of all, every story can be restored (${name})`, async (t) => {
    const store = await open(t)
    const stories = storyStore(store, HOUR)
    const ids = [oldId(), oldId(1), v7()].sort()
    for (const id of ids) await putStory(store, id, ['1.jpg'])
    await putOurs(store, `stories/${IMPORTED}/1.jpg`)
    await removeAllStories(stories)
    const deleted = await deletedIn(store)
    t.same(
      deleted.map(({ id }) => id),
      [IMPORTED, ...ids],
    )
    for (const { id } of deleted) await restoreStory(stories, id)
    t.same(await idsByRule(store), [IMPORTED, ...ids])
  })

  t.test(`a story of which anything is missing stays deleted (${name})`, async (t) => {
    const store = await open(t)
    const stories = storyStore(store, HOUR)
    const id = oldId()
    await t.rejects(restoreStory(stories, id), StoryNotKept, 'there was none')
    await t.rejects(restoreStory(stories, 'no-id'), StoryNotFound)
    await putStory(store, id, ['1.jpg', '2.jpg'])
    await removeStory(stories, id)
    await putOurs(store, `stories/${id}/2.jpg`)
    await store.delete([`stories/${id}/2.jpg`])
    await store.deleted?.purge({ prefix: `stories/${id}/` })
    await putOurs(store, `stories/${id}/0.2.json`)
    await putOurs(store, `stories/${id}/1.jpg`)
    await removeStory(stories, id)
    t.same(await deletedIn(store), [])
    await t.rejects(restoreStory(stories, id), StoryNotKept)
    t.same(await listKeys(store), [])
    t.same(await readTombstones(store), [])
  })

  t.test(`what is neither a story nor the rest of one is not offered (${name})`, async (t) => {
    const store = await open(t)
    const id = oldId()
    await putOurs(store, `stories/${id}/1.jpg`)
    await putOurs(store, `variants/${oldId(1)}/1.jpg.320.webp`)
    await new Sweeper(storyStore(store, HOUR), () => Date.now() + 100 * HOUR).sweep()
    t.same(await listKeys(store), [])
    t.same(await deletedIn(store), [])
  })

  t.test(`the interrupted deletion of a story can be undone at every step, also after a sweep (${name})`, async (t) => {
    for (const isSwept of [false, true]) {
      for (const deleted of [1, 2, 3]) {
        const store = await open(t)
        const stories = storyStore(store, HOUR)
        const id = oldId()
        await putStory(store, id, ['1.jpg', '2.jpg'])
        await putOurs(store, `${TOMBSTONES}${id}.${oldId(2)}`)
        const names = ['0.2.json', '1.jpg', '2.jpg'].slice(0, deleted)
        for (const each of names) await store.delete([`stories/${id}/${each}`], 'all')
        const sweeper = new Sweeper(stories, () => Date.now() + 100 * HOUR)
        if (isSwept) await sweeper.sweep()
        t.match(await deletedIn(store), [{ id, images: 2 }])
        await restoreStory(stories, id)
        t.same(await idsByRule(store), [id], `after ${deleted} deletions, ${isSwept ? 'swept' : 'not swept'}`)
        await sweeper.sweep()
        t.same(await idsOf(store, sweeper), [id])
        t.same(await readTombstones(store), [])
      }
    }
  })

  t.test(`what is being deleted is not restored at the same time (${name})`, async (t) => {
    const store = await open(t)
    const stories = storyStore(store, HOUR)
    const id = oldId()
    await putStory(store, id, ['1.jpg'])
    for (const of of [id, 'all']) {
      const tombstone = (await putTombstone(store, of)) as string
      await store.delete([`stories/${id}/0.1.json`], 'all')
      await t.rejects(restoreStory(stories, id), RestoreInterrupted)
      t.same(await idsByRule(store), [])
      await store.delete([tombstone])
      await restoreStory(stories, id)
      t.same(await idsByRule(store), [id])
    }
  })

  t.test(`an interrupted restore shows nothing, and a repetition finishes it (${name})`, async (t) => {
    const store = await open(t)
    const stories = storyStore(store, HOUR)
    const id = oldId()
    await putStory(store, id, ['1.jpg', '2.jpg'])
    const sweeper = new Sweeper(stories)
    await sweeper.sweep()
    await removeStory(stories, id)
    const died = new Error('the process died')
    for (const allowed of [0, 1]) {
      let left = allowed
      const deleted = {
        ...store.deleted,
        list: (options: { prefix: string }) => store.deleted?.list(options),
        restore: async (objects: never[]) => {
          if (left-- <= 0) {
            await store.deleted?.restore(objects.slice(0, 1))
            throw died
          }
          await store.deleted?.restore(objects)
        },
      } as unknown as NonNullable<ObjectStore['deleted']>
      if (allowed === 1) await store.delete([`stories/${id}/0.2.json`], 'all')
      await t.rejects(restoreStory({ ...stories, deleted }, id), died)
      if (allowed === 0) {
        t.same(await idsOf(store, sweeper), [])
        await sweeper.sweep()
        t.same(await idsByRule(store), [], 'a sweep at this time changes nothing')
        t.equal((await listKeys(store, { prefix: `stories/${id}/` })).length, 1)
      }
      await restoreStory(stories, id)
      t.same(await idsOf(store, sweeper), [id])
      t.same(await readTombstones(store), [])
    }
  })

  t.test(`of an imported story the images of its last deletion are restored (${name})`, async (t) => {
    const store = await open(t)
    const stories = storyStore(store, HOUR)
    // Ceph and AWS tell times to the second
    const tick = name === 'disk' ? 5 : 1100
    const put = async (names: string[]) => {
      for (const each of names) await putBytes(store, `stories/${IMPORTED}/${each}`, names.join())
      await sleep(tick)
    }
    await put(['1.jpg', '2.jpg', '3.jpg'])
    // A deletion can take long
    await store.delete([`stories/${IMPORTED}/1.jpg`], 'all')
    await sleep(tick)
    await removeStory(stories, IMPORTED)
    await sleep(tick)
    await put(['1.jpg', '2.png'])
    await removeStory(stories, IMPORTED)
    if (name.includes('stand-in')) return
    await restoreStory(stories, IMPORTED)
    t.same(
      await listKeys(store),
      ['1.jpg', '2.png'].map((each) => `stories/${IMPORTED}/${each}`),
    )
  })

  t.test(
    `a deletion for good leaves nothing to restore, of stories that are there and of deleted ones (${name})`,
    async (t) => {
      const store = await open(t)
      const stories = storyStore(store, HOUR)
      const [first, second, third] = [oldId(), oldId(1), oldId(2)]
      for (const id of [first, second, third]) await putStory(store, id, ['1.jpg'])
      await removeStory(stories, first)
      await purgeStories(stories, first)
      await purgeStories(stories, second)
      await t.rejects(purgeStories(stories, second), StoryNotFound)
      t.same(await deletedIn(store), [])
      t.same(await idsByRule(store), [third])
      await purgeStories(stories)
      t.same(await listKeys(store), [])
      t.same(await deletedIn(store), [])
      await t.rejects(restoreStory(stories, third), StoryNotKept)
    },
  )
}

t.test('a store that keeps nothing says so', async (t) => {
  for (const store of [await openDiskStore(await makeFolder(t)), await openOnStandIn(t, await startStandIn(t))]) {
    const stories = storyStore(store, HOUR)
    const id = oldId()
    await putStory(store, id, ['1.jpg'])
    await t.resolves(restoreStory(stories, id), 'a story that is there needs nothing')
    await removeStory(stories, id)
    await t.rejects(restoreStory(stories, id), DeletedNotKept)
    t.same(await deletedIn(store), [])
  }
})

t.test('a look for the stories that were deleted lately makes no call for each of the others', async (t) => {
  const standIn = await startStandIn(t, { dialect: { versioning: 'Enabled' } })
  const store = await openOnStandIn(t, standIn)
  for (let n = 0; n < 20; n++) {
    const id = oldId(n)
    await putStory(store, id, ['1.jpg'])
    await removeStory(storyStore(store, HOUR), id)
  }
  let calls = 0
  standIn.onCall = () => void calls++
  t.same(await deletedIn(store, new Date(Date.now() + HOUR)), [])
  t.ok(calls <= 3, `${calls} calls`)
})

t.test('a list of deleted stories takes a call for many of them, among stories that are there', async (t) => {
  const standIn = await startStandIn(t, { dialect: { versioning: 'Enabled' } })
  const store = await openOnStandIn(t, standIn)
  const stories = storyStore(store, HOUR)
  const deleted: string[] = []
  for (let n = 0; n < 60; n++) {
    const id = oldId(n)
    await putStory(store, id, ['1.jpg', '2.jpg'])
    if (n % 2 === 0) continue
    // Every other one of these is the rest of an interrupted deletion
    if (n % 4 === 1) await removeStory(stories, id)
    else await store.delete([`stories/${id}/0.2.json`], 'all')
    deleted.push(id)
  }
  // Nothing is left from which it could be restored
  await store.deleted?.purge({ prefix: `stories/${deleted.shift()}/` })
  let calls = 0
  standIn.onCall = () => void calls++
  t.match(
    await deletedIn(store),
    deleted.map((id) => ({ id, images: 2 })),
  )
  t.ok(calls <= 8, `${calls} calls for ${deleted.length} stories`)
})

t.test(
  'versions that are hidden are named by a restore, the list of deleted stories and a deletion for good',
  async (t) => {
    const notImplemented = { status: 501, code: 'NotImplemented' }
    for (const [versioning, fault, hidden, none] of [
      ['Enabled', 'access-denied', VersionsHidden, undefined],
      ['Suspended', 'access-denied', VersionsHidden, undefined],
      ['Enabled', notImplemented, undefined, DeletedNotKept],
      [undefined, 'access-denied', undefined, DeletedNotKept],
    ] as const) {
      const what = `${JSON.stringify(fault)}, versioning ${versioning}`
      const standIn = await startStandIn(t, { dialect: versioning ? { versioning } : {} })
      const store = await openOnStandIn(t, standIn)
      const stories = storyStore(store, HOUR)
      const [id, deleted] = [oldId(), oldId(1)]
      for (const each of [id, deleted]) await putStory(store, each, ['1.jpg'])
      await removeStory(stories, deleted)
      standIn.fail({ operation: 'ListObjectVersions' }, fault, Number.POSITIVE_INFINITY)
      await t.rejects(restoreStory(stories, deleted), hidden ?? none, what)
      await t.resolves(restoreStory(stories, id), 'a story that is there needs nothing')
      await t.rejects(deletedIn(store), hidden ?? none, what)
      t.same(await readTombstones(store), [])
      const purged = purgeStories(stories, id)
      if (hidden) await t.rejects(purged, hidden, what)
      else await t.resolves(purged, what)
      t.same(await listKeys(store), [])
    }
  },
)

t.test('after a deletion for good that was killed, a restore says when a sweep allows it again', async (t) => {
  const store = await openDiskStore(await makeFolder(t), [], WEEK)
  const stories = storyStore(store, HOUR)
  const id = oldId()
  await putStory(store, id, ['1.jpg'])
  await removeStory(stories, id)
  for (const of of [id, 'all']) {
    await putTombstone(store, of, 'purge')
    const error = await restoreStory(stories, id).catch((error) => error)
    t.type(error, PurgeUnderWay)
    t.match(error.message, /after 65 minutes/)
    t.equal((await readTombstones(store)).length, 1, 'that of the restore is removed')
    for (const [minutes, left] of [
      [64, 1],
      [66, 0],
    ] as const) {
      await new Sweeper(stories, () => Date.now() + minutes * 60_000).sweep()
      t.equal((await readTombstones(store)).length, left, `${minutes} minutes later`)
    }
    await restoreStory(stories, id)
    await removeStory(stories, id)
  }
})

t.test('of several deletions for good a restore waits for the last one', async (t) => {
  const store = await openDiskStore(await makeFolder(t), [], WEEK)
  const stories = storyStore(store, HOUR)
  const id = oldId()
  await putStory(store, id, ['1.jpg'])
  await removeStory(stories, id)
  const now = Date.now()
  let minutes = 0
  t.intercept(Date, 'now', { value: () => now + minutes * 60_000 })
  for (const orders of [
    ['all', id],
    [id, 'all'],
  ]) {
    const put: string[] = []
    for (const of of orders) {
      minutes += 20
      put.push((await putTombstone(store, of, 'purge')) ?? '')
    }
    await t.rejects(restoreStory(stories, id), /after 65 minutes/, orders.join())
    await store.delete(put)
  }
})

t.test('a sweep removes what the trash has kept for its time, and not before', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root, [], WEEK)
  const stories = storyStore(store, HOUR)
  const id = oldId()
  await putStory(store, id, ['1.jpg'])
  await removeStory(stories, id)
  const [story] = await deletedIn(store)
  t.equal(Number(story?.until) - Number(story?.deletedAt) >= WEEK, true)
  let now = Number(story?.until) - 1
  const sweeper = new Sweeper(stories, () => now)
  await sweeper.sweep()
  t.equal((await deletedIn(store)).length, 1)
  now += HOUR
  const removed: string[] = []
  await sweeper.sweep({ dryRun: true, onDebris: (path) => removed.push(path) })
  t.equal(removed.length, 4, 'an image and a record, each with its sidecar')
  t.equal((await deletedIn(store)).length, 1, 'a dry run removes nothing')
  await sweeper.sweep()
  t.same(await deletedIn(store), [])
  t.same(await readdir(join(root, '.trash')), [])
})
