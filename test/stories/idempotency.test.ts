import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { v7 } from 'uuid'
import {
  KeyInUse,
  KeyReused,
  NoFiles,
  OutcomeUnknown,
  StoreFailure,
  StoreUnavailable,
  TooManyPixels,
  UnsupportedImage,
  UploadTimeout,
} from '../../src/errors.ts'
import { recordKey } from '../../src/layout/story.ts'
import type { Body, ObjectStore } from '../../src/store/object-store.ts'
import {
  deleteRecords,
  expiredRecords,
  IDEMPOTENCY_AGE_MS,
  type IdempotencyRecord,
  recordUpload,
} from '../../src/stories/idempotency.ts'
import { findStory, listStories } from '../../src/stories/list.ts'
import { removeAllStories, removeStory } from '../../src/stories/remove.ts'
import { CLOCK_MARGIN_MS, storyStore } from '../../src/stories/story-store.ts'
import { Sweeper } from '../../src/stories/sweep.ts'
import { type UploadOptions, uploadStory } from '../../src/stories/upload.ts'
import { inChunks, listKeys, MIB, putBytes } from '../support/bodies.ts'
import { bigImage, makeImage } from '../support/images.ts'
import { putOurs, recordCalls } from '../support/recording-store.ts'
import { storesUnderTest } from '../support/stores.ts'

const HOUR = 3_600_000

const RECORD = /\/0\.\d+(\.claimed)?\.json$/
const JPG = await makeImage({ type: 'jpg', width: 40, height: 30 })
const PNG = await makeImage({ type: 'png', width: 20, height: 50 })
const nameOf = (key: string) => createHash('sha256').update(key).digest('hex')
const A = nameOf('a')
const B = nameOf('b')
const C = nameOf('c')
const D = nameOf('d')

const OPTIONS: UploadOptions = {
  maxPixels: 1_000_000_000,
  readAhead: true,
  signal: new AbortController().signal,
  onDebris: () => {},
}

async function* bodies(images: readonly Uint8Array[]): AsyncGenerator<Body> {
  for (const image of images) yield inChunks(image)
}

function upload(
  store: ObjectStore,
  idempotencyName: string | undefined,
  images: readonly Uint8Array[],
  options: Partial<UploadOptions> = {},
) {
  return uploadStory(storyStore(store, HOUR), bodies(images), { ...OPTIONS, idempotencyName, ...options })
}

const storyKeys = (store: ObjectStore) => listKeys(store, { prefix: 'stories/' })
const recordKeys = async (store: ObjectStore) =>
  (await listKeys(store, { prefix: 'idempotency/' })).map((key) => key.slice('idempotency/'.length + 64))

/** An upload of an hour and a half ago whose process died after its idempotency record. */
async function crash(store: ObjectStore, name: string, names = ['1.jpg', '2.png'], age = 1.5 * HOUR) {
  const { fingerprint } = await upload(store, undefined, [JPG, PNG]).then(async ({ id }) => {
    const { body } = await store.get(recordKey(id, 2))
    const chunks: Buffer[] = []
    for await (const chunk of body) chunks.push(chunk as Buffer)
    await removeStory(storyStore(store, HOUR), id)
    return JSON.parse(Buffer.concat(chunks).toString()) as { fingerprint: string }
  })
  const id = v7({ msecs: Date.now() - age })
  for (const file of names) await putOurs(store, `stories/${id}/${file}`)
  const record = (await recordUpload(storyStore(store, HOUR), name, { id, names, fingerprint })) as IdempotencyRecord
  return { id, record }
}

for (const { name, open } of storesUnderTest.filter((store) => !store.name.endsWith('alone'))) {
  t.test(name, async (t) => {
    const store = await open(t)
    await theContract(t, store)
  })
}

