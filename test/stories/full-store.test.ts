import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { v7 } from 'uuid'
import { OutcomeUnknown, StoreFull, StoreUnavailable, StoryNotFound } from '../../src/errors.ts'
import { TOMBSTONES } from '../../src/layout/tombstone.ts'
import { openDiskStore } from '../../src/store/disk/disk-store.ts'
import type { Body, ObjectStore } from '../../src/store/object-store.ts'
import { findStory, listStories } from '../../src/stories/list.ts'
import { removeAllStories, removeStory } from '../../src/stories/remove.ts'
import { listStoryIds } from '../../src/stories/story-ids.ts'
import { type StoryStore, storyStore } from '../../src/stories/story-store.ts'
import { Sweeper } from '../../src/stories/sweep.ts'
import { putTombstone, readTombstones } from '../../src/stories/tombstone.ts'
import { uploadStory } from '../../src/stories/upload.ts'
import { eventually } from '../support/app.ts'
import { inChunks, listKeys } from '../support/bodies.ts'
import { type Engine, engines, makeBucket } from '../support/engines.ts'
import { makeImage } from '../support/images.ts'
import { putOurs, recordCalls } from '../support/recording-store.ts'
import { fillDisk, freeDisk, mountOf, whyNoMount } from '../support/small-disk.ts'
import { openOnEngine, openOnStandIn, startStandIn } from '../support/stores.ts'

const HOUR = 3_600_000
const SCRIPT = fileURLToPath(new URL('../engines/minio.sh', import.meta.url))
const run = promisify(execFile)

interface FullStore {
  readonly store: ObjectStore
  /** Takes all room, until `free`. */
  fill(): Promise<void>
  free(): Promise<void>
}

interface Kind {
  readonly name: string
  readonly skip: string | false
  open(t: Test): Promise<FullStore>
}

const KINDS: readonly Kind[] = [
  { name: 'a disk without a free byte', skip: whyNoMount(), open: (t) => smallDisk(t, false) },
  { name: 'a disk that others fill again at once', skip: whyNoMount(), open: (t) => smallDisk(t, true) },
  { name: 'a bucket at its quota', skip: false, open: bucketAtQuota },
  {
    name: 'MinIO without a free byte',
    skip: engines.some(({ name }) => name === 'MinIO') ? whyNoMount() : 'TEST_ENGINES does not name minio',
    open: fullMinio,
  },
]

async function smallDisk(t: Test, isContended: boolean): Promise<FullStore> {
  const disk = await mountOf(t, '2m')
  const store = await openDiskStore(join(disk, 'data'))
  let isFull = false
  return {
    store: {
      ...store,
      async delete(keys) {
        const isKept = await store.delete(keys)
        if (isFull && isContended) await fillDisk(disk)
        return isKept
      },
    },
    async fill() {
      isFull = true
      await fillDisk(disk)
    },
    async free() {
      isFull = false
      await freeDisk(disk)
    },
  }
}

/** One that goes by figures from minutes ago, as most do: what is deleted makes no room. */
async function bucketAtQuota(t: Test): Promise<FullStore> {
  const standIn = await startStandIn(t)
  return {
    store: await openOnStandIn(t, standIn),
    fill: async () => standIn.fail({ operation: 'PutObject' }, { status: 403, code: 'QuotaExceeded' }),
    free: async () => standIn.clearFaults(),
  }
}

async function fullMinio(t: Test): Promise<FullStore> {
  const disk = await mountOf(t, '64m')
  const port = 9700 + (process.pid % 200)
  const env = { ...process.env, MINIO_PORT: String(port), MINIO_DIR: join(disk, 'minio') }
  await run('bash', [SCRIPT, 'up'], { env })
  t.teardown(() => run('bash', [SCRIPT, 'down'], { env }))
  const engine: Engine = {
    ...(engines.find(({ name }) => name === 'MinIO') as Engine),
    endpoint: `http://127.0.0.1:${port}`,
  }
  const { Bucket } = await makeBucket(t, engine)
  const store = await openOnEngine(t, engine, Bucket, '')
  const hasRoom = async () => {
    const id = v7()
    try {
      await putOurs(store, id)
    } catch (error) {
      if (error instanceof StoreFull) return false
      throw error
    }
    await store.delete([id])
    return true
  }
  return {
    store,
    // It looks at the disk once a second
    async fill() {
      await fillDisk(disk)
      t.ok(await eventually(async () => !(await hasRoom())))
    },
    async free() {
      await freeDisk(disk)
      t.ok(await eventually(hasRoom))
    },
  }
}

