import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { v7 } from 'uuid'
import { DeleteFailure, StoreUnavailable } from '../../src/errors.ts'
import type { ListOptions, ObjectStore } from '../../src/store/object-store.ts'
import { listStories } from '../../src/stories/list.ts'
import { removeStory } from '../../src/stories/remove.ts'
import { storyStore } from '../../src/stories/story-store.ts'
import { Sweeper } from '../../src/stories/sweep.ts'
import { putTombstone, readTombstones } from '../../src/stories/tombstone.ts'
import { listKeys, putBytes } from '../support/bodies.ts'
import { ALL } from '../support/extent.ts'
import { putOurs, putStory, recordCalls } from '../support/recording-store.ts'
import type { S3StandIn } from '../support/s3-stand-in.ts'
import { openOnStandIn, startStandIn, storesUnderTest } from '../support/stores.ts'

const { open } = storesUnderTest[0] as (typeof storesUnderTest)[number]
const HOUR = 3_600_000
const MARGIN = 5 * 60_000

/** Without a time, uuid would go on from the clock of an earlier test of this process, if that was ahead. */
const idOfNow = () => v7({ msecs: Date.now() })

/** A sweeper to which all that is put now is old. */
const lateSweeper = (store: ObjectStore) => new Sweeper(storyStore(store, HOUR), () => Date.now() + 10 * HOUR)

for (const { name, open } of storesUnderTest) {
  t.test(`a sweep removes what interrupted uploads and deletions left, and nothing else (${name})`, async (t) => {
    const store = await open(t)
    const images = v7({ msecs: Date.now() - HOUR })
    const record = idOfNow()
    const mixed = idOfNow()
    for (const n of [1, 2]) await putOurs(store, `stories/${images}/${n}.jpg`)
    await putStory(store, record, [], 3)
    await putOurs(store, `stories/${mixed}/1.jpg`)
    await putBytes(store, `stories/${mixed}/notes.txt`)
    const staying: string[] = [`stories/${mixed}/notes.txt`]
    const stays = async (put: (store: ObjectStore, key: string) => Promise<void>, ...keys: string[]) => {
      for (const key of keys) await put(store, key)
      staying.push(...keys)
    }
    const [whole, harmed, copied, half, imported, young] = [
      idOfNow(),
      idOfNow(),
      idOfNow(),
      idOfNow(),
      randomUUID(),
      youngId(),
    ]
    await stays(putOurs, ...[`stories/${whole}/0.1.json`, `stories/${whole}/1.jpg`, `stories/${whole}/notes.txt`])
    await stays(putOurs, ...[`stories/${harmed}/0.2.json`, `stories/${harmed}/1.jpg`])
    await stays(putBytes, `stories/${copied}/1.jpg`, `stories/${copied}/2.jpg`)
    await stays(putOurs, `stories/${half}/1.jpg`)
    await stays(putBytes, `stories/${half}/2.jpg`)
    await stays(putOurs, `stories/${imported}/1.jpg`, `stories/${randomUUID()}/0.1.json`, `stories/${young}/1.jpg`)
    await stays(putOurs, `stories/${idOfNow()}/notes.txt`, 'stories/1.jpg', `other/${images}/1.jpg`)
    const sweeper = lateSweeper(store)
    t.equal(sweeper.watermark, undefined)
    const before = await listKeys(store)
    t.same(await sweeper.sweep({ dryRun: true }), { stories: 3, keys: 4, idempotencyKeys: 0, variants: 0, left: 0 })
    t.same(await listKeys(store), before, 'a dry run changes nothing')
    t.equal(sweeper.watermark, undefined, 'and there is no watermark')
    t.same(await sweeper.sweep(), { stories: 3, keys: 4, idempotencyKeys: 0, variants: 0, left: 0 })
    t.same(await listKeys(store), staying.sort())
    t.ok(sweeper.watermark)
    t.same(await lateSweeper(store).sweep(), { stories: 0, keys: 0, idempotencyKeys: 0, variants: 0, left: 0 })
  })
}