async function theContract(t: Test, store: ObjectStore): Promise<void> {
  const first = await upload(store, A, [JPG, PNG])
  const stored = await storyKeys(store)
  t.equal(first.isReplay, false)
  t.same(await recordKeys(store), ['.1', '.1.end'])

  const again = await upload(store, A, [JPG, PNG])
  t.same(again, { ...first, isReplay: true }, 'the answer of the first one')
  await t.rejects(upload(store, A, [PNG, JPG]), KeyReused, 'the same images in another order are another story')
  t.same(await storyKeys(store), stored, 'neither has left anything')

  const results = await Promise.allSettled(Array.from({ length: 6 }, () => upload(store, B, [JPG])))
  const ids = new Set(results.flatMap((result) => (result.status === 'fulfilled' ? [result.value.id] : [])))
  t.equal(ids.size, 1, 'of uploads at once one is stored')
  for (const result of results) if (result.status === 'rejected') t.type(result.reason, KeyInUse)
  const [id = ''] = ids
  t.same([(await upload(store, B, [JPG])).id, (await findStory(store, id)).images.length], [id, 1])
  t.equal((await storyKeys(store)).length, stored.length + 2)

  await removeStory(storyStore(store, HOUR), first.id)
  await removeAllStories(storyStore(store, HOUR))
  t.same(await upload(store, A, [JPG, PNG]), { ...first, isReplay: true }, 'a late retry brings nothing back')
  t.same(await upload(store, B, [JPG]), { id, keys: [`stories/${id}/1.jpg`], isReplay: true })
  t.same(await storyKeys(store), [])

  await t.test('an interrupted upload is waited for, and then taken over', async (t) => {
    const young = await crash(store, C, ['1.jpg', '2.png'], HOUR)
    await t.rejects(upload(store, C, [JPG, PNG]), KeyInUse)
    t.same(await storyKeys(store), [`stories/${young.id}/1.jpg`, `stories/${young.id}/2.png`])
    t.equal(await young.record.giveUp(), true)
    const second = await upload(store, C, [JPG, PNG])
    t.equal(second.isReplay, false, 'one that was given up stands in nobody’s way')
    t.same((await listKeys(store, { prefix: `idempotency/${C}` })).length, 4, 'two records, two ends')
    await t.rejects(young.record.commit(), KeyInUse, 'and has no say any more')
    await putOurs(store, recordKey(young.id, 2))
    await t.rejects(findStory(store, young.id), 'its late record finds no images')
    await store.delete([recordKey(young.id, 2)])
    await removeStory(storyStore(store, HOUR), second.id)
  })

  const dead = await crash(store, D)
  const heir = await upload(store, D, [JPG])
  t.equal(heir.isReplay, false, 'what an interrupted upload has recorded is not bound to its images')
  t.ok(
    (await storyKeys(store)).every((key) => key.includes(heir.id)),
    'whose are gone',
  )
  await t.rejects(dead.record.commit(), KeyInUse)
  t.equal(await dead.record.giveUp(), true)
  t.equal((await findStory(store, heir.id)).images.length, 1)
}

const { open } = storesUnderTest[0] as (typeof storesUnderTest)[number]

t.test('further uploads with a key are compared with its story, and write nothing', async (t) => {
  const disk = await open(t)
  const large = await bigImage(6 * MIB)
  const first = await upload(disk, A, [JPG, large])
  const store = recordCalls(disk)
  for (let n = 0; n < 100; n++)
    t.same(
      await upload(store, A, [JPG, n === 0 ? large : JPG]).catch((error) => error.name),
      n === 0 ? { ...first, isReplay: true } : 'KeyReused',
    )
  t.same(await upload(store, A, [JPG, large]), { ...first, isReplay: true })
  await t.rejects(upload(store, A, [JPG]), KeyReused)
  await t.rejects(upload(store, A, [JPG, Buffer.from('no image')]), UnsupportedImage)
  await t.rejects(upload(store, A, [JPG], { maxPixels: 100 }), TooManyPixels)
  await t.rejects(upload(store, A, []), NoFiles)
  const stop = new AbortController()
  async function* endless() {
    for (;;) {
      yield inChunks(JPG)
      stop.abort(new Error('stopped'))
    }
  }
  await t.rejects(
    uploadStory(storyStore(store, HOUR), endless(), { ...OPTIONS, idempotencyName: A, signal: stop.signal }),
    {
      message: 'stopped',
    },
  )
  t.same(store.calls, [], 'no put, no deletion')
  t.equal((await findStory(disk, first.id)).images.length, 2)
})

