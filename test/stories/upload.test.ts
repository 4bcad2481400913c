import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import sharp from 'sharp'
import t, { type Test } from 'tap'
import {
  BrokenImage,
  ClientGone,
  EmptyFile,
  HeicImage,
  KeyReused,
  NoFiles,
  OutcomeUnknown,
  ServiceError,
  StoreFailure,
  StoreFull,
  StoreUnavailable,
  SvgImage,
  TooManyPixels,
  UnsupportedImage,
} from '../../src/errors.ts'
import type { Body, ObjectStore } from '../../src/store/object-store.ts'
import { findStory } from '../../src/stories/list.ts'
import { storyStore } from '../../src/stories/story-store.ts'
import { type UploadedStory, type UploadOptions, uploadStory } from '../../src/stories/upload.ts'
import { inChunks, listKeys, MIB, readAll, until } from '../support/bodies.ts'
import { bigImage, makeImage, makePhoto, NOT_IMAGES } from '../support/images.ts'
import { recordCalls } from '../support/recording-store.ts'
import { storesUnderTest } from '../support/stores.ts'

const { open } = storesUnderTest[0] as (typeof storesUnderTest)[number]
const JPG = await makeImage({ type: 'jpg', width: 40, height: 30 })
const PNG = await makeImage({ type: 'png', width: 20, height: 50 })
const TURNED = await makeImage({ type: 'jpg', width: 40, height: 30, orientation: 6 })

async function* bodies(images: readonly Uint8Array[], chunk?: number): AsyncGenerator<Body> {
  for (const image of images) yield inChunks(image, chunk)
}

/** A client that sends nothing more, and does not go away either. */
const silence = () => new Promise<never>(() => {})

function upload(store: ObjectStore, images: AsyncIterable<Body>, options: Partial<UploadOptions> = {}) {
  return uploadStory(storyStore(store, 3_600_000), images, {
    maxPixels: 1_000_000_000,
    readAhead: true,
    signal: new AbortController().signal,
    onDebris: (error) => t.fail('there is debris', { error }),
    ...options,
  })
}

/** Something to wait for, until it is opened. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

/** A store whose puts of images take their bytes, but do not end before they are released. */
async function openHeld(t: Test) {
  const disk = await open(t)
  const held: { key: string; size: number; ended: boolean; release: () => void }[] = []
  const store = recordCalls(disk, {
    put: (key, body, options) => {
      if (key.endsWith('.json')) return disk.put(key, body, options)
      const put = { key, size: 0, ended: false, release: () => {} }
      const released = new Promise<void>((resolve) => {
        put.release = resolve
      })
      held.push(put)
      async function* counted() {
        for await (const chunk of body) {
          put.size += chunk.length
          yield chunk
        }
        put.ended = true
        await released
      }
      return disk.put(key, counted(), options)
    },
  })
  return { disk, store, held }
}

/** Waits until something holds, and then until nothing changes any more. */
async function untilQuiet(holds: () => boolean, state: () => unknown): Promise<void> {
  await until(holds)
  for (let same = 0, before = ''; same < 20; same++) {
    const now = JSON.stringify(state())
    if (now !== before) same = 0
    before = now
    await sleep(5)
  }
}

t.test('a story is its images in their order, with what they are', async (t) => {
  const store = await open(t)
  const images = [JPG, PNG, TURNED, await makeImage({ type: 'webp' }), await makeImage({ type: 'gif' })]
  const { id, keys } = await upload(store, bodies(images))
  t.same(
    keys,
    ['1.jpg', '2.png', '3.jpg', '4.webp', '5.gif'].map((name) => `stories/${id}/${name}`),
  )
  const story = await findStory(store, id)
  t.same(
    story.images.map((image) => image.key),
    keys,
  )
  for (const [index, key] of keys.entries()) {
    const { body } = await store.get(key)
    t.ok(images[index]?.equals(await readAll(body)), key)
  }
  t.match(await store.head(keys[1] as string), {
    contentType: 'image/png',
    metadata: { 'written-by': 'story-images', width: '20', height: '50' },
  })
  t.match(await store.head(keys[2] as string), { metadata: { width: '30', height: '40' } }, 'as displayed')
})

