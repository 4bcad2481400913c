import { setTimeout as sleep, setImmediate as tick } from 'node:timers/promises'
import t from 'tap'
import { StoreFailure } from '../../../src/errors.ts'
import { STORY_SPACE } from '../../../src/layout/story.ts'
import type { ListedObject, ListOptions } from '../../../src/store/object-store.ts'
import type { S3Bucket } from '../../../src/store/s3/bucket.ts'
import type { ListCall } from '../../../src/store/s3/calls.ts'
import { openLists as openAnyLists } from '../../../src/store/s3/list.ts'
import type { ListPage } from '../../../src/store/s3/list-xml.ts'
import { until } from '../../support/bodies.ts'
import { ALL, sample } from '../../support/extent.ts'
import { chance, oneOf, randomFrom } from '../../support/random.ts'
import { openOnStandIn, startStandIn } from '../../support/stores.ts'

type Random = () => number

const openLists = (bucket: S3Bucket, concurrency: number, isExact = true) =>
  openAnyLists(bucket, concurrency, async () => isExact)

/** A bucket in memory, whose responses come in whatever order `delay` makes of them. */
function bucketOf(keys: string[], pageSize: number, delay: () => Promise<unknown>) {
  const seen = { calls: 0, running: 0, most: 0, fail: 0 }
  function pageOf({ prefix, delimiter, token, after = '' }: ListCall): ListPage {
    const start = token ?? after
    const entries: string[] = []
    let truncated = false
    for (const key of keys) {
      if (key <= start || !key.startsWith(prefix)) continue
      const cut = delimiter === undefined ? -1 : key.indexOf(delimiter, prefix.length)
      const entry = cut === -1 ? key : key.slice(0, cut + 1)
      if (entry === entries.at(-1) || (token !== undefined && entry <= start)) continue
      truncated = entries.length === pageSize
      if (truncated) break
      entries.push(entry)
    }
    const [prefixes, found] = [true, false].map((isPrefix) => entries.filter((key) => key.endsWith('/') === isPrefix))
    const objects = (found ?? []).map((key) => ({ key, size: 1, modified: '2024-03-20T10:30:00.000Z' }))
    return { objects, prefixes: prefixes ?? [], truncated, token: truncated ? entries.at(-1) : undefined }
  }
  async function list(call: ListCall): Promise<ListPage> {
    const n = ++seen.calls
    seen.most = Math.max(seen.most, ++seen.running)
    // Half of the calls read what is there before they wait, the others after it
    const early = n % 2 === 0 ? pageOf(call) : undefined
    await delay()
    seen.running -= 1
    if (n === seen.fail) throw new StoreFailure()
    return early ?? pageOf(call)
  }
  return { bucket: { calls: { list } } as unknown as S3Bucket, seen }
}

const HEX = '0123456789abcdef'

function uuid(random: Random, time?: number): string {
  const hex = Array.from({ length: 32 }, () => HEX[Math.floor(random() * 16)]).join('')
  const first = time === undefined ? hex.slice(0, 12) : Math.floor(time).toString(16).padStart(12, '0')
  return `${first.slice(0, 8)}-${first.slice(8)}-${time === undefined ? 4 : 7}${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`
}

/** Keys of stories whose ids lie in one of many ways, with keys of others between them. */
function makeKeys(random: Random, most: number): string[] {
  const begin = Date.UTC(2026, 0, 1)
  const spreads: ((n: number) => string)[] = [
    () => uuid(random),
    () => uuid(random, begin + random() * 365 * 86_400_000),
    () => uuid(random, begin + random() * 3_600_000),
    () => uuid(random, begin + Math.floor(random() * 3) * 1e9 + random() * 1000),
    () => uuid(random, begin),
    () => `ffffffff-ffff-4${uuid(random).slice(15)}`,
    () => oneOf(['readme.txt', '0', 'zz', 'g-a', 'a.jpg', '01a2'], random) + Math.floor(random() * 50),
  ]
  const chosen = spreads.filter(() => chance(0.4, random))
  const keys = new Set<string>()
  const count = Math.floor(random() ** 2 * most)
  for (let n = 0; n < count && chosen.length > 0; n++) {
    const id = oneOf(chosen, random)(n)
    const images = chance(0.02, random) ? 60 : Math.floor(random() * 9)
    keys.add(`stories/${id}/0.${images}.json`)
    for (let image = 1; image <= images; image++) keys.add(`stories/${id}/${image}.jpg`)
    if (chance(0.05, random)) keys.add(`stories/${id}`)
  }
  return [...keys, 'a', 'stories.txt', 'stories0', 'z'].sort()
}

async function collect<Entry>(pages: AsyncIterable<Entry[]>, onPage = () => {}): Promise<Entry[]> {
  const found: Entry[] = []
  for await (const page of pages) {
    if (page.length === 0) throw new Error('An empty page')
    found.push(...page)
    onPage()
  }
  return found
}

