import { createHash, randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import t from 'tap'
import { v7 } from 'uuid'
import { ObjectNotFound, StoreFailure, StoreUnavailable, StoryNotFound } from '../../src/errors.ts'
import { WRITTEN_BY_US } from '../../src/layout/story.ts'
import type { ObjectStore } from '../../src/store/object-store.ts'
import { verifyStories } from '../../src/stories/verify.ts'
import { inChunks, MIB, putBytes, readAll } from '../support/bodies.ts'
import { ALL, sample } from '../support/extent.ts'
import { putOurs } from '../support/recording-store.ts'
import { storesUnderTest } from '../support/stores.ts'

const disk = storesUnderTest[0] as (typeof storesUnderTest)[number]
const standIn = storesUnderTest[1] as (typeof storesUnderTest)[number]

const SMALL = Buffer.from('an image')
/** On a store for S3 more than a part. */
const LARGE = Buffer.alloc(ALL ? 6 * MIB : 300_000, 'pixels')

const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest()

/** Stores a story as an upload does. */
async function putWhole(store: ObjectStore, id: string, bodies: readonly Buffer[] = [SMALL, LARGE, SMALL]) {
  const images = bodies.map((body, index) => ({
    name: `${index + 1}.jpg`,
    type: 'image/jpeg',
    size: body.length,
    width: 30,
    height: 20 + index,
    sha256: sha256(body).toString('hex'),
  }))
  for (const [index, { name, type, height }] of images.entries()) {
    const metadata = { ...WRITTEN_BY_US, width: '30', height: String(height) }
    await store.put(`stories/${id}/${name}`, inChunks(bodies[index] as Buffer), { contentType: type, metadata })
  }
  const fingerprint = sha256(Buffer.concat(bodies.map(sha256))).toString('hex')
  await putRecord(store, id, { version: 1, images, fingerprint }, bodies.length)
}

async function putRecord(store: ObjectStore, id: string, record: unknown, count = 3): Promise<void> {
  const text = typeof record === 'string' || Buffer.isBuffer(record) ? record : JSON.stringify(record)
  const options = { contentType: 'application/json', metadata: WRITTEN_BY_US }
  await store.put(`stories/${id}/0.${count}.json`, inChunks(text), options)
}

/** Replaces the bytes of an object, and nothing else of it. */
async function change(store: ObjectStore, key: string, to: (bytes: Buffer) => Buffer): Promise<void> {
  const { body, contentType = '', metadata } = await store.get(key)
  await store.put(key, inChunks(to(await readAll(body))), { contentType, metadata })
}

async function verified(store: ObjectStore, id?: string) {
  const damaged: Record<string, readonly string[]> = {}
  const report = await verifyStories(store, {
    ...(id !== undefined && { id }),
    onDamaged: (id, problems) => {
      damaged[id] = problems
    },
  })
  return { report, damaged }
}

const flip =
  (at: number, bit = 1) =>
  (bytes: Buffer) => {
    const flipped = Buffer.from(bytes)
    flipped[at] = (flipped[at] as number) ^ bit
    return flipped
  }

const editRecord = (
  edit: (record: { version: number; images: Record<string, unknown>[]; fingerprint: string }) => void,
) => {
  return (bytes: Buffer) => {
    const record = JSON.parse(bytes.toString())
    edit(record)
    return Buffer.from(JSON.stringify(record))
  }
}

type Damage = readonly [
  what: string,
  damage: (store: ObjectStore, folder: string) => Promise<unknown>,
  problems: RegExp[],
]

const inRecord = (what: string, edit: Parameters<typeof editRecord>[0], problem: RegExp): Damage => [
  what,
  (store, folder) => change(store, `${folder}0.3.json`, editRecord(edit)),
  [problem],
]

const DAMAGES: readonly Damage[] = [
  [
    'a bit is flipped',
    (store, folder) => change(store, `${folder}2.jpg`, flip(LARGE.length - MIB / 4)),
    [/^2\.jpg has other bytes/],
  ],
  [
    'an image is cut',
    (store, folder) => change(store, `${folder}2.jpg`, (bytes) => bytes.subarray(0, -1)),
    [new RegExp(`^2\\.jpg has ${LARGE.length - 1} bytes, and not ${LARGE.length}$`)],
  ],
  [
    'an image is empty',
    (store, folder) => change(store, `${folder}3.jpg`, () => Buffer.alloc(0)),
    [/^3\.jpg has 0 bytes/],
  ],
  [
    'an image is longer',
    (store, folder) => change(store, `${folder}1.jpg`, (bytes) => Buffer.concat([bytes, SMALL])),
    [/^1\.jpg has 16 bytes, and not 8$/],
  ],
  [
    'two images are swapped in size and place',
    async (store, folder) => {
      await change(store, `${folder}1.jpg`, () => LARGE)
      await change(store, `${folder}2.jpg`, () => SMALL)
    },
    [/^1\.jpg has \d+ bytes/, /^2\.jpg has 8 bytes/],
  ],
  ['an image is missing', (store, folder) => store.delete([`${folder}1.jpg`]), [/^1\.jpg is missing$/]],
  ['the last one is missing', (store, folder) => store.delete([`${folder}3.jpg`]), [/^3\.jpg is missing$/]],
  [
    'all images are missing',
    (store, folder) => store.delete([1, 2, 3].map((n) => `${folder}${n}.jpg`)),
    [/^1\.jpg is missing$/, /^2\.jpg is missing$/, /^3\.jpg is missing$/],
  ],
  ['there is one more', (store, folder) => putOurs(store, `${folder}4.jpg`), [/^4\.jpg is not in the record$/]],
  ['a number is there twice', (store, folder) => putOurs(store, `${folder}1.png`), [/^1\.png is not in the record$/]],
  [
    'the record is empty',
    (store, folder) => change(store, `${folder}0.3.json`, () => Buffer.alloc(0)),
    [/^the record is not JSON$/],
  ],
  [
    'the record is cut, and an image missing',
    async (store, folder) => {
      await change(store, `${folder}0.3.json`, (bytes) => bytes.subarray(0, 100))
      await store.delete([`${folder}3.jpg`])
    },
    [/^the record is not JSON$/, /^there are 2 images, and not 3$/],
  ],
  [
    'the record is a list',
    (store, folder) => change(store, `${folder}0.3.json`, () => Buffer.from('[]')),
    [/^the record is JSON, but/],
  ],
  [
    'the record is huge',
    (store, folder) => change(store, `${folder}0.3.json`, () => Buffer.alloc(9 * MIB, ' ')),
    [/^the record has 9437184 bytes, which no record has$/],
  ],
  [
    'the record has another count in its name',
    async (store, folder) => {
      const { body } = await store.get(`${folder}0.3.json`)
      const record = await readAll(body)
      await store.delete([`${folder}0.3.json`])
      await putRecord(store, folder.split('/')[1] as string, record, 2)
    },
    [/^the record is named for 2 images and lists 3$/, /^there are 3 images, and not 2$/],
  ],
  [
    'there is a second record',
    (store, folder) => putRecord(store, folder.split('/')[1] as string, '{}', 4),
    [/^the record is JSON, but/, /^there are 3 images, and not 4$/, /^there are 2 records$/],
  ],
  inRecord('a version from the future', (record) => (record.version = 2), /version 1$/),
  inRecord(
    'another digest',
    ({ images }) => ((images[0] as object as { sha256: string }).sha256 = 'a'.repeat(64)),
    /fingerprint/,
  ),
  inRecord('another fingerprint', (record) => (record.fingerprint = 'a'.repeat(64)), /fingerprint/),
  inRecord(
    'another size',
    ({ images }) => Object.assign(images[0] ?? {}, { size: 9 }),
    /^1\.jpg has 8 bytes, and not 9$/,
  ),
  inRecord('another width', ({ images }) => Object.assign(images[0] ?? {}, { width: 31 }), /^1\.jpg has the width 30 /),
  inRecord(
    'another type',
    ({ images }) => Object.assign(images[1] ?? {}, { type: 'image/png' }),
    /name or type of image 2$/,
  ),
  inRecord('another order', ({ images }) => images.reverse(), /name or type of image 1$/),
  inRecord('an image less', ({ images }) => images.pop(), /named for 3 images and lists 2$/),
]

for (const { name, open } of sample([disk, standIn, ...storesUnderTest.slice(4)], 1)) {
  t.test(`every kind of damage is found, where it is, and nothing else (${name})`, async (t) => {
    const store = await open(t)
    const sound = [v7(), v7()]
    for (const id of sound) await putWhole(store, id)
    const imported = randomUUID()
    await putBytes(store, `stories/${imported}/1.jpg`)
    await putBytes(store, `stories/${randomUUID()}/notes.txt`)
    const left = v7()
    await putOurs(store, `stories/${left}/1.jpg`)
    await putBytes(store, `stories/${sound[0]}/notes.txt`)
    const bytes = LARGE.length + 2 * SMALL.length
    const counts = { imported: 1, unfinished: 1, damaged: 0 }
    t.same(await verified(store), { damaged: {}, report: { ...counts, stories: 2, images: 6, bytes: 2 * bytes } })

    for (const [what, damage, problems] of DAMAGES) {
      const id = v7()
      await putWhole(store, id)
      await damage(store, `stories/${id}/`)
      const { damaged, report } = await verified(store, id)
      t.match(damaged, { [id]: problems }, what)
      t.equal(damaged[id]?.length, problems.length, `${what}: ${damaged[id]?.join('; ')}`)
      t.match(report, { stories: 1, damaged: 1, imported: 0, unfinished: 0 })
    }
    const { damaged, report } = await verified(store)
    t.equal(Object.keys(damaged).length, DAMAGES.length)
    t.notOk(sound.some((id) => id in damaged))
    t.match(report, { ...counts, stories: 2 + DAMAGES.length, damaged: DAMAGES.length })

    t.match(await verified(store, sound[1]), { damaged: {}, report: { stories: 1, images: 3 } })
    t.match(await verified(store, imported), { report: { stories: 0, imported: 1, images: 0, bytes: 0 } })
    for (const id of [left, v7(), randomUUID()]) await t.rejects(verified(store, id), StoryNotFound)
    await store.delete([`stories/${sound[1]}/0.3.json`])
    t.match(await verified(store), { report: { unfinished: 2, damaged: DAMAGES.length } }, 'a record that is gone')
  })
}

t.test('a flipped bit anywhere in a record is found', async (t) => {
  const store = await disk.open(t)
  const id = v7()
  await putWhole(store, id, [SMALL, Buffer.from('another')])
  const record = await readAll((await store.get(`stories/${id}/0.2.json`)).body)
  const missed: number[] = []
  for (const at of sample([...record.keys()], 25)) {
    await putRecord(store, id, flip(at, 1 << (at % 7))(record), 2)
    if ((await verified(store, id)).report.damaged !== 1) missed.push(at)
  }
  t.same(missed, [], `${record.length} records`)
})

t.test('what is deleted meanwhile is no damage', async (t) => {
  for (const when of ['0.3.json', '1.jpg', '3.jpg']) {
    const below = await standIn.open(t)
    const [id, sound] = [v7(), v7()]
    await putWhole(below, id)
    await putWhole(below, sound, [SMALL])
    const store: ObjectStore = {
      ...below,
      async get(key, options) {
        if (key.endsWith(`${id}/${when}`))
          await below.delete(['0.3.json', '1.jpg', '2.jpg', '3.jpg'].map((name) => `stories/${id}/${name}`))
        return below.get(key, options)
      },
    }
    t.match(await verified(store), { damaged: {}, report: { stories: 1, damaged: 0 } }, when)
    await putWhole(below, id)
    await t.rejects(verified(store, id), StoryNotFound)
  }
})

t.test('a deletion between two pages of the list, and one under way, are no damage', async (t) => {
  const below = await disk.open(t)
  const id = v7()
  await putWhole(below, id)
  let listed = 0
  const store: ObjectStore = {
    ...below,
    async *list(options) {
      for await (const page of below.list(options)) {
        // The first look sees the record, and of the images only the first
        yield listed++ === 0 ? page.slice(0, 2) : page
        if (listed === 1) await below.delete([`stories/${id}/0.3.json`, `stories/${id}/2.jpg`])
      }
    },
  }
  t.match(await verified(store), { damaged: {}, report: { stories: 0, damaged: 0 } })
})

t.test('a store that fails now and then is asked again; one that is away ends it', async (t) => {
  const below = await disk.open(t)
  const [id, other] = [v7(), v7()]
  for (const each of [id, other]) await putWhole(below, each, [SMALL])
  const failing = (fail: (key: string, calls: number) => void): ObjectStore => {
    const calls = new Map<string, number>()
    return {
      ...below,
      async get(key, options) {
        calls.set(key, (calls.get(key) ?? 0) + 1)
        fail(key, calls.get(key) as number)
        return below.get(key, options)
      },
    }
  }
  const twice = failing((_key, calls) => {
    if (calls <= 2) throw new StoreUnavailable()
  })
  t.match(await verified(twice), { damaged: {}, report: { stories: 2, images: 2 } })
  const away = failing((key) => {
    if (key.endsWith('.jpg')) throw new StoreUnavailable()
  })
  await t.rejects(verified(away), StoreUnavailable)
  const broken = failing((key) => {
    if (key === `stories/${id}/1.jpg`) throw new StoreFailure({ cause: new Error('EIO: i/o error, read') })
  })
  t.same((await verified(broken)).damaged, { [id]: ["1.jpg can't be read: EIO: i/o error, read"] })
  const unlisted = failing((key) => {
    if (key === `stories/${id}/0.1.json`) throw new ObjectNotFound(key)
  })
  t.match((await verified(unlisted)).damaged, { [id]: [/^the record is missing$/] })
})

t.test('a body that breaks off is read again', async (t) => {
  const below = await disk.open(t)
  const id = v7()
  await putWhole(below, id, [SMALL])
  let breaks = 2
  const store: ObjectStore = {
    ...below,
    async get(key, options) {
      const found = await below.get(key, options)
      if (!key.endsWith('.jpg') || breaks-- <= 0) return found
      found.body.destroy()
      const body = Readable.from(
        (async function* () {
          yield SMALL.subarray(0, 3)
          throw new Error('socket hang up')
        })(),
      )
      return { ...found, body }
    },
  }
  t.match(await verified(store), { damaged: {}, report: { images: 1, bytes: 8 } })
  breaks = 3
  t.same((await verified(store)).damaged, { [id]: ["1.jpg can't be read: socket hang up"] })
})

t.test('it stops when it is told to, and reads a few at a time', async (t) => {
  const below = await disk.open(t)
  for (let n = 0; n < 40; n++) await putWhole(below, v7(), [SMALL])
  let reading = 0
  let most = 0
  let calls = 0
  const stop = new AbortController()
  const store: ObjectStore = {
    ...below,
    async get(key, options) {
      calls += 1
      if (calls === 20) stop.abort(new Error('stopped'))
      reading += 1
      most = Math.max(most, reading)
      try {
        await new Promise((resolve) => setTimeout(resolve, 2))
        return await below.get(key, options)
      } finally {
        reading -= 1
      }
    },
  }
  const stopped = verifyStories(store, { signal: stop.signal, onDamaged: () => t.fail('nothing is damaged') })
  await t.rejects(stopped, { message: 'stopped' })
  t.ok(calls < 30, `${calls} calls`)
  t.equal(most, 4)
  const counts: number[] = []
  await verifyStories(below, { onDamaged: () => t.fail(), onProgress: ({ stories }) => counts.push(stories) })
  t.same(
    counts,
    Array.from({ length: 40 }, (_, n) => n + 1),
  )
})
