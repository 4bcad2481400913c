import t from 'tap'
import { v4, v7 } from 'uuid'
import { DeleteFailure, StoryNotFound } from '../../src/errors.ts'
import { removeAllStories, removeStory } from '../../src/stories/remove.ts'
import { storyStore } from '../../src/stories/story-store.ts'
import { Sweeper } from '../../src/stories/sweep.ts'
import { orphanedVariants } from '../../src/variants/remove.ts'
import { listKeys, putBytes } from '../support/bodies.ts'
import { putOurs, putStory, recordCalls } from '../support/recording-store.ts'
import { openOnStandIn, startStandIn, storesUnderTest } from '../support/stores.ts'

const HOUR = 3_600_000
const { open } = storesUnderTest[0] as (typeof storesUnderTest)[number]
const variantsOf = (id: string) =>
  ['1.jpg.160.webp', '1.jpg.320.plain', '12.jpeg.640x480.avif'].map((n) => `variants/${id}/${n}`)

for (const { name, open } of storesUnderTest) {
  t.test(`variants are deleted with their story, and those of others stay (${name})`, async (t) => {
    const store = await open(t)
    const [gone, imported, stays] = [v7(), v4(), v7()]
    for (const id of [gone, stays]) await putStory(store, id, ['1.jpg', '2.jpg'])
    await putBytes(store, `stories/${imported}/1.jpg`)
    for (const id of [gone, imported, stays]) for (const key of variantsOf(id)) await putOurs(store, key)
    const notes = `variants/${gone}/notes.txt`
    await putBytes(store, notes)
    for (const id of [gone, imported]) await removeStory(storyStore(store, HOUR), id)
    t.same(await listKeys(store, { prefix: 'variants/' }), [...variantsOf(stays), notes].sort())
    await removeAllStories(storyStore(store, HOUR))
    t.same(await listKeys(store), [notes])
  })

  t.test(`a sweep removes variants of deleted stories, and nothing else (${name})`, async (t) => {
    const store = await open(t)
    const orphans = [v7(), v7({ msecs: Date.now() - 100 * HOUR }), v4(), `00${v4().slice(2)}`].sort()
    for (const id of orphans) for (const key of variantsOf(id)) await putOurs(store, key)
    const [whole, imported, running, young] = [v7(), v4(), v7(), v7({ msecs: Date.now() + 20 * HOUR })]
    await putStory(store, whole, ['1.jpg'])
    await putBytes(store, `stories/${imported}/1.jpg`)
    for (const id of [whole, imported]) for (const key of variantsOf(id)) await putOurs(store, key)
    // Written by somebody else, or not named like variants
    await putBytes(store, `variants/${running}/1.jpg.160.webp`)
    for (const key of [`variants/${running}/1.jpg`, `variants/${running}/1.jpg.0.webp`, 'variants/1.jpg.160.webp']) {
      await putOurs(store, key)
    }
    const before = await listKeys(store)
    const told: string[] = []
    const sweep = (now: number, dryRun = false) =>
      new Sweeper(storyStore(store, HOUR), () => now).sweep({ dryRun, onRemoved: (_, keys) => told.push(...keys) })
    t.equal((await sweep(Date.now())).variants, 0, 'a young one may belong to an upload that is not over')
    const late = Date.now() + 10 * HOUR
    t.equal((await sweep(late, true)).variants, 12)
    t.same(await listKeys(store), before, 'a dry run changes nothing')
    t.same(told.splice(0).sort(), orphans.flatMap(variantsOf).sort())
    await putOurs(store, `variants/${young}/1.jpg.160.webp`)
    t.same(await sweep(late), { stories: 0, keys: 0, idempotencyKeys: 0, variants: 13, left: 0 })
    const left = before.filter((key) => !orphans.some((id) => key.includes(id)))
    t.same(await listKeys(store), left)
  })
}

t.test(
  'a deletion that failed before it removed the variants is completed by the next one, which succeeds',
  async (t) => {
    for (const removal of ['one', 'all'] as const) {
      const store = await open(t)
      const id = v7()
      await putStory(store, id, ['1.jpg'])
      for (const key of variantsOf(id)) await putOurs(store, key)
      const broken = recordCalls(store, {
        delete: async (keys) => {
          if (keys.some((key) => key.startsWith('variants/'))) throw new DeleteFailure(keys)
          return store.delete(keys)
        },
      })
      const remove = (from: typeof store) =>
        removal === 'one' ? removeStory(storyStore(from, HOUR), id) : removeAllStories(storyStore(from, HOUR))
      await t.rejects(remove(broken), DeleteFailure)
      t.same(await listKeys(store, { after: 'stories/-deleting/b' }), variantsOf(id), 'readers no longer see the story')
      await remove(store)
      t.same(await listKeys(store), [])
      if (removal === 'one') await t.rejects(remove(store), StoryNotFound)
    }
  },
)

t.test('looking for orphans makes no call for each story', async (t) => {
  const standIn = await startStandIn(t)
  const store = await openOnStandIn(t, standIn)
  const orphans: string[] = []
  for (let n = 0; n < 2500; n++) {
    const id = v7()
    if (n % 5 === 0) orphans.push(id)
    else standIn.place(`stories/${id}/1.jpg`, 'x')
    standIn.place(`variants/${id}/1.jpg.160.webp`, 'x')
  }
  const found: string[] = []
  for await (const page of orphanedVariants(store)) found.push(...page.map(({ storyId }) => storyId))
  t.same(found, orphans.sort())
  t.ok(standIn.calls.length < 12, `${standIn.calls.length} calls`)
})