const JPG = await makeImage({ type: 'jpg', width: 40, height: 30 })
const PNG = await makeImage({ type: 'png', width: 20, height: 50 })

function upload(store: ObjectStore, key?: string) {
  async function* bodies(): AsyncGenerator<Body> {
    for (const image of [JPG, PNG]) yield inChunks(image)
  }
  return uploadStory(storyStore(store, HOUR), bodies(), {
    maxPixels: 1_000_000,
    readAhead: true,
    signal: new AbortController().signal,
    idempotencyName: key === undefined ? undefined : createHash('sha256').update(key).digest('hex'),
    onDebris: () => {},
  })
}

/** An upload whose process dies before it says that it has committed. */
async function uploadWithoutEnd(store: ObjectStore, key: string): Promise<string> {
  const before = new Set(await idsOf(store))
  const dying = recordCalls(store, {
    put: (key, body, options) =>
      key.endsWith('.end') ? Promise.reject(new StoreUnavailable()) : store.put(key, body, options),
  })
  const error = await upload(dying, key).catch((error) => error)
  if (!(error instanceof OutcomeUnknown)) throw error
  return (await idsOf(store)).find((id) => !before.has(id)) as string
}

/** By the commit rule. */
async function idsOf(store: ObjectStore): Promise<string[]> {
  const ids: string[] = []
  for await (const page of listStories(store)) ids.push(...page.map(({ id }) => id))
  return ids
}

/** As the server lists them. */
async function idsByWatermark(store: ObjectStore, sweeper: Sweeper): Promise<string[]> {
  const ids: string[] = []
  for await (const page of listStoryIds(store, sweeper.watermark)) ids.push(...page)
  return ids
}

const keysOfStories = async (store: ObjectStore) =>
  (await listKeys(store, { prefix: 'stories/' })).filter((key) => !key.startsWith(TOMBSTONES))

/** A sweeper for which every upload of today is over, and the store for deletions, which compares two lists after each step. */
function later(t: Test, store: ObjectStore) {
  const stories = storyStore(store, HOUR)
  const sweeper = new Sweeper(stories, () => Date.now() + 3 * HOUR)
  const deleting: StoryStore = {
    ...stories,
    // Every story is old enough to need a tombstone
    uploadTimeout: 0,
    async delete(keys) {
      const isKept = await store.delete(keys)
      t.same(await idsByWatermark(store, sweeper), await idsOf(store), `the lists agree without ${keys.length} keys`)
      return isKept
    },
  }
  return { sweeper, deleting }
}

for (const { name, skip, open } of KINDS) {
  t.test(`${name} can be emptied: stories that sweeps have seen, with and without a key`, { skip }, async (t) => {
    const { store, fill, free } = await open(t)
    const plain = await upload(store)
    const keyed = await upload(store, 'a')
    const unended = await uploadWithoutEnd(store, 'b')
    const { sweeper, deleting } = later(t, store)
    await sweeper.sweep()
    t.same(await idsByWatermark(store, sweeper), [plain.id, keyed.id, unended])
    await fill()
    await t.rejects(upload(store), StoreFull, 'it is full')
    for (const id of [plain.id, keyed.id, unended]) {
      await removeStory(deleting, id)
      await t.rejects(findStory(store, id), StoryNotFound)
      t.notOk((await idsByWatermark(store, sweeper)).includes(id), 'it is gone from the list of ids')
    }
    t.same(await idsOf(store), [])
    await free()
    await retriesMakeNothing(t, store, { a: keyed.id, b: unended })
  })

  t.test(`${name} can be emptied: all stories at once`, { skip }, async (t) => {
    const { store, fill, free } = await open(t)
    await upload(store)
    const keyed = await upload(store, 'a')
    const unended = await uploadWithoutEnd(store, 'b')
    const { sweeper, deleting } = later(t, store)
    await sweeper.sweep()
    await fill()
    await t.rejects(upload(store), StoreFull, 'it is full')
    await removeAllStories(deleting)
    t.same([await idsOf(store), await idsByWatermark(store, sweeper)], [[], []])
    await free()
    await retriesMakeNothing(t, store, { a: keyed.id, b: unended })
  })

  t.test(`${name} can be swept`, { skip }, async (t) => {
    const { store, fill } = await open(t)
    const { id, keys } = await upload(store)
    await putOurs(store, `stories/${id}/notes.txt`)
    await store.delete(keys)
    await putTombstone(store, 'all')
    await fill()
    // A deletion of all was interrupted, and below the id something stays: its own tombstone has no room
    const before = await readTombstones(store)
    await later(t, store).sweeper.sweep()
    t.same(await keysOfStories(store), [`stories/${id}/notes.txt`])
    t.ok((await readTombstones(store)).length >= before.length, 'what says so stays')
  })
}

