import { randomUUID } from 'node:crypto'
import t from 'tap'
import { v7 } from 'uuid'
import { isOwnId, ownIdTime, type Story } from '../../src/layout/story.ts'
import type { ListOptions, ObjectStore } from '../../src/store/object-store.ts'
import { listStories, PAGE_IMAGES, pageOf } from '../../src/stories/list.ts'
import { listNewest } from '../../src/stories/list-newest.ts'
import { openMemoryStore } from '../attack/memory-store.ts'
import { ALL, sample } from '../support/extent.ts'
import { chance, oneOf, randomFrom } from '../support/random.ts'
import { putStory } from '../support/recording-store.ts'
import { openOnStandIn, startStandIn, storesUnderTest } from '../support/stores.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const YEAR = 365 * DAY

/** The order as it is defined, made from the list of all stories. */
async function sortedReference(store: ObjectStore): Promise<Story[]> {
  const stories: Story[] = []
  for await (const found of listStories(store)) stories.push(...found)
  const isDated = ({ id }: Story) => isOwnId(id) && ownIdTime(id) < Date.now() + DAY
  return [...stories.filter(isDated).reverse(), ...stories.filter((story) => !isDated(story))]
}

async function pagesOf(store: ObjectStore, limit: number, most = Number.POSITIVE_INFINITY): Promise<Story[]> {
  const stories: Story[] = []
  for (let pages = 0; ; ) {
    const list = listNewest(store, limit + 1, stories.at(-1)?.id)
    const { items, next } = await pageOf(list, limit, (story) => story)
    stories.push(...items)
    if (next === undefined || ++pages >= most) return stories
    if (items.length !== limit && imagesOf(items) < PAGE_IMAGES / 2)
      throw new Error(`A page of ${items.length}, and more`)
  }
}

const imagesOf = (stories: readonly Story[]) => stories.reduce((sum, { images }) => sum + images.length, 0)

/** A store in memory that lists in pages of a size. */
function pagedStore(size: number) {
  const keys: string[] = []
  let isSorted = true
  const found = ({ prefix, after = '', before = '~' }: ListOptions) => {
    if (!isSorted) keys.sort()
    isSorted = true
    return keys.filter((key) => key.startsWith(prefix) && key > after && key < before)
  }
  async function* inPages<Item>(items: Item[]) {
    for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size)
  }
  const store: ObjectStore = {
    ...openMemoryStore(),
    list: (options) => inPages(found(options).map((key) => ({ key, size: 0, modified: '2024-03-20T10:30:00.000Z' }))),
    listPrefixes: (options) => inPages([...new Set(found(options).map((key) => key.slice(0, 45)))]),
  }
  const place = (id: string, names: readonly string[]) => {
    isSorted = false
    for (const name of names) keys.push(`stories/${id}/${name}`)
  }
  return { store, place }
}

/** An id of ours of this time, the same for the same random numbers. */
const ownId = (msecs: number, random: () => number) =>
  v7({ msecs: Math.floor(msecs), random: Uint8Array.from({ length: 16 }, () => Math.floor(random() * 256)) })

const SHAPES: Readonly<Record<string, (random: () => number, n: number) => number>> = {
  'the last hours': (random) => random() * 5 * HOUR,
  years: (random) => random() * 20 * YEAR,
  'one millisecond': () => 3 * DAY,
  'three milliseconds, long ago': (random) => 7 * YEAR + Math.floor(random() * 3),
  'bursts with gaps of years': (random) => Math.floor(random() * 4) * 3 * YEAR + random() * 1000,
  'ever fewer': (random) => 10 ** (random() * 12),
  'since 1970': (random) => random() * Date.now(),
  'clocks ahead': (random) => (random() - 0.5) * 3 * DAY,
  'one a day': (_random, n) => n * DAY,
  'one after another': (_random, n) => 2 * YEAR + n,
}

