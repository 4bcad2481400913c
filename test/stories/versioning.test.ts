import type { LifecycleRule } from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import { v7 } from 'uuid'
import type { ObjectStore } from '../../src/store/object-store.ts'
import { listNewest } from '../../src/stories/list-newest.ts'
import { removeAllStories, removeStory } from '../../src/stories/remove.ts'
import { deletedStories } from '../../src/stories/restore.ts'
import { listStoryIds } from '../../src/stories/story-ids.ts'
import { storyStore } from '../../src/stories/story-store.ts'
import { Sweeper } from '../../src/stories/sweep.ts'
import { listKeys } from '../support/bodies.ts'
import { engines, makeBucket, setLifecycle } from '../support/engines.ts'
import { putOurs, putStory } from '../support/recording-store.ts'
import { openOnEngine, openOnStandIn, startStandIn } from '../support/stores.ts'

const HOUR = 3_600_000
const LONG_AGO = Date.UTC(2024, 0, 1)

/** Buckets in which deleted objects leave versions, and with them common prefixes. */
const versioned: [string, (t: Test) => Promise<ObjectStore>][] = (['Enabled', 'Suspended'] as const).flatMap(
  (versioning) => [
    [
      `the stand-in, ${versioning}`,
      async (t: Test) => openOnStandIn(t, await startStandIn(t, { dialect: { versioning } })),
    ],
    ...engines.map((engine): [string, (t: Test) => Promise<ObjectStore>] => [
      `${engine.name}, ${versioning}`,
      async (t) => openOnEngine(t, engine, (await makeBucket(t, { ...engine, versioning })).Bucket, ''),
    ]),
  ],
)

const id = (n: number) => v7({ msecs: LONG_AGO + n * HOUR })
const imported = '00000000-0000-4000-8000-000000000001'

/** A sweeper to which all that is put now is old. */
const lateSweeper = (store: ObjectStore) => new Sweeper(storyStore(store, HOUR), () => Date.now() + 100 * HOUR)

async function idsOf(store: ObjectStore, sweeper: Sweeper, after?: string): Promise<string[]> {
  const ids: string[] = []
  for await (const page of listStoryIds(store, sweeper.watermark, after)) ids.push(...page)
  return ids
}

for (const [name, open] of versioned) {
  t.test(`deleted stories are in no list (${name})`, async (t) => {
    const store = await open(t)
    const ids = [1, 2, 3, 4].map(id)
    for (const story of ids) await putStory(store, story, ['1.jpg', '2.jpg'])
    await putOurs(store, `stories/${imported}/1.jpg`)
    const sweepers = [lateSweeper(store), lateSweeper(store)]
    for (const sweeper of sweepers) await sweeper.sweep()
    const [first, second, third, fourth] = ids as [string, string, string, string]
    await removeStory(storyStore(store, HOUR), second)
    await removeStory(storyStore(store, HOUR), imported)
    for (const sweeper of [...sweepers, new Sweeper(storyStore(store, HOUR))]) {
      t.same(await idsOf(store, sweeper), [first, third, fourth])
      t.same(await idsOf(store, sweeper, first), [third, fourth], 'behind an id')
      t.same(await idsOf(store, sweeper, imported), [first, third, fourth], 'behind a deleted one')
      await sweeper.sweep()
      t.same(await idsOf(store, sweeper), [first, third, fourth], 'nor after a sweep')
    }
    const newest: string[] = []
    for await (const page of listNewest(store, 10)) newest.push(...page.map((story) => story.id))
    t.same(newest, [fourth, third, first])
    await removeAllStories(storyStore(store, HOUR))
    for (const sweeper of sweepers) t.same(await idsOf(store, sweeper), [])
    t.same(await listKeys(store), [])
  })

  t.test(`variants of deleted stories are removed by a sweep, and by a deletion of all (${name})`, async (t) => {
    const store = await open(t)
    const [gone, whole] = [id(1), id(2)]
    const variant = (story: string) => `variants/${story}/1.jpg.320.webp`
    for (const remove of [
      () =>
        lateSweeper(store)
          .sweep({})
          .then(({ variants }) => t.equal(variants, 1)),
      () => removeAllStories(storyStore(store, HOUR)),
    ]) {
      for (const story of [gone, whole]) await putStory(store, story, ['1.jpg'])
      await putOurs(store, variant(whole))
      await removeStory(storyStore(store, HOUR), gone)
      // As by a server that made it while the story was deleted, and died then
      await putOurs(store, variant(gone))
      await remove()
      t.notOk((await listKeys(store)).includes(variant(gone)))
    }
    t.same(await listKeys(store), [], 'a deletion of all leaves nothing')
  })
}

/** Buckets with versioning and lifecycle rules. */
const withRules: [string, (t: Test, rules: LifecycleRule[]) => Promise<ObjectStore>][] = [
  [
    'the stand-in',
    async (t, rules) => {
      const standIn = await startStandIn(t, { dialect: { versioning: 'Enabled' } })
      await setLifecycle(standIn, standIn.bucket, rules)
      return openOnStandIn(t, standIn)
    },
  ],
  ...engines.map((engine): (typeof withRules)[number] => [
    engine.name,
    async (t, rules) => {
      const { Bucket } = await makeBucket(t, { ...engine, versioning: 'Enabled' })
      await setLifecycle(engine, Bucket, rules)
      return openOnEngine(t, engine, Bucket, '')
    },
  ]),
]

for (const [name, open] of withRules) {
  t.test(
    `the time until which deleted objects can be restored follows the rules of the bucket (${name})`,
    async (t) => {
      const [first, second] = [id(1), id(2)]
      const expiry = (prefix: string, NoncurrentDays: number, more = {}): LifecycleRule => ({
        ID: `${prefix} ${NoncurrentDays}`,
        Status: 'Enabled',
        Filter: { Prefix: prefix },
        NoncurrentVersionExpiration: { NoncurrentDays, ...more },
      })
      const store = await open(t, [
        expiry('stories/', 30),
        expiry(`stories/${first}/`, 7),
        { ...expiry('', 1), Status: 'Disabled' },
        // Ceph RGW ignores NewerNoncurrentVersions
        ...(name === 'Ceph RGW' ? [] : [expiry('', 2, { NewerNoncurrentVersions: 1 })]),
      ])
      for (const story of [first, second]) await putStory(store, story, ['1.jpg'])
      await putOurs(store, 'others/1')
      await store.delete(await listKeys(store))
      const days = new Map<string, number | undefined>()
      for await (const page of store.deleted?.list({ prefix: '' }) ?? [])
        for (const { key, deletedAt, until } of page)
          days.set(key.replace(/[^/]*$/, ''), until && (until.getTime() - deletedAt.getTime()) / (24 * HOUR))
      t.same(Object.fromEntries(days), { 'others/': undefined, [`stories/${first}/`]: 7, [`stories/${second}/`]: 30 })
      const ends: string[] = []
      for await (const { id: story, deletedAt, until } of deletedStories(store))
        ends.push(`${story} ${Math.round(((until?.getTime() ?? 0) - deletedAt.getTime()) / (24 * HOUR))}`)
      t.same(ends, [`${first} 7`, `${second} 30`])
    },
  )
}