/** Uploads with these keys give the stories that were deleted, now and after a sweep, which leaves nothing of them. */
async function retriesMakeNothing(t: Test, store: ObjectStore, stories: Readonly<Record<string, string>>) {
  const retry = async (what: string) => {
    for (const [key, id] of Object.entries(stories)) t.match(await upload(store, key), { id, isReplay: true }, what)
    t.same(await idsOf(store), [], what)
  }
  await retry('a retry')
  await later(t, store).sweeper.sweep()
  t.same(await listKeys(store, { prefix: 'stories/' }), [], 'a sweep leaves nothing')
  await retry('a retry after a sweep')
  t.same(await listKeys(store, { prefix: 'stories/' }), [])
}

for (const isFreed of [true, false]) {
  t.test(
    `a deletion on a store that is full ${isFreed ? 'at first' : 'for good'}, ended at any call, is done by its repetition`,
    async (t) => {
      for (let moment = 0; moment < 20; moment++) {
        const standIn = await startStandIn(t)
        const store = await openOnStandIn(t, standIn)
        const id = await uploadWithoutEnd(store, 'a')
        let isFull = true
        let calls = 0
        const isDead = () => calls > moment
        const mortal = async <T>(call: () => Promise<T>): Promise<T> => {
          calls++
          if (isDead()) throw new StoreUnavailable()
          return call()
        }
        const full = recordCalls(store, {
          put: (key, body, options) =>
            mortal(() => (isFull ? Promise.reject(new StoreFull()) : store.put(key, body, options))),
          delete: (keys) =>
            mortal(async () => {
              const isKept = await store.delete(keys)
              isFull &&= !isFreed
              return isKept
            }),
        })
        const isDone = await removeStory(storyStore(full, 0), id).then(
          () => true,
          () => false,
        )
        const what = `ended at call ${moment + 1}`
        t.equal(isDone, !isDead(), what)
        const seen = await idsOf(store)
        t.ok(seen.length === 0 || seen[0] === id, `${what}: whole or gone`)
        // Whoever sends it again before anybody has repeated the deletion
        t.match(await upload(store, 'a'), { id, isReplay: true }, what)
        t.same(await idsOf(store), seen, what)
        await removeStory(storyStore(store, 0), id).catch((error) => t.type(error, StoryNotFound))
        t.same(await keysOfStories(store), [], what)
        await later(t, store).sweeper.sweep()
        t.same(await listKeys(store, { prefix: 'stories/' }), [], what)
        t.match(await upload(store, 'a'), { id, isReplay: true }, what)
        if (isDone) return
      }
      t.fail('it is never done')
    },
  )
}

t.test('a record that came when its images were swept does not count, so that a retry makes the story', async (t) => {
  const standIn = await startStandIn(t)
  const store = await openOnStandIn(t, standIn)
  const id = await uploadWithoutEnd(store, 'a')
  const images = (await keysOfStories(store)).filter((key) => !key.endsWith('.json'))
  await store.delete(images)
  const record = standIn.objects.get(`stories/${id}/0.2.claimed.json`)
  if (record) record.lastModified = new Date(Date.now() + HOUR + 1000)
  const { now } = Date
  t.teardown(() => {
    Date.now = now
  })
  Date.now = () => now() + 2 * HOUR
  const retry = await upload(store, 'a')
  t.equal(retry.isReplay, false)
  t.same(await idsOf(store), [retry.id])
})