t.test(
  'what a key stands for is looked up while the first image arrives, and a store that can not say is out of reach',
  async (t) => {
    const disk = await open(t)
    const store: ObjectStore = { ...disk, get: () => Promise.reject(new StoreUnavailable()) }
    await t.rejects(upload(store, A, [JPG]), StoreUnavailable)
    t.same(await listKeys(disk), [])
    t.same((await upload(store, undefined, [JPG])).isReplay, false, 'without a key nothing is asked')
  },
)

t.test('an end that is another upload’s decides nothing', async (t) => {
  const store = await open(t)
  await putBytes(store, `idempotency/${A}.1.end`, JSON.stringify({ version: 1, id: v7(), committed: true }))
  await t.rejects(upload(store, A, [JPG]), KeyInUse)
  t.same(await storyKeys(store), [])
  await t.rejects(upload(store, A, [JPG]), KeyInUse)
  t.same(await storyKeys(store), [])
})

t.test('a record whose process died before it said so counts', async (t) => {
  const store = await open(t)
  const { id, record } = await crash(store, A)
  await putOurs(store, recordKey(id, 2))
  const replay = await upload(store, A, [JPG, PNG])
  t.same(replay, { id, keys: [`stories/${id}/1.jpg`, `stories/${id}/2.png`], isReplay: true })
  t.equal(await record.giveUp(), false, 'its own upload can not take it back now')
  await record.commit()
  await removeStory(storyStore(store, HOUR), id)
  t.same(await upload(store, A, [JPG, PNG]), replay)
})

t.test('an upload whose record another one has found is a success', async (t) => {
  const disk = await open(t)
  let other: Awaited<ReturnType<typeof upload>> | undefined
  const store = recordCalls(disk, {
    put: async (key, body, options) => {
      const result = await disk.put(key, body, options)
      if (!RECORD.test(key)) return result
      other = await upload(disk, A, [JPG])
      throw new StoreUnavailable()
    },
    head: async (key, options) => {
      if (key.endsWith('.json')) throw new StoreUnavailable()
      return disk.head(key, options)
    },
  })
  const own = await upload(store, A, [JPG])
  t.equal(own.isReplay, false)
  t.match(other, { id: own.id, isReplay: true })
  t.equal((await findStory(disk, own.id)).images.length, 1)
})

t.test('a record that could not be stored leaves the key to the next upload', async (t) => {
  const disk = await open(t)
  let broken = true
  const store = recordCalls(disk, {
    put: async (key, body, options) => {
      if (broken && RECORD.test(key)) throw new StoreUnavailable()
      return disk.put(key, body, options)
    },
  })
  await t.rejects(upload(store, A, [JPG]), StoreUnavailable)
  t.same(await storyKeys(disk), [])
  broken = false
  const { id } = await upload(store, A, [PNG])
  t.equal((await findStory(disk, id)).images.length, 1)
  t.same(await recordKeys(disk), ['.1', '.1.end', '.2', '.2.end'])
})

t.test('when the end can not be written the outcome is unknown, and the next upload finds out', async (t) => {
  const disk = await open(t)
  const store = recordCalls(disk, {
    put: async (key, body, options) => {
      if (key.endsWith('.end')) throw new StoreUnavailable()
      return disk.put(key, body, options)
    },
  })
  await t.rejects(upload(store, A, [JPG]), OutcomeUnknown)
  const [key = ''] = await storyKeys(disk)
  t.equal((await findStory(disk, key.split('/')[1] as string)).images.length, 1)
  t.match(await upload(disk, A, [JPG]), { id: key.split('/')[1], isReplay: true })
})