t.test('an upload that may still run is left alone, by its id and by its objects', async (t) => {
  const store = await open(t)
  const id = (age: number) => v7({ msecs: Date.now() - age })
  const young = [id(0), id(HOUR), id(HOUR + MARGIN - 10_000)]
  // Copied in just now, by somebody who is not done
  const old = [id(HOUR + MARGIN + 10_000), id(1000 * HOUR)]
  for (const each of [...young, ...old]) await putOurs(store, `stories/${each}/1.jpg`)
  t.equal((await new Sweeper(storyStore(store, HOUR)).sweep()).stories, 0)
  t.equal((await listKeys(store)).length, 5)
  const now = Date.now()
  // Objects have aged, ids of uploads have not
  const sweeper = new Sweeper(storyStore(store, HOUR), () => now + HOUR + MARGIN + 1000)
  for (const each of young) await store.delete([`stories/${each}/1.jpg`])
  await putOurs(store, `stories/${v7({ msecs: now + 2000 })}/1.jpg`)
  t.equal((await sweeper.sweep()).stories, 2)
  t.equal((await listKeys(store)).length, 1)
})

t.test('what the store does not delete is an exception, and is tried again', async (t) => {
  const disk = await open(t)
  const ids = [idOfNow(), idOfNow(), idOfNow()] as const
  for (const id of ids) await putOurs(disk, `stories/${id}/1.jpg`)
  let stuck: string | undefined = `stories/${ids[1]}/1.jpg`
  const store = recordCalls(disk, {
    delete: async (keys) => {
      const isKept = await disk.delete(keys.filter((key) => key !== stuck))
      if (stuck && keys.includes(stuck)) throw new DeleteFailure([stuck])
      return isKept
    },
  })
  const sweeper = lateSweeper(store)
  t.same(await sweeper.sweep(), { stories: 2, keys: 2, idempotencyKeys: 0, variants: 0, left: 1 })
  t.same([...(sweeper.watermark?.exceptions ?? [])], [ids[1]])
  stuck = undefined
  t.same(await sweeper.sweep(), { stories: 1, keys: 1, idempotencyKeys: 0, variants: 0, left: 0 })
  t.same([...(sweeper.watermark?.exceptions ?? [])], [])
  t.same(await listKeys(disk), [])
})

t.test('sweeps at once do no harm', async (t) => {
  const store = await open(t)
  const kept = await fillWithDebris(store, 40)
  const reports = await Promise.all([1, 2, 3].map(() => lateSweeper(store).sweep()))
  t.ok(reports.every((report) => report.left === 0))
  t.same(await listKeys(store), kept)
})

t.test('a sweep that fails, or is stopped, raises no watermark; the next one makes up for it', async (t) => {
  const { store: memory, standIn } = await inMemory(t, { pageSize: 10 })
  const kept = await fillWithDebris(memory, 40)
  let pages = 0
  let onPage = () => {}
  const store: ObjectStore = {
    ...memory,
    async *list(options: ListOptions) {
      for await (const page of memory.list(options)) {
        pages += 1
        onPage()
        yield page
      }
    },
  }
  const sweeper = lateSweeper(store)
  const stop = new AbortController()
  onPage = () => pages === 3 && stop.abort(new Error('closing'))
  await t.rejects(sweeper.sweep({ signal: stop.signal }), { message: 'closing' })
  t.equal(pages, 3)
  onPage = () => {
    throw new StoreUnavailable()
  }
  await t.rejects(sweeper.sweep(), StoreUnavailable)
  t.equal(sweeper.watermark, undefined)
  onPage = () => {}
  await sweeper.sweep()
  t.ok(sweeper.watermark)
  t.same(await listKeys(memory), kept)
  t.equal(standIn.runningRequests, 0)
})

/** Keys in a page of the store. Five times as many stories, with two keys each, take ten pages. */
const PAGE = ALL ? 1000 : 100

t.test('sweeps read what has become old, and a slice of the rest: a day of them reads everything', async (t) => {
  const { store, standIn } = await inMemory(t, { pageSize: PAGE })
  const start = Date.now()
  let now = start
  const sweeper = new Sweeper(storyStore(store, HOUR), () => now)
  const id = (time: number) => v7({ msecs: Math.floor(time) })
  const YEAR = 365 * 24 * HOUR
  for (let n = 0; n < 5 * PAGE; n++)
    place(standIn, id(start - (YEAR * n) / (5 * PAGE) - 2 * HOUR), ['0.1.json', '1.jpg'])
  const listed = async () => {
    const begin = standIn.calls.length
    await sweeper.sweep()
    return standIn.calls.slice(begin).filter(({ operation }) => operation === 'ListObjectsV2').length
  }
  const all = await listed()
  t.ok(all >= 10, `${all} pages`)
  // Left without a tombstone, at any place and before everything else, too
  const left = [0, 0.001, 0.3, 0.5, 0.9, 0.999].map((share) => id(start - YEAR * share - 3 * HOUR))
  left.push(id(start - 2 * YEAR))
  for (const each of left) place(standIn, each, ['1.jpg'])
  let most = 0
  for (let sweep = 0; sweep < 25; sweep++) {
    now += HOUR
    most = Math.max(most, await listed())
  }
  t.ok(most <= 7, `at most ${most} pages for each`)
  t.same(
    (await listKeys(store)).filter((key) => left.some((each) => key.includes(each))),
    [],
  )
})