for (const [shape, age] of Object.entries(SHAPES)) {
  t.test(`newest first, nothing is lost and nothing comes twice: ${shape}`, async (t) => {
    for (let seed = 1; seed <= (ALL ? 5 : 2); seed++) {
      const random = randomFrom(seed)
      const { store, place } = pagedStore(oneOf([1000, 1000, 50, 7], random))
      const count = Math.floor(10 ** (random() * 3))
      const now = Date.now()
      const imported = oneOf([0, 0.05, 0.9, 1], random)
      for (let n = 0; n < count; n++) {
        const own = ownId(now - age(random, n), random)
        // Of another version, and beside those of ours, or anywhere
        const id = chance(imported, random)
          ? chance(0.5, random)
            ? `${own.slice(0, 14)}4${own.slice(15)}`
            : v4(random)
          : own
        const isWhole = chance(0.8, random)
        const images = Array.from({ length: 1 + Math.floor(random() * 4) }, (_, i) => `${i + 1}.jpg`)
        place(id, isWhole ? [`0.${images.length}.json`, ...images] : images)
      }
      const expected = (await sortedReference(store)).map(({ id }) => id)
      for (const limit of [1 + Math.floor(random() * 9), 50, 1000]) {
        const most = limit < 10 ? 20 : 200
        const found = await pagesOf(store, limit, most)
        t.same(
          found.map(({ id }) => id),
          expected.slice(0, found.length < limit * most ? undefined : limit * most),
          `seed ${seed}, ${limit} a page`,
        )
      }
    }
  })
}

/** A UUID of version 4 from random numbers. */
function v4(random: () => number): string {
  const own = ownId(random() * 2 ** 48, random)
  return `${own.slice(0, 14)}4${own.slice(15)}`
}

t.test('of thousands of stories of one millisecond none is lost, and of a story come all images', async (t) => {
  const random = randomFrom(1)
  const { store, place } = pagedStore(1000)
  for (let n = 0; n < 2000; n++) place(ownId(Date.now() - HOUR, random), ['0.2.json', '1.jpg', '2.png'])
  const names = Array.from({ length: 12 }, (_, n) => `${n + 1}.jpg`)
  place(ownId(Date.now(), random), ['0.12.json', ...names])
  const found = await pagesOf(store, 400)
  const idsOf = (stories: readonly Story[]) => stories.map(({ id }) => id)
  t.same(idsOf(found), idsOf(await sortedReference(store)))
  t.same(
    found[0]?.images.map(({ number }) => number),
    names.map((_, n) => n + 1),
  )
})

/** Image counts of stories, and their ages, which make pages end by their images. */
const LARGE: Readonly<Record<string, (n: number, random: () => number) => readonly [images: number, age: number]>> = {
  '100 images in each': (n) => [100, n * HOUR],
  '100 images in each, at once': (n) => [100, YEAR + n],
  'as many as a page, and one more': (n) => [n % 3 === 0 ? PAGE_IMAGES + 1 : PAGE_IMAGES, n * DAY],
  'more than a page, years apart': (n) => [PAGE_IMAGES + 1, n * 5 * YEAR],
  'any number': (_n, random) => [Math.ceil(10 ** (random() * 4.2)), 10 ** (random() * 11)],
}

for (const [what, shape] of Object.entries(LARGE)) {
  t.test(`pages of large stories end early, lose none and hold few images: ${what}`, async (t) => {
    const random = randomFrom(3)
    const { store, place } = pagedStore(1000)
    for (let n = 0, images = 0; images < 5 * PAGE_IMAGES; n++) {
      const [count, age] = shape(n, random)
      images += count
      place(ownId(Date.now() - age, random), [
        `0.${count}.json`,
        ...Array.from({ length: count }, (_, i) => `${i + 1}.jpg`),
      ])
    }
    const expected = await sortedReference(store)
    const largest = Math.max(...expected.map(({ images }) => images.length))
    for (const order of ['newest', 'by id'] as const) {
      const found: string[] = []
      let next: string | undefined
      do {
        let held = 0
        const list = order === 'newest' ? listNewest(store, 1001, next) : listStories(store, next)
        const watched = (async function* () {
          for await (const stories of list) {
            held = Math.max(held, imagesOf(stories))
            yield stories
          }
        })()
        const page = await pageOf(watched, 1000, ({ id, images }) => ({ id, images: images.length }))
        const images = page.items.reduce((sum, { images }) => sum + images, 0)
        found.push(...page.items.map(({ id }) => id))
        if (page.items.length !== 1 && images > PAGE_IMAGES) t.fail(`${images} images on a page`)
        if (held > PAGE_IMAGES + 2 * largest) t.fail(`${held} images held`)
        if (page.items.length === 0) t.fail('an empty page')
        next = page.next
      } while (next !== undefined)
      const ids = expected.map(({ id }) => id)
      t.same(found, order === 'newest' ? ids : ids.toReversed(), order)
    }
  })
}