t.test('the record says what the images are', async (t) => {
  const store = await open(t)
  const { id } = await upload(store, bodies([JPG, PNG]))
  const record = await store.get(`stories/${id}/0.2.json`)
  t.match(record, { contentType: 'application/json', metadata: { 'written-by': 'story-images' } })
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()
  t.same(JSON.parse((await readAll(record.body)).toString()), {
    version: 1,
    images: [
      {
        name: '1.jpg',
        type: 'image/jpeg',
        size: JPG.length,
        width: 40,
        height: 30,
        sha256: sha256(JPG).toString('hex'),
      },
      {
        name: '2.png',
        type: 'image/png',
        size: PNG.length,
        width: 20,
        height: 50,
        sha256: sha256(PNG).toString('hex'),
      },
    ],
    fingerprint: sha256(Buffer.concat([sha256(JPG), sha256(PNG)])).toString('hex'),
  })
})

t.test('what is stored, recorded and compared is the image after its position was removed', async (t) => {
  const photo = await makePhoto()
  t.match((await sharp(photo).metadata()).exif?.toString('latin1'), /Atlantis/)
  const stored = new Set<string>()
  for (const chunk of [1, 100, MIB]) {
    const store = await open(t)
    const options = { strip: 'location', idempotencyName: 'a'.repeat(64) } as const
    const { id, keys } = await upload(store, bodies([photo, PNG], chunk), options)
    const [image, png] = await Promise.all(keys.map(async (key) => readAll((await store.get(key)).body)))
    if (!image) throw new Error('there is no image')
    t.notMatch(image.toString('latin1'), /Atlantis/)
    t.match(image.toString('latin1'), /Plato/)
    t.ok(png?.equals(PNG), 'an image without metadata stays as it is')
    t.ok((await sharp(image).raw().toBuffer()).equals(await sharp(photo).raw().toBuffer()), 'the pixels are the same')
    t.match(await store.head(keys[0] as string), { size: image.length, metadata: { width: '30', height: '40' } })
    const record = JSON.parse((await readAll((await store.get(`stories/${id}/0.2.claimed.json`)).body)).toString())
    const sha256 = createHash('sha256').update(image).digest('hex')
    t.match(record.images[0], { size: image.length, sha256, width: 30, height: 40 })
    stored.add(sha256)

    t.match(await upload(store, bodies([photo, PNG], 7), options), { id, isReplay: true }, 'sent again')
    t.match(await upload(store, bodies([image, PNG]), options), { id, isReplay: true }, 'the stored one is the same')
    await t.rejects(upload(store, bodies([photo, PNG]), { ...options, strip: 'all' }), KeyReused)
    await t.rejects(upload(store, bodies([photo, PNG]), { ...options, strip: undefined }), KeyReused)
  }
  t.equal(stored.size, 1, 'in chunks of any size')
})

t.test('without a setting an image is stored byte for byte, with its position and what comes after it', async (t) => {
  const store = await open(t)
  const photo = Buffer.concat([await makePhoto(), Buffer.from('after it')])
  const { keys } = await upload(store, bodies([photo]))
  t.ok(photo.equals(await readAll((await store.get(keys[0] as string)).body)))
})

t.test('images come through in chunks of any size', async (t) => {
  const store = await open(t)
  for (const chunk of [1, 3, 1000, MIB]) {
    const { keys } = await upload(store, bodies([JPG, PNG], chunk))
    for (const [index, key] of keys.entries()) {
      t.ok([JPG, PNG][index]?.equals(await readAll((await store.get(key)).body)), `chunks of ${chunk}`)
    }
  }
})

t.test('the record is written when every image is stored', async (t) => {
  const store = recordCalls(await open(t))
  const { id, keys } = await upload(store, bodies([JPG, PNG, JPG]))
  const at = store.calls.indexOf(`put stories/${id}/0.3.json`)
  t.same(
    store.calls
      .slice(0, at)
      .filter((call) => call.endsWith(' done'))
      .sort(),
    keys.map((key) => `put ${key} done`),
  )
  t.same(store.calls.slice(at), [`put stories/${id}/0.3.json`, `put stories/${id}/0.3.json done`])
})

