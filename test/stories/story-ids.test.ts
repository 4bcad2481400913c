import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { v7 } from 'uuid'
import { StoreFailure, StoreUnavailable } from '../../src/errors.ts'
import { TOMBSTONES } from '../../src/layout/tombstone.ts'
import type { ObjectStore } from '../../src/store/object-store.ts'
import { listStories, pageOf } from '../../src/stories/list.ts'
import { removeAllStories, removeStory } from '../../src/stories/remove.ts'
import { listStoryIds, type Watermark } from '../../src/stories/story-ids.ts'
import { storyStore } from '../../src/stories/story-store.ts'
import { Sweeper } from '../../src/stories/sweep.ts'
import { putTombstone } from '../../src/stories/tombstone.ts'
import { putBytes } from '../support/bodies.ts'
import { ALL } from '../support/extent.ts'
import { chance, oneOf, randomFrom } from '../support/random.ts'
import { putOurs, putStory } from '../support/recording-store.ts'
import type { S3StandIn } from '../support/s3-stand-in.ts'
import { openOnStandIn, startStandIn, storesUnderTest } from '../support/stores.ts'

const HOUR = 3_600_000
const LONG_AGO = Date.UTC(2024, 0, 1)

for (const { name, open } of storesUnderTest) {
  t.test(`ids are the same from common prefixes as from keys (${name})`, async (t) => {
    const store = await open(t)
    const id = (n: number) => v7({ msecs: LONG_AGO + n * HOUR })
    for (let n = 0; n < 4; n++) await putStory(store, id(n), ['1.jpg', '2.jpg'])
    // Below the ids of today, and above
    const low = '00000000-0000-4000-8000-000000000001'
    for (const imported of [low, 'ffffffff-0000-4000-8000-000000000001']) {
      await putBytes(store, `stories/${imported}/1.jpg`)
    }
    await putBytes(store, 'stories/00000000-0000-4000-8000-000000000002/notes.txt')
    await putBytes(store, `stories/${id(5)}/notes.txt`)
    await putBytes(store, `stories/${id(6)}/1.jpg`)
    await putOurs(store, `stories/${id(7)}/1.jpg`)
    for (const key of ['stories/readme/1.jpg', 'stories/!/1.jpg', 'stories/1.jpg']) await putBytes(store, key)
    const [young, begun] = [v7({ msecs: Date.now() + 100 * HOUR }), v7({ msecs: Date.now() + 101 * HOUR })]
    await putStory(store, young, ['1.jpg'])
    await putOurs(store, `stories/${begun}/1.jpg`)
    const sweeper = lateSweeper(store)
    await sweeper.sweep()
    const expected = await idsByRule(store)
    t.equal(expected.length, 7)
    await same(t, store, sweeper.watermark, 'after a sweep')
    // A deletion that is interrupted takes a story out of the list, whoever has swept
    const breaking = { ...store, delete: breakingDelete(store, 1) }
    await t.rejects(removeStory(storyStore(breaking, HOUR), expected[2] as string), StoreUnavailable)
    await same(t, store, sweeper.watermark, 'after a deletion that was interrupted')
    t.same(await idsOf(store, sweeper.watermark), expected.toSpliced(2, 1))
    // A record that comes by hand brings one in
    await putBytes(store, `stories/${id(8)}/1.jpg`)
    await lateSweeper(store).sweep()
    await t.rejects(
      removeAllStories(storyStore({ ...store, delete: breakingDelete(store, 1) }, HOUR)),
      StoreUnavailable,
    )
    await same(t, store, sweeper.watermark, 'after a removal of all that was interrupted')
  })
}

t.test('ids need a page for each thousand stories, and each exception a look-up', async (t) => {
  const standIn = await startStandIn(t)
  const store = await openOnStandIn(t, standIn)
  const ids = Array.from({ length: 3000 }, (_, n) => v7({ msecs: LONG_AGO + n }))
  for (const id of ids) place(standIn, id, ['0.3.json', '1.jpg', '2.jpg', '3.jpg'])
  const sweeper = lateSweeper(store)
  await sweeper.sweep()
  const calls = async (after?: string, limit?: number) => {
    const begin = standIn.calls.length
    const list = listStoryIds(store, sweeper.watermark, after)
    if (limit === undefined) for await (const _ of list);
    else await pageOf(list, limit, (id) => id)
    return standIn.calls.length - begin
  }
  t.equal(await calls(), 4, 'three pages, and what is above the watermark')
  t.equal(await calls(ids[1499]), 4, 'two pages, tombstones, and what is above the watermark')
  t.equal(await calls(ids[2998], 1), 3)
  t.equal(await calls('ffffffff-0000-4000-8000-000000000000'), 1, 'above the watermark there is nothing to save')
  await putTombstone(store, ids[7] as string)
  t.equal(await calls(), 1 + 1 + 4 + 1 + 1, 'tombstones, then from the start: one prefix more, and a look')
  await putTombstone(store, 'all')
  t.ok((await calls()) > 12, 'keys')
  await same(t, store, sweeper.watermark, 'with tombstones')
})