t.test('a day of sweeps by the hour, each by another process, reads everything', async (t) => {
  const { store, standIn } = await inMemory(t, { pageSize: PAGE })
  const start = Date.UTC(2026, 3, 10, 17)
  const id = (time: number) => v7({ msecs: Math.floor(time) })
  const YEAR = 365 * 24 * HOUR
  for (let n = 0; n < 5 * PAGE; n++)
    place(standIn, id(start - (YEAR * n) / (5 * PAGE) - 2 * HOUR), ['0.1.json', '1.jpg'])
  standIn.place(`stories/00${randomUUID().slice(2)}/1.jpg`, 'imported, and before all of ours')
  const left = Array.from({ length: PAGE / 5 }, (_, n) => id(start - (YEAR * n) / (PAGE / 5) - 3 * HOUR))
  // They become old enough in the course of the day
  for (let hour = 0; hour < 20; hour++) left.push(id(start + hour * HOUR))
  left.push(id(start - 1.2 * YEAR))
  for (const each of left) place(standIn, each, ['1.jpg'])
  const removed: string[] = []
  let most = 0
  // In the last seconds of an hour, and in the first ones of the next
  for (let hour = 0; hour < 24; hour++) {
    const begin = standIn.calls.length
    const now = start + hour * HOUR + (hour % 2 === 0 ? HOUR - 10_000 : 10_000)
    const sweeper = new Sweeper(storyStore(store, HOUR), () => now)
    await sweeper.sweep({ byHour: true, onRemoved: (id) => removed.push(id) })
    t.equal(sweeper.watermark, undefined)
    most = Math.max(most, standIn.calls.slice(begin).filter(({ operation }) => operation === 'ListObjectsV2').length)
  }
  // Debris of the last day, of which there are up to two pieces, is looked at once more
  t.ok(most <= 9 + 2, `at most ${most} pages for each`)
  t.same(removed.sort(), left.sort())
})

t.test('a dry run tells what a sweep then tells, page after page', async (t) => {
  const { store } = await inMemory(t, { pageSize: 10 })
  await fillWithDebris(store, 40)
  const [interrupted, whole, harmed, other] = Array.from({ length: 4 }, (_, n) =>
    v7({ msecs: 1_600_000_000_000 + n }),
  ) as [string, string, string, string]
  await putOurs(store, `stories/${interrupted}/1.jpg`)
  await putStory(store, whole, ['1.jpg'])
  await putStory(store, harmed, ['1.jpg'], 2)
  await putOurs(store, `stories/${other}/1.jpg`)
  await putBytes(store, `stories/${other}/notes.txt`)
  const tombstones: string[] = []
  for (const id of [interrupted, whole, harmed, other, 'all']) tombstones.push((await putTombstone(store, id)) ?? '')
  const begin = await listKeys(store)
  for (const byHour of [false, true]) {
    const told: string[][] = [[], []]
    for (const [index, dryRun] of [true, false].entries()) {
      const report = await lateSweeper(store).sweep({
        dryRun,
        byHour,
        onRemoved: (id, keys) => {
          for (const key of keys) told[index]?.push(`${id} ${key}`)
        },
      })
      t.same(
        report,
        byHour
          ? { stories: 0, keys: 0, idempotencyKeys: 0, variants: 0, left: 0 }
          : { stories: 22, keys: 22, idempotencyKeys: 0, variants: 0, left: 0 },
      )
      if (dryRun && !byHour) t.same(await listKeys(store), begin)
    }
    t.same(told[0], told[1])
    if (byHour) t.same(told[1], [], 'there is nothing left')
    else {
      t.same(
        begin.filter((key) => !told[1]?.some((line) => line.endsWith(` ${key}`))),
        await listKeys(store),
      )
      t.same(
        (await readTombstones(store)).map(({ key }) => key),
        [tombstones[2], tombstones[3]].sort(),
        'what has others’ objects, or was harmed, keeps its tombstone',
      )
    }
  }
})