t.test('images are stored while the next ones are read, up to a number', async (t) => {
  const { disk, store, held } = await openHeld(t)
  let asked = 0
  async function* images() {
    for (asked = 1; asked <= 20; asked++) yield inChunks(JPG)
  }
  const running = upload(store, images())
  await untilQuiet(
    () => asked === 9,
    () => [asked, held],
  )
  t.equal(held.length, 8, 'puts are under way')
  t.equal(asked, 9, 'and one more image was begun')
  t.same(await listKeys(disk), [], 'none is stored')
  held[3]?.release()
  await untilQuiet(
    () => held.length === 9,
    () => [asked, held],
  )
  t.equal(held.length, 9, 'one that is stored makes room for one')
  const story = await releaseAll(held, running)
  t.equal(story.keys.length, 20)
  t.equal((await findStory(disk, story.id)).images.length, 20)
})

t.test('images that are not stored yet hold no more than 5 MiB when the next one is begun', async (t) => {
  const { store, held } = await openHeld(t)
  const image = await bigImage(2_000_000)
  const running = upload(store, bodies([image, image, image, image, image]))
  await untilQuiet(
    () => held[2]?.ended === true,
    () => held,
  )
  t.equal(held.length, 3)
  t.equal((await releaseAll(held, running)).keys.length, 5)
})

t.test('a file of several parts waits for the others before its second part', async (t) => {
  const { store, held } = await openHeld(t)
  const large = await bigImage(12_000_000)
  const running = upload(store, bodies([JPG, large, JPG]))
  await untilQuiet(
    () => (held[1]?.size ?? 0) > 4 * MIB,
    () => held,
  )
  t.equal(held.length, 2)
  t.ok((held[1]?.size ?? 0) <= 5 * MIB, 'one part was read')
  held[0]?.release()
  await until(() => held[1]?.ended === true)
  t.equal(held[1]?.size, large.length)
  t.equal((await releaseAll(held, running)).keys.length, 3)
})

t.test('a put that fails ends the upload at once, whatever the client does', async (t) => {
  const disk = await open(t)
  const full = new StoreFull()
  const store = recordCalls(disk, {
    put: async (key, body, options) => {
      if (!key.endsWith('/2.jpg')) return disk.put(key, body, options)
      for await (const _chunk of body);
      throw full
    },
  })
  async function* sendsNoMoreImages() {
    yield* bodies([JPG, JPG])
    await silence()
  }
  async function* stopsInTheHead() {
    yield* bodies([JPG, JPG])
    yield (async function* () {
      yield JPG.subarray(0, 3)
      await silence()
    })()
  }
  async function* stopsInTheBytes() {
    yield* bodies([JPG, JPG])
    yield (async function* () {
      yield JPG
      await silence()
    })()
  }
  for (const images of [sendsNoMoreImages(), stopsInTheHead(), stopsInTheBytes(), bodies([JPG, JPG, JPG, JPG])]) {
    t.equal(await upload(store, images).catch((error) => error), full)
    t.same(await listKeys(disk), [], 'nothing is left')
  }
  t.notOk(store.calls.some((call) => call.includes('.json')))
})

t.test('an image that goes on after the upload failed is not stored', async (t) => {
  const disk = await open(t)
  const isWaiting = gate()
  const late = gate()
  const store = recordCalls(disk, {
    put: async (key, body, options) => {
      if (!key.endsWith('/1.jpg')) return disk.put(key, body, options)
      for await (const _chunk of body);
      await isWaiting.opened
      throw new StoreFailure()
    },
  })
  let wentOn = false
  async function* images() {
    yield inChunks(JPG)
    yield (async function* () {
      yield PNG.subarray(0, 10)
      isWaiting.open()
      await late.opened
      wentOn = true
      yield PNG.subarray(10)
    })()
  }
  await t.rejects(upload(store, images()), StoreFailure)
  late.open()
  await untilQuiet(
    () => wentOn,
    () => store.calls,
  )
  t.same(await listKeys(disk), [])
})