const keysOf = (objects: readonly ListedObject[]) => objects.map((object) => object.key)

/** Turns of the event loop, a different number for each call. */
const turns = (random: Random) => async () => {
  for (let n = Math.floor(random() * 6); n > 0; n--) await tick()
}

function expectedOf(keys: readonly string[], { prefix, after, before }: ListOptions): string[] {
  return keys.filter(
    (key) => key.startsWith(prefix) && (after === undefined || key > after) && (before === undefined || key < before),
  )
}

function prefixesOf(keys: readonly string[]): string[] {
  return [...new Set(keys.map((key) => key.slice(0, key.indexOf('/', 8) + 1)).filter((prefix) => prefix !== ''))]
}

t.test('a list in ranges is the list of the keys, whatever they are and however the answers come', async (t) => {
  const wrong: unknown[] = []
  let most = 0
  for (let seed = 1; seed <= (ALL ? 2000 : 20); seed++) {
    const random = randomFrom(seed)
    const keys = makeKeys(random, 120)
    const concurrency = 1 + Math.floor(random() * 16)
    const { bucket, seen } = bucketOf(keys, 1 + Math.floor(random() ** 2 * 60), turns(random))
    // From common prefixes and from keys
    const lists = openLists(bucket, concurrency, chance(0.5, random))
    const place = () => (chance(0.5, random) ? oneOf(keys, random) : `stories/${uuid(random).slice(0, 7)}`)
    const options: ListOptions = {
      prefix: chance(0.9, random) ? 'stories/' : '',
      space: STORY_SPACE,
      ...(chance(0.3, random) && { after: place() }),
      ...(chance(0.3, random) && { before: place() }),
    }
    const expected = expectedOf(keys, options)
    const found = keysOf(await collect(lists.list(options)))
    if (found.join() !== expected.join()) wrong.push({ seed, options, missing: expected.length - found.length })
    const below = { ...options, prefix: 'stories/' }
    const prefixes = await collect(lists.listPrefixes(below))
    const wanted = expectedOf(prefixesOf(expectedOf(keys, { prefix: 'stories/' })), below)
    if (prefixes.join() !== wanted.join()) wrong.push({ seed, below, prefixes, wanted })
    if (seen.most > concurrency + 1) wrong.push({ seed, running: seen.most, concurrency })
    most = Math.max(most, seen.most)
  }
  t.same(wrong.slice(0, 3), [], `${wrong.length} lists are wrong`)
  t.ok(most >= 16, 'as many calls as allowed')
})

t.test('what stays is listed, each key once, while others come and go', async (t) => {
  const wrong: unknown[] = []
  for (let seed = 1; seed <= (ALL ? 1000 : 12); seed++) {
    const random = randomFrom(seed)
    const keys = makeKeys(random, 150)
    const all = new Set(keys)
    const stays = new Set(keys)
    const { bucket } = bucketOf(keys, 1 + Math.floor(random() * 30), turns(random))
    const options = { prefix: 'stories/', space: STORY_SPACE }
    const found = keysOf(
      await collect(openLists(bucket, 8).list(options), () => {
        for (let n = 0; n < 5; n++) {
          const at = Math.floor(random() * keys.length)
          for (const key of keys.splice(at, Math.floor(random() * 20))) stays.delete(key)
          const added = `stories/${uuid(random)}/1.jpg`
          all.add(added)
          keys.push(added)
          keys.sort()
        }
      }),
    )
    const listed = new Set(found)
    const missed = expectedOf([...stays], options).filter((key) => !listed.has(key))
    const disordered = found.some((key, i) => i > 0 && key <= (found[i - 1] ?? ''))
    if (missed.length > 0 || disordered || found.some((key) => !all.has(key))) wrong.push({ seed, missed, disordered })
  }
  t.same(wrong.slice(0, 3), [])
})

t.test('a long list takes little more calls than it has pages, whereever its ids lie', async (t) => {
  const begin = Date.UTC(2026, 0, 1)
  const random = randomFrom(1)
  const spreads: Record<string, (n: number) => string> = {
    uniform: () => uuid(random),
    'a year': () => uuid(random, begin + random() * 365 * 86_400_000),
    'an hour': () => uuid(random, begin + random() * 3_600_000),
    mixed: (n) => (n % 3 === 0 ? uuid(random) : uuid(random, begin + random() * 365 * 86_400_000)),
    clusters: (n) => uuid(random, begin + (n % 7) * 3e9 + random() * 3_600_000),
  }
  for (const [name, makeId] of sample(Object.entries(spreads), 2)) {
    const ids = Array.from({ length: 3000 }, (_, n) => makeId(n))
    const keys = ids.flatMap((id) => [0, 1, 2, 3].map((n) => `stories/${id}/${n}.jpg`)).sort()
    const { bucket, seen } = bucketOf(keys, 100, () => sleep(1))
    t.same(keysOf(await collect(openLists(bucket, 16).list({ prefix: 'stories/', space: STORY_SPACE }))), keys)
    // A gap costs as many calls as run at once: each of them finds what is behind it
    t.ok(seen.calls < (name === 'clusters' ? 300 : 180), `${name}: ${seen.calls} calls for 120 pages`)
    t.ok(seen.most >= 16 && seen.most <= 17, `${seen.most} at once`)
  }
})