for (const { name, open } of storesUnderTest) {
  t.test(`the newest come first, what is imported or from the future last (${name})`, async (t) => {
    const store = await open(t)
    const now = Date.now()
    const ids = [0, 1000, HOUR, 40 * DAY, 9 * YEAR].map((age) => v7({ msecs: now - age }))
    const ahead = v7({ msecs: now + HOUR })
    const later = v7({ msecs: now + 30 * DAY })
    const imported = ['00000000-0000-4000-8000-000000000001', `${ids[2]?.slice(0, 14)}4${ids[2]?.slice(15)}`]
    for (const id of [...ids, ahead, later, ...imported]) await putStory(store, id, ['1.jpg'])
    await putStory(store, v7(), ['1.jpg'], 2)
    for (const limit of [1, 2, 5, 100]) {
      t.same(
        (await pagesOf(store, limit)).map(({ id }) => id),
        [ahead, ...ids, ...imported, later],
      )
    }
  })
}

t.test('a page takes a few calls of the store, however many stories there are', async (t) => {
  const begin = Date.now()
  const most = async (what: string, times: (n: number) => number, count: number, bounds: readonly [number, number]) => {
    const standIn = await startStandIn(t)
    const store = await openOnStandIn(t, standIn)
    const random = randomFrom(7)
    for (let n = 0; n < count; n++) {
      const id = ownId(times(n), random)
      for (const name of ['0.2.json', '1.jpg', '2.jpg']) standIn.place(`stories/${id}/${name}`, '')
    }
    let after: string | undefined
    for (const bound of bounds) {
      const before = standIn.calls.length
      const { items } = await pageOf(listNewest(store, 51, after), 50, ({ id }) => id)
      const calls = standIn.calls.length - before
      t.ok(calls <= bound, `${what}: ${calls} calls`)
      t.equal(items.length, Math.min(50, count))
      after = items.at(-1)
    }
    await standIn.close()
  }
  for (const [what, times, count, bounds] of sample<Parameters<typeof most>>(
    [
      ['no story', () => 0, 0, [8, 8]],
      ['ten seconds, years ago', (n) => begin - 2 * YEAR - n, 10_000, [18, 4]],
      ['one a day', (n) => begin - n * DAY, 3000, [4, 4]],
      ['an hour of many, just now', (n) => begin - n * 1200, 3000, [6, 4]],
      ['one a minute', (n) => begin - n * 60_000, 3000, [4, 4]],
      ['ten seconds, hours ago', (n) => begin - 5 * HOUR - n, 3000, [15, 4]],
      ['an import, and then one a week', (n) => begin - (n < 30 ? n * 7 * DAY : YEAR + n), 3000, [18, 6]],
    ],
    2,
  ))
    await most(what, times, count, bounds)
})

t.test('where all stories are imported no page reads the whole bucket', async (t) => {
  const standIn = await startStandIn(t)
  const store = await openOnStandIn(t, standIn)
  for (let n = 0; n < (ALL ? 10_000 : 3000); n++) standIn.place(`stories/${randomUUID()}/1.jpg`, '')
  let after: string | undefined
  for (let page = 0; page < 5; page++) {
    const before = standIn.calls.length
    const { items, next } = await pageOf(listNewest(store, 51, after), 50, ({ id }) => id)
    t.ok(standIn.calls.length - before <= 12 + 64, `page ${page}: ${standIn.calls.length - before} calls`)
    t.equal(next, items.at(-1))
    after = next
  }
})