t.test('an answer that got lost is the own one', async (t) => {
  const disk = await open(t)
  const store = recordCalls(disk, {
    put: async (key, body, options) => {
      if (!key.startsWith('idempotency/')) return disk.put(key, body, options)
      const chunks: Uint8Array[] = []
      for await (const chunk of body) chunks.push(chunk)
      await disk.put(key, Readable.from(chunks), options)
      // The retry meets the first try
      return disk.put(key, Readable.from(chunks), options)
    },
  })
  const { id, isReplay } = await upload(store, A, [JPG])
  t.equal(isReplay, false)
  t.equal((await findStory(disk, id)).images.length, 1)
})

for (const idempotencyName of [undefined, A]) {
  t.test(
    `an upload that stood still for hours is taken back ${idempotencyName ? 'with' : 'without'} a key`,
    async (t) => {
      const { now } = Date
      t.teardown(() => {
        Date.now = now
      })
      const disk = await open(t)
      const store = recordCalls(disk, {
        put: async (key, body, options) => {
          const result = await disk.put(key, body, options)
          if (RECORD.test(key)) Date.now = () => now() + 2 * HOUR
          return result
        },
      })
      await t.rejects(upload(store, idempotencyName, [JPG]), UploadTimeout)
      t.same(await storyKeys(disk), [])
      t.same(await recordKeys(disk), idempotencyName ? ['.1', '.1.end'] : [])
    },
  )
}

t.test('a process that dies at any call of an upload with a key: retries make one story', async (t) => {
  const { now } = Date
  t.teardown(() => {
    Date.now = now
  })
  for (let moment = 1; ; moment++) {
    Date.now = now
    const disk = await open(t)
    let calls = 0
    // Behind the moment nothing reaches the store, as after the death of the process
    const isDead = () => calls > moment
    const mortal = <T>(call: () => Promise<T>, isWrite: boolean): Promise<T> => {
      if (isWrite) calls++
      return isDead() ? Promise.reject(new StoreUnavailable()) : call()
    }
    const store = recordCalls(disk, {
      put: (key, body, options) => mortal(() => disk.put(key, body, options), true),
      delete: (keys) => mortal(() => disk.delete(keys), true),
      head: (key, options) => mortal(() => disk.head(key, options), false),
    })
    const first = await upload(store, A, [JPG, PNG]).catch(() => undefined)
    const what = `dead behind call ${moment}`
    const retry = () =>
      upload(disk, A, [JPG, PNG]).catch((error) => {
        t.type(error, KeyInUse, what)
        return undefined
      })
    const soon = await retry()
    Date.now = () => now() + 2 * HOUR
    const late = await retry()
    await new Sweeper(storyStore(disk, HOUR)).sweep()
    t.ok(late, `${what}: in the end there is a story`)
    if (first) t.match(soon, { id: first.id, isReplay: true }, what)
    if (soon) t.equal(late?.id, soon.id, what)
    const ids = new Set((await storyKeys(disk)).map((key) => key.split('/')[1]))
    t.same([...ids], [late?.id], `${what}: and nothing else`)
    await removeStory(storyStore(disk, HOUR), late?.id ?? '')
    t.match(await retry(), { id: late?.id, isReplay: true }, what)
    t.same(await storyKeys(disk), [], `${what}: it stays deleted`)
    if (!isDead()) {
      t.equal(calls, 5, 'two images, the idempotency record, the commit record, the end')
      break
    }
  }
})

