import { randomUUID } from 'node:crypto'
import t from 'tap'
import { v7 } from 'uuid'
import { StoryNotFound } from '../../src/errors.ts'
import type { ObjectStore } from '../../src/store/object-store.ts'
import { findStory, listStories, pageOf } from '../../src/stories/list.ts'
import { putBytes } from '../support/bodies.ts'
import { ALL } from '../support/extent.ts'
import { putStory } from '../support/recording-store.ts'
import { storesUnderTest } from '../support/stores.ts'

const disk = storesUnderTest[0] as (typeof storesUnderTest)[number]
const open = disk.open

const ownId = (n: number) => v7({ msecs: Date.UTC(2024, 0, 1) + n })

async function idsOf(store: ObjectStore, after?: string): Promise<string[]> {
  const ids: string[] = []
  for await (const stories of listStories(store, after)) ids.push(...stories.map((story) => story.id))
  return ids
}

t.test('a list shows stories alone: no upload under way, no broken one, no file of others', async (t) => {
  const store = await open(t)
  const ids = Array.from({ length: 8 }, (_, i) => ownId(i)) as [string, ...string[]]
  await putStory(store, ids[0], ['1.jpg', '2.png'])
  await putBytes(store, `stories/${ids[1]}/1.jpg`)
  await putStory(store, ids[2] as string, [], 2)
  await putStory(store, ids[3] as string, ['1.jpg', '2.jpg'], 3)
  await putStory(store, ids[4] as string, ['1.jpg', '3.jpg'])
  await putStory(store, ids[5] as string, ['1.jpg', '1.png'])
  await putStory(store, ids[6] as string, ['1.jpg', 'notes.txt'], 1)
  await putStory(store, ids[7] as string, ['1.jpg'])
  await putBytes(store, `stories/${ids[7]}/0.2.json`)
  const imported = randomUUID()
  await putBytes(store, `stories/${imported}/5.jpeg`)
  await putBytes(store, `stories/${randomUUID()}/readme.txt`)
  for (const key of ['1.jpg', 'stories/1.jpg', 'stories/a/1.jpg', `other/${ids[0]}/1.jpg`]) await putBytes(store, key)
  t.same(await idsOf(store), [ids[0], ids[6], imported].sort())
})

t.test('images come in the order of their numbers, stories in the order of their ids', async (t) => {
  const store = await open(t)
  const ids = [ownId(3), ownId(1), ownId(2)] as const
  for (const id of ids)
    await putStory(
      store,
      id,
      Array.from({ length: 12 }, (_, i) => `${i + 1}.jpg`),
    )
  t.same(await idsOf(store), [...ids].sort())
  const story = await findStory(store, ids[0])
  t.same(
    story.images.map((image) => image.key),
    Array.from({ length: 12 }, (_, i) => `stories/${ids[0]}/${i + 1}.jpg`),
  )
})

t.test('a story that lies on two pages of the store is whole', async (t) => {
  const { store, fill } = await disk.inspect(t)
  const long = ALL ? 1500 : 400
  const keys = [1, 700, long, 3].map((count, n) => {
    const id = ownId(n)
    return {
      id,
      count,
      keys: [`stories/${id}/0.${count}.json`, ...Array.from({ length: count }, (_, i) => `stories/${id}/${i + 1}.jpg`)],
    }
  })
  await fill(keys.flatMap((story) => story.keys))
  const counts: [string, number][] = []
  for await (const stories of listStories(store))
    counts.push(...stories.map((s) => [s.id, s.images.length] as [string, number]))
  t.same(
    counts,
    keys.map(({ id, count }) => [id, count]),
  )
  t.equal((await findStory(store, keys[2]?.id ?? '')).images.length, long)
})

t.test('pages hold whole stories, as many as asked for, and say whether there are more', async (t) => {
  const store = await open(t)
  const ids = Array.from({ length: 5 }, (_, i) => ownId(2 * i))
  for (const id of ids) await putStory(store, id, ['1.jpg', '2.jpg'])
  // Behind the last story there is something, but no story
  await putBytes(store, `stories/${ownId(20)}/1.jpg`)
  for (const [limit, after, expected, more] of [
    [5, undefined, ids, false],
    [4, undefined, ids.slice(0, 4), true],
    [1, undefined, ids.slice(0, 1), true],
    [1000, undefined, ids, false],
    [2, ids[1], ids.slice(2, 4), true],
    [3, ids[1], ids.slice(2), false],
    [2, ids[4], [], false],
    [2, ownId(3), ids.slice(2, 4), true],
    [2, '00000000-0000-0000-0000-000000000000', ids.slice(0, 2), true],
  ] as const) {
    const page = await pageOf(listStories(store, after), limit, (story) => story)
    const next = more ? expected.at(-1) : undefined
    t.same({ ids: page.items.map((story) => story.id), next: page.next }, { ids: expected, next })
    for (const story of page.items) t.equal(story.images.length, 2)
  }
  t.same(await idsOf(store, ids[2]), ids.slice(3))
})

t.test('an empty store has no stories', async (t) => {
  const store = await open(t)
  t.same(await idsOf(store), [])
  t.same(await pageOf(listStories(store), 10, (story) => story), { items: [], next: undefined })
})

t.test('a story that is not there, or by no rule, is StoryNotFound', async (t) => {
  const store = await open(t)
  const begun = ownId(1)
  await putBytes(store, `stories/${begun}/1.jpg`)
  for (const id of [
    begun,
    ownId(2),
    randomUUID(),
    'x',
    '',
    '..',
    `${begun}/`,
    begun.toUpperCase(),
    'a'.repeat(10_000),
  ]) {
    const error = await findStory(store, id).catch((error) => error)
    t.type(error, StoryNotFound)
    t.ok(error.message.length < 300)
  }
  await putBytes(store, `stories/${begun}/0.1.json`)
  t.equal((await findStory(store, begun)).images.length, 1, 'with its record it is there')
})

t.test('a reader who has enough ends the work of the store', async (t) => {
  const { store, fill, held } = await disk.inspect(t)
  const ids = Array.from({ length: 1100 }, () => randomUUID())
  await fill(ids.map((id) => `stories/${id}/1.jpg`))
  let pages = 0
  const counting: ObjectStore = {
    ...store,
    async *list(options) {
      for await (const page of store.list(options)) {
        pages += 1
        yield page
      }
    },
  }
  t.equal((await pageOf(listStories(counting), 10, ({ id }) => id)).items.length, 10)
  t.equal(pages, 1)
  t.equal((await held()) ?? 0, 0)
})