t.test('what a replica uploads whose clock is four minutes off, either way, is left alone', async (t) => {
  const store = await open(t)
  const SKEW = 4 * 60_000
  const now = Date.now()
  for (const skew of [-SKEW, SKEW]) {
    // Begun by its clock as long ago as an upload may take; its first image was stored at once
    const id = v7({ msecs: now + skew })
    await putOurs(store, `stories/${id}/1.jpg`)
    for (const ours of [-SKEW, 0, SKEW]) {
      if (ours - skew > 5 * 60_000) continue
      await new Sweeper(storyStore(store, HOUR), () => now + HOUR + ours).sweep({ byHour: ours === 0 })
      t.equal((await listKeys(store)).length, 1, `${skew / 60_000} and ${ours / 60_000} minutes`)
    }
    await putOurs(store, `stories/${id}/0.1.json`)
    await lateSweeper(store).sweep()
    t.same(await idsByRule(store), [id], 'and it is a story in the end')
    await store.delete([`stories/${id}/0.1.json`, `stories/${id}/1.jpg`])
  }
})

t.test('a store that deletes nothing at all is told page by page, and nothing is collected', async (t) => {
  const { store: memory } = await inMemory(t, { pageSize: 10 })
  await fillWithDebris(memory, 40)
  const store = recordCalls(memory, { delete: (keys) => Promise.reject(new DeleteFailure(keys)) })
  const left: number[] = []
  const report = await lateSweeper(store).sweep({
    onRemoved: () => t.fail('nothing was removed'),
    onLeft: (keys) => left.push(keys.length),
  })
  t.same(report, { stories: 0, keys: 0, idempotencyKeys: 0, variants: 0, left: 20 })
  t.ok(left.length >= 4 && Math.max(...left) <= 5, `${left}`)
})

t.test('an upload that stored images up to its last second is swept once they are old', async (t) => {
  const { store, standIn } = await inMemory(t)
  const start = Date.now()
  let now = start
  const sweeper = new Sweeper(storyStore(store, HOUR), () => now)
  await sweeper.sweep()
  place(standIn, v7({ msecs: start }), ['1.jpg'], start + HOUR)
  const counts: number[] = []
  for (let hour = 1; hour <= 4; hour++) {
    now = start + hour * (HOUR + 60_000)
    counts.push((await sweeper.sweep()).stories)
  }
  t.same(counts, [0, 0, 1, 0])
})

t.test('a clock that is set back lowers the watermark below what may run now', async (t) => {
  const store = await open(t)
  let now = Date.now() + 5 * HOUR
  let steady = 0
  const pass = (time: number) => {
    now += time
    steady += time
  }
  const sweeper = new Sweeper(
    storyStore(store, HOUR),
    () => now,
    () => steady,
  )
  await sweeper.sweep()
  const before = now - HOUR - MARGIN
  t.equal(sweeper.watermark?.before, before)
  now -= 4 * HOUR
  t.equal(sweeper.watermark?.before, before - 4 * HOUR)
  // An upload that begins now, and dies
  await putOurs(store, `stories/${v7({ msecs: now })}/1.jpg`)
  pass(5 * HOUR)
  t.equal(sweeper.watermark?.before, before - 4 * HOUR, 'and does not come back by itself')
  await sweeper.sweep()
  t.equal(sweeper.watermark?.before, now - HOUR - MARGIN)
  t.same(await listKeys(store), [], 'what was made since is read by the next sweep')
  now += 10 * HOUR
  t.equal(sweeper.watermark?.before, now - 11 * HOUR - MARGIN, 'one that is set forward does not raise it')
})

t.test('with too many exceptions there is no watermark', async (t) => {
  const { store, standIn } = await inMemory(t)
  const ids = Array.from({ length: 10_001 }, (_, n) => v7({ msecs: 1_700_000_000_000 + n }))
  for (const id of ids) standIn.place(`stories/${id}/notes.txt`, '')
  const sweeper = lateSweeper(store)
  await sweeper.sweep()
  t.equal(sweeper.watermark, undefined)
  await sweeper.sweep()
  t.equal(sweeper.watermark, undefined)
  standIn.objects.delete(`stories/${ids[0]}/notes.txt`)
  const other = lateSweeper(store)
  await other.sweep()
  t.equal(other.watermark?.exceptions.size, 10_000)
})