t.test('a signal ends the upload with its reason, and leaves nothing', async (t) => {
  const store = await open(t)
  const reason = new ClientGone()
  async function* images(controller: AbortController, mid: boolean) {
    yield inChunks(JPG)
    yield (async function* () {
      yield mid ? JPG.subarray(0, 100) : JPG
      controller.abort(reason)
      await silence()
    })()
  }
  for (const mid of [true, false]) {
    const controller = new AbortController()
    const running = upload(store, images(controller, mid), { signal: controller.signal })
    t.equal(await running.catch((error) => error), reason)
    t.same(await listKeys(store), [])
  }
  const before = upload(store, bodies([JPG]), { signal: AbortSignal.abort(reason) })
  t.equal(await before.catch((error) => error), reason)
  t.same(await listKeys(store), [])
})

t.test('a signal after the last image, before the record, ends the upload; later it has no effect', async (t) => {
  const disk = await open(t)
  const reason = new ClientGone()
  for (const [when, isStored] of [
    ['/1.jpg', false],
    ['.json', true],
  ] as const) {
    const controller = new AbortController()
    const store = recordCalls(disk, {
      put: async (key, body, options) => {
        const result = await disk.put(key, body, options)
        if (key.endsWith(when)) controller.abort(reason)
        return result
      },
    })
    const result = await upload(store, bodies([JPG]), { signal: controller.signal }).catch((error) => error)
    if (isStored) t.equal((await findStory(disk, result.id)).images.length, 1)
    else t.equal(result, reason)
    t.equal((await listKeys(disk)).length, isStored ? 2 : 0)
  }
})

t.test('what is no image is named by its number, and nothing is stored', async (t) => {
  const store = await open(t)
  for (const [images, type, message] of [
    [[], NoFiles, /No files/],
    [[JPG, Buffer.alloc(0)], EmptyFile, /File 2 /],
    [[NOT_IMAGES.text], UnsupportedImage, /File 1 /],
    [[JPG, PNG, NOT_IMAGES.svg, JPG], SvgImage, /File 3 /],
    [[JPG, NOT_IMAGES.heic], HeicImage, /File 2 /],
    [[JPG.subarray(0, 20)], BrokenImage, /File 1 /],
  ] as const) {
    const error = await upload(store, bodies(images)).catch((error) => error)
    t.type(error, type)
    t.match(error.message, message)
    t.same(await listKeys(store), [])
  }
  const error = await upload(store, bodies([PNG, JPG]), { maxPixels: 1100 }).catch((error) => error)
  t.type(error, TooManyPixels)
  t.match(error.message, /File 2 .*40 × 30.*1100/)
  t.same(await listKeys(store), [])
  await t.resolves(upload(store, bodies([JPG]), { maxPixels: 1200 }), 'as many as allowed are fine')
})

t.test('the error of the client’s body is the upload’s, and nothing is left', async (t) => {
  const store = await open(t)
  const broken = new ServiceErrorOfTest()
  async function* failsInBody(bytes: Uint8Array) {
    yield inChunks(JPG)
    yield (async function* () {
      yield bytes
      throw broken
    })()
  }
  async function* failsBetween() {
    yield inChunks(JPG)
    throw broken
  }
  for (const images of [failsInBody(JPG), failsInBody(JPG.subarray(0, 5)), failsBetween()]) {
    t.equal(await upload(store, images).catch((error) => error), broken)
    t.same(await listKeys(store), [])
  }
})

t.test('what can not be removed is reported, and the failure stays what it was', async (t) => {
  const disk = await open(t)
  const failure = new StoreUnavailable()
  const store = recordCalls(disk, { delete: () => Promise.reject(failure) })
  const reported: unknown[] = []
  const onDebris = (error: unknown) => reported.push(error)
  await t.rejects(upload(store, bodies([JPG, NOT_IMAGES.text]), { onDebris }), UnsupportedImage)
  t.same(reported, [failure])
  t.equal((await listKeys(disk)).length, 1, 'an image without a record, which no list of stories shows')
})