t.test('many exceptions on a page are looked up by its keys', async (t) => {
  const standIn = await startStandIn(t, { pageSize: 200 })
  const store = await openOnStandIn(t, standIn)
  for (let n = 0; n < 500; n++) {
    const imported = `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
    standIn.place(`stories/${imported}/${n % 3 ? '1.jpg' : 'notes.txt'}`, '')
    place(standIn, v7({ msecs: LONG_AGO + n }), ['0.1.json', '1.jpg'])
  }
  const sweeper = lateSweeper(store)
  await sweeper.sweep()
  const begin = standIn.calls.length
  await idsOf(store, sweeper.watermark)
  t.ok(standIn.calls.length - begin < 60, `${standIn.calls.length - begin} calls`)
  await same(t, store, sweeper.watermark, 'with 500 imported ids')
  for (let n = 0; n < 1001; n++) standIn.place(`${TOMBSTONES}${randomUUID()}.${v7()}`, '')
  await same(t, store, sweeper.watermark, 'with more tombstones than are looked at')
})

t.test('a store that fails on a look fails the list', async (t) => {
  const standIn = await startStandIn(t)
  const store = await openOnStandIn(t, standIn)
  standIn.place('stories/00000000-0000-4000-8000-000000000001/1.jpg', '')
  const sweeper = lateSweeper(store)
  await sweeper.sweep()
  standIn.fail({ operation: 'ListObjectsV2', key: /0001\/$/ }, 'access-denied')
  await t.rejects(idsOf(store, sweeper.watermark), StoreFailure)
})

/**
 * Random buckets, and random things that happen to them: whatever it is, the ids below the watermark are those of the commit
 * rule, for every server.
 */
t.test('whatever happens to a bucket, the list of ids keeps to the commit rule', async (t) => {
  const start = Date.now()
  let now = start
  t.intercept(Date, 'now', { value: () => now })
  for (let seed = 1; seed <= (ALL ? 20 : 1); seed++) {
    now = start
    const random = randomFrom(seed)
    const standIn = await startStandIn(t, { pageSize: oneOf([5, 50], random) })
    const store = await openOnStandIn(t, standIn, { listConcurrency: oneOf([1, 4], random) })
    const sweepers = [1, 2].map(() => new Sweeper(storyStore(store, HOUR)))
    const ids: string[] = []
    const count = 1 + Math.floor(random() * 60)
    for (let n = 0; n < count; n++) ids.push(placeAny(standIn, start, random))
    const happened: string[] = []
    for (let step = 0; step < 8; step++) {
      const what = oneOf(Object.keys(EVENTS) as (keyof typeof EVENTS)[], random)
      const sweeper = oneOf(sweepers, random)
      now += Math.floor(random() * 2 * HOUR)
      happened.push(what)
      await EVENTS[what]({ store, standIn, sweeper, ids, random, now })
      for (const { watermark } of sweepers) {
        if (!(await same(t, store, watermark, `seed ${seed}, after ${happened}`, random))) return
      }
    }
    await standIn.close()
  }
})

interface World {
  readonly store: ObjectStore
  readonly standIn: S3StandIn
  readonly sweeper: Sweeper
  readonly ids: string[]
  readonly random: () => number
  readonly now: number
}

const EVENTS = {
  sweep: async ({ sweeper }: World) => void (await sweeper.sweep()),
  'another sweep': async ({ sweeper }: World) => void (await sweeper.sweep()),
  'a deletion': ({ store, ids, random }: World) =>
    removeStory(storyStore(store, HOUR), oneOf(ids, random)).catch(() => {}),
  'an interrupted deletion': async ({ store, ids, random }: World) => {
    const breaking = { ...store, delete: breakingDelete(store, Math.floor(random() * 3)) }
    for (let n = 0; n < 3; n++) await removeStory(storyStore(breaking, HOUR), oneOf(ids, random)).catch(() => {})
  },
  'an interrupted deletion of all': ({ store, random }: World) =>
    removeAllStories(storyStore({ ...store, delete: breakingDelete(store, Math.floor(random() * 3), 5) }, HOUR)).catch(
      () => {},
    ),
  'a deletion of all': async ({ store, random }: World) => {
    if (chance(0.3, random)) await removeAllStories(storyStore(store, HOUR))
  },
  uploads: async ({ standIn, ids, random, now }: World) => {
    for (let n = 0; n < 3; n++) {
      const id = v7({ msecs: now - n })
      ids.push(id)
      if (chance(0.7, random)) place(standIn, id, ['0.1.json', '1.jpg'])
      else place(standIn, id, ['1.jpg'])
    }
  },
  'a record by hand': async ({ sweeper, standIn, random }: World) => {
    const exceptions = [...(sweeper.watermark?.exceptions ?? [])]
    if (exceptions.length > 0) standIn.place(`stories/${oneOf(exceptions, random)}/0.1.json`, '{}')
  },
}

/** What may be in a bucket under one id. */
function placeAny(standIn: S3StandIn, start: number, random: () => number): string {
  const age = oneOf([0, 0.5, 1.05, 3, 100, 10_000], random) * HOUR * (0.5 + random())
  const own = v7({ msecs: Math.floor(start - age) })
  const isImported = chance(0.3, random)
  // Most of them below today's ids, where common prefixes are read
  const imported = chance(0.8, random) ? `00${randomUUID().slice(2)}` : randomUUID()
  const id = isImported ? imported : own
  const names = oneOf(
    [
      ['0.1.json', '1.jpg'],
      ['0.2.json', '1.jpg', '2.png'],
      ['0.2.json', '1.jpg', '2.png', 'notes.txt'],
      ['0.2.json', '1.jpg'],
      ['0.1.json', '0.2.json', '1.jpg'],
      ['0.1.json'],
      ['1.jpg'],
      ['1.jpg', '2.jpg', 'folder/1.jpg'],
      ['notes.txt'],
    ],
    random,
  )
  const byHand = chance(0.2, random)
  if (byHand) for (const name of names) standIn.place(`stories/${id}/${name}`, '')
  else place(standIn, id, names, start - age)
  if (chance(0.05, random)) standIn.place(`${TOMBSTONES}${chance(0.2, random) ? 'all' : id}.${own}`, '')
  if (chance(0.05, random)) standIn.place(oneOf(['stories/x/1.jpg', 'stories/1.jpg', 'stories/!/a'], random), '')
  return id
}

/** Deletes a part of what it is to delete after some whole calls, and then nothing any more: as a process that dies. */
function breakingDelete(store: ObjectStore, after: number, keep = 1): ObjectStore['delete'] {
  let calls = 0
  return async (keys) => {
    if (calls++ < after) return store.delete(keys)
    if (calls === after + 1) await store.delete(keys.slice(keep))
    throw new StoreUnavailable()
  }
}

/** Whether both ways lead to the same ids: all, behind some id, and page after page. */
async function same(t: Test, store: ObjectStore, watermark: Watermark | undefined, what: string, random = Math.random) {
  const expected = await idsByRule(store)
  const all = await idsOf(store, watermark)
  const after = oneOf([randomUUID(), v7(), ...expected], random)
  const limit = 1 + Math.floor(random() * 10)
  const behind = expected.filter((id) => id > after)
  const page = await pageOf(listStoryIds(store, watermark, after), limit, (id) => id)
  return (
    t.same(all, expected, what) &&
    t.same(await idsOf(store, watermark, after), behind, `${what}, behind ${after}`) &&
    t.same(
      page,
      { items: behind.slice(0, limit), next: behind.length > limit ? behind[limit - 1] : undefined },
      `${what}, ${limit} behind ${after}`,
    )
  )
}

async function idsOf(store: ObjectStore, watermark: Watermark | undefined, after?: string): Promise<string[]> {
  const ids: string[] = []
  for await (const page of listStoryIds(store, watermark, after)) ids.push(...page)
  return ids
}

async function idsByRule(store: ObjectStore): Promise<string[]> {
  const ids: string[] = []
  for await (const stories of listStories(store)) ids.push(...stories.map(({ id }) => id))
  return ids
}

/** A sweeper to which all that is put now is old. */
function lateSweeper(store: ObjectStore): Sweeper {
  return new Sweeper(storyStore(store, HOUR), () => Date.now() + 10 * HOUR)
}

/** Objects of ours below a story id. */
function place(standIn: S3StandIn, id: string, names: readonly string[], modified = LONG_AGO): void {
  const about = { metadata: { 'written-by': 'story-images' }, lastModified: new Date(modified) }
  for (const name of names) standIn.place(`stories/${id}/${name}`, 'x', about)
}