t.test('the tombstone of an interrupted deletion goes when nothing of its story is left', async (t) => {
  const disk = await open(t)
  const long = Date.now() - 1000 * HOUR
  const [broken, whole, empty, handMade] = Array.from({ length: 4 }, (_, n) => v7({ msecs: long + n })) as [
    string,
    string,
    string,
    string,
  ]
  for (const id of [broken, whole]) await putStory(disk, id, ['1.jpg', '2.jpg'])
  await putBytes(disk, `stories/${handMade}/1.jpg`)
  await putBytes(disk, `stories/${handMade}/0.1.json`)
  const sweeper = lateSweeper(disk)
  await sweeper.sweep()
  const failing = recordCalls(disk, {
    delete: (keys) => (/json$/.test(keys[0] ?? '') ? disk.delete(keys) : Promise.reject(new DeleteFailure(keys))),
  })
  for (const id of [broken, handMade]) await t.rejects(removeStory(storyStore(failing, HOUR), id), DeleteFailure)
  for (const id of [whole, empty, randomUUID()]) await putTombstone(disk, id)
  // To this one the tombstones are young
  await new Sweeper(storyStore(disk, HOUR)).sweep()
  t.equal((await readTombstones(disk)).length, 5)
  t.same(await sweeper.sweep(), { stories: 1, keys: 2, idempotencyKeys: 0, variants: 0, left: 0 })
  t.match(
    await readTombstones(disk),
    [{ id: handMade }],
    'whoever has swept before does not know that this is no story',
  )
  t.same(await idsByRule(disk), [whole])
  await disk.delete([`stories/${handMade}/1.jpg`])
  await sweeper.sweep()
  t.same(await readTombstones(disk), [])
})

t.test('an interrupted deletion of all is swept from end to end, and its tombstone goes', async (t) => {
  const disk = await open(t)
  const sweeper = lateSweeper(disk)
  await sweeper.sweep()
  const long = Date.now() - 1000 * HOUR
  const [ours, handMade] = [v7({ msecs: long }), v7({ msecs: long + HOUR })]
  await putOurs(disk, `stories/${ours}/1.jpg`)
  await putBytes(disk, `stories/${handMade}/1.jpg`)
  await putTombstone(disk, 'all')
  t.same(await sweeper.sweep(), { stories: 1, keys: 1, idempotencyKeys: 0, variants: 0, left: 0 })
  t.match(await readTombstones(disk), [{ id: handMade }], 'what stays has a tombstone of its own')
  await putTombstone(disk, 'all')
  await sweeper.sweep()
  t.match(await readTombstones(disk), [{ id: handMade }], 'but not two')
})

function youngId(): string {
  return v7({ msecs: Date.now() + 10 * HOUR })
}

/** Stories, every other one broken; returns the keys of those that are whole. */
async function fillWithDebris(store: ObjectStore, count: number): Promise<string[]> {
  for (let n = 0; n < count; n++) {
    const id = v7({ msecs: 1_700_000_000_000 + n })
    if (n % 2) await putStory(store, id, ['1.jpg'])
    else await putOurs(store, `stories/${id}/1.jpg`)
  }
  const found: string[] = []
  for await (const stories of listStories(store)) {
    for (const { id } of stories) found.push(`stories/${id}/0.1.json`, `stories/${id}/1.jpg`)
  }
  return found
}

async function inMemory(t: Test, options: Parameters<typeof startStandIn>[1] = {}) {
  const standIn = await startStandIn(t, options)
  return { standIn, store: await openOnStandIn(t, standIn) }
}

/** Objects of ours below a story id; as old as the id unless given. */
function place(standIn: S3StandIn, id: string, names: readonly string[], modified?: number): void {
  const time = Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
  for (const name of names) {
    const metadata = { 'written-by': 'story-images' }
    standIn.place(`stories/${id}/${name}`, 'x', { metadata, lastModified: new Date(modified ?? time) })
  }
}

async function idsByRule(store: ObjectStore): Promise<string[]> {
  const ids: string[] = []
  for await (const stories of listStories(store)) ids.push(...stories.map(({ id }) => id))
  return ids
}