/** How the put of the record goes: what is stored, and what later calls say. */
async function uploadWithRecord(
  t: Test,
  { stored, head, remove, late }: { stored: boolean; head?: 'fails'; remove?: 'fails' | 'images fail'; late?: boolean },
) {
  const disk = await open(t)
  const failure = new StoreUnavailable()
  let landing: Promise<unknown> | undefined
  let land = () => {}
  const store = recordCalls(disk, {
    put: async (key, body, options) => {
      if (!key.endsWith('.json')) return disk.put(key, body, options)
      const bytes = await readBody(body)
      if (stored) await disk.put(key, inChunks(bytes), options)
      land = () => {
        if (late) landing = disk.put(key, inChunks(bytes), options)
      }
      throw failure
    },
    head: (key) => (head === 'fails' ? Promise.reject(new StoreUnavailable()) : disk.head(key)),
    delete: (keys) => {
      const isRecord = keys.some((key) => key.endsWith('.json'))
      const fails = remove === 'fails' || (remove === 'images fail' && !isRecord)
      return fails ? Promise.reject(new StoreUnavailable()) : disk.delete(keys)
    },
  })
  const result: UploadedStory | ServiceError = await upload(store, bodies([JPG, PNG]), { onDebris: () => {} }).catch(
    (error) => error,
  )
  land()
  await landing
  return { disk, failure, result, keys: await listKeys(disk) }
}

t.test('a record whose answer was lost makes a story', async (t) => {
  const { disk, result } = await uploadWithRecord(t, { stored: true })
  t.equal((await findStory(disk, (result as UploadedStory).id)).images.length, 2)
})

t.test('a record that was not stored fails the upload, and nothing is left', async (t) => {
  for (const head of [undefined, 'fails'] as const) {
    const { failure, result, keys } = await uploadWithRecord(t, { stored: false, ...(head && { head }) })
    t.equal(result, failure)
    t.same(keys, [])
  }
})

t.test('a record that is stored but can not be seen is removed again', async (t) => {
  const { failure, result, keys } = await uploadWithRecord(t, { stored: true, head: 'fails' })
  t.equal(result, failure)
  t.same(keys, [])
})

t.test('a record that lands after the upload failed finds no images, so there is no story', async (t) => {
  const { disk, failure, result, keys } = await uploadWithRecord(t, { stored: false, late: true })
  t.equal(result, failure)
  t.equal(keys.length, 1)
  await t.rejects(findStory(disk, keys[0]?.split('/')[1] ?? ''), { name: 'StoryNotFound' })
})

t.test(
  'when nobody can tell whether the record is there the outcome is unknown, and no image is removed',
  async (t) => {
    for (const stored of [true, false]) {
      const { disk, result, keys } = await uploadWithRecord(t, { stored, head: 'fails', remove: 'fails' })
      t.type(result, OutcomeUnknown)
      t.equal(keys.length, stored ? 3 : 2)
      const found = findStory(disk, keys[0]?.split('/')[1] ?? '')
      if (stored) t.equal((await found).images.length, 2, 'the story is entirely there')
      else await t.rejects(found, { name: 'StoryNotFound' }, 'or not at all')
    }
  },
)

t.test('images that can not be removed, of a record that may still land, make the outcome unknown', async (t) => {
  const { disk, result, keys } = await uploadWithRecord(t, { stored: false, remove: 'images fail', late: true })
  t.type(result, OutcomeUnknown)
  t.equal((await findStory(disk, keys[0]?.split('/')[1] ?? '')).images.length, 2)
})

async function releaseAll(
  held: readonly { release: () => void }[],
  running: Promise<UploadedStory>,
): Promise<UploadedStory> {
  let story: UploadedStory | undefined
  running.then((result) => {
    story = result
  })
  await until(() => {
    for (const put of held) put.release()
    return story !== undefined
  })
  return running
}

async function readBody(body: Body): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

class ServiceErrorOfTest extends ServiceError {
  override readonly status = 400
  override readonly retryAfter = undefined
}