t.test('a reader who wants little causes few calls, and one who stops, none', async (t) => {
  const random = randomFrom(7)
  const keys = Array.from({ length: 4000 }, () => `stories/${uuid(random)}/1.jpg`).sort()
  const options = { prefix: 'stories/', space: STORY_SPACE }
  const { bucket, seen } = bucketOf(keys, 40, tick)
  const list = openLists(bucket, 16).list(options)[Symbol.asyncIterator]()
  const calls: number[] = []
  for (let page = 0; page < 4; page++) {
    await list.next()
    await sleep(5)
    calls.push(seen.calls)
  }
  t.equal(calls[0], 1, 'a page is a call')
  t.ok((calls[1] ?? 99) <= 9, `${calls}`)
  t.ok((calls[3] ?? 99) <= 60, `${calls}: what a reader does not take is bounded`)
  await list.return?.(undefined)
  const before = seen.calls
  await sleep(20)
  t.equal(seen.calls, before)
  t.equal(seen.running, 0)

  const few = bucketOf(keys.slice(0, 40), 40, tick)
  t.equal((await collect(openLists(few.bucket, 16).list(options))).length, 40)
  t.equal(few.seen.calls, 1, 'a list of one page is one call')
})

t.test('lists that run at once share the calls, and none waits for another one', async (t) => {
  const random = randomFrom(8)
  const keys = Array.from({ length: 2000 }, () => `stories/${uuid(random)}/1.jpg`).sort()
  const { bucket, seen } = bucketOf(keys, 20, () => sleep(1))
  const lists = openLists(bucket, 4)
  const options = { prefix: 'stories/', space: STORY_SPACE }
  // Readers that have stopped reading hold pages that they never take
  const stopped = Array.from({ length: 6 }, () => lists.list(options)[Symbol.asyncIterator]())
  for (const reader of stopped) for (let page = 0; page < 6; page++) await reader.next()
  await until(() => seen.running === 0)
  seen.most = 0
  for (const found of await Promise.all([1, 2, 3].map(() => collect(lists.list(options))))) t.same(keysOf(found), keys)
  t.ok(seen.most <= 4 + 3, `${seen.most} calls at once: 4, and one that each list may always have`)
  for (const reader of stopped) await reader.return?.(undefined)
})

t.test('a page that can not be read is an error behind all that comes before it', async (t) => {
  let errors = 0
  const lists = ALL ? 300 : 30
  for (let seed = 1; seed <= lists; seed++) {
    const random = randomFrom(seed)
    const keys = Array.from({ length: 600 }, () => `stories/${uuid(random)}/1.jpg`).sort()
    const { bucket, seen } = bucketOf(keys, 20, turns(random))
    seen.fail = 1 + Math.floor(random() * 30)
    const found: string[] = []
    const error = await (async () => {
      for await (const page of openLists(bucket, 8).list({ prefix: 'stories/', space: STORY_SPACE })) {
        found.push(...keysOf(page))
      }
    })().catch((error) => error)
    if (error instanceof StoreFailure) errors += 1
    // A page that turned out to be of no use may fail
    else if (error !== undefined || found.length < keys.length) t.fail(`seed ${seed}: ${error}`)
    if (keys.slice(0, found.length).join() !== found.join()) t.fail(`seed ${seed} has a hole`)
  }
  t.ok(errors > (250 / 300) * lists, `${errors} lists of ${lists} ended with an error`)
})

t.test('over HTTP, with answers in any order and calls that fail', async (t) => {
  const standIn = await startStandIn(t, { pageSize: 25 })
  const store = await openOnStandIn(t, standIn, { listConcurrency: 8, prefix: 'images/' })
  const random = randomFrom(9)
  const keys = Array.from({ length: 300 }, () => uuid(random)).flatMap((id) =>
    [1, 2, 3].map((n) => `stories/${id}/${n}.jpg`),
  )
  for (const key of keys) standIn.place(`images/${key}`, 'x')
  standIn.onCall = () => sleep(random() * 20)
  for (const nth of [2, 9, 17]) standIn.fail({ operation: 'ListObjectsV2', nth }, 'reset')
  const options = { prefix: 'stories/', space: STORY_SPACE }
  t.same(keysOf(await collect(store.list(options))), keys.sort())
  t.ok(standIn.calls.length < 36 * 1.6 + 3, `${standIn.calls.length} calls`)
  t.same(await collect(store.listPrefixes(options)), prefixesOf(keys))
})