for (const deletion of ['a deletion', 'a deletion of all'] as const) {
  t.test(
    `a process that dies at any call of an upload with a key, and ${deletion}: retries make nothing`,
    async (t) => {
      const { now } = Date
      t.teardown(() => {
        Date.now = now
      })
      let deleted = 0
      for (let moment = 1; moment <= 5; moment++) {
        Date.now = now
        const disk = await open(t)
        let calls = 0
        const mortal = <T>(call: () => Promise<T>): Promise<T> =>
          ++calls > moment ? Promise.reject(new StoreUnavailable()) : call()
        const store = recordCalls(disk, {
          put: (key, body, options) => mortal(() => disk.put(key, body, options)),
          delete: (keys) => mortal(() => disk.delete(keys)),
        })
        await upload(store, A, [JPG, PNG]).catch(() => {})
        let id: string | undefined
        for await (const [story] of listStories(disk)) id = story?.id
        if (deletion === 'a deletion of all') await removeAllStories(storyStore(disk, HOUR))
        else if (id) await removeStory(storyStore(disk, HOUR), id)
        Date.now = () => now() + 2 * HOUR
        const late = await upload(disk, A, [JPG, PNG])
        if (!id) continue
        deleted += 1
        t.match(late, { id, isReplay: true }, `dead behind call ${moment}`)
        t.same(await storyKeys(disk), [])
      }
      t.equal(deleted, 2, 'behind the record, and behind the end')
    },
  )
}

t.test('a record that can not be read does not keep its story from being deleted', async (t) => {
  const store = await open(t)
  for (const [record, content] of [
    ['x', 'x'],
    ['{}', '{"claim":7}'],
    ['{}', `{"claim":"idempotency/${B}.1"}`],
    ['x', `{"claim":"idempotency/${B}.1"}`],
    ['{}', '{"claim":"stories/x"}'],
  ] as const) {
    const { id } = await upload(store, A, [JPG])
    await putBytes(store, recordKey(id, 1, true), content)
    await putBytes(store, `idempotency/${B}.1`, record)
    await removeStory(storyStore(store, HOUR), id)
    t.same(await storyKeys(store), [])
    await store.delete(await listKeys(store))
  }
})

t.test('a sweep removes idempotency records that have expired, and nothing else', async (t) => {
  const store = await open(t)
  const { id } = await upload(store, A, [JPG])
  await crash(store, B)
  const others = ['idempotency/notes.txt', `idempotency/${C}.1`, `idempotency/${A}.1.start`, 'idempotency/a/1']
  for (const key of others) await putBytes(store, key)
  const all = await listKeys(store)
  const expired = async (ms: number, signal?: AbortSignal) => {
    const names: string[][] = []
    for await (const keys of expiredRecords(store, Date.now() + IDEMPOTENCY_AGE_MS + ms, signal)) names.push(keys)
    return names
  }
  t.same(await expired(CLOCK_MARGIN_MS - 60_000), [])
  const names = await expired(0.2 * HOUR)
  const seen = names.flat()
  t.same(seen.length, 3)
  for (const keys of names) await deleteRecords(store, keys)
  t.same(
    await listKeys(store),
    all.filter((key) => !seen.includes(key)),
  )
  t.same(await listKeys(store, { prefix: 'idempotency/' }), others.sort())
  t.equal((await findStory(store, id)).images.length, 1)
  t.not((await upload(store, A, [JPG])).id, id, 'then the key is as good as new')

  t.same(await expired(0), [], 'its upload may run')
  await t.rejects(expired(0, AbortSignal.abort(new Error('stopped'))), /stopped/)
  t.equal((await recordKeys(store)).filter((key) => key === '.1.end').length, 1, 'never while its upload may run')
})

t.test('what is not an idempotency record, or longer than any of ours, is the failure of one upload', async (t) => {
  const store = await open(t)
  for (const content of ['x', ' '.repeat(2 ** 20 + 1)]) {
    await putBytes(store, `idempotency/${A}.1`, content)
    await t.rejects(upload(store, A, [JPG]), StoreFailure)
    t.same(await storyKeys(store), [])
  }
})
