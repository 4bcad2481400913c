import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import sharp from 'sharp'
import t, { type Test } from 'tap'
import { v7 } from 'uuid'
import { HugeImage, ObjectNotFound, ServerBusy, ShuttingDown, StoreFailure, UnreadableImage } from '../../src/errors.ts'
import { FairQueue } from '../../src/http/limits/fair-queue.ts'
import { WRITTEN_BY_US } from '../../src/layout/story.ts'
import type { VariantSpec } from '../../src/layout/variant.ts'
import type { FoundObject, ObjectStore } from '../../src/store/object-store.ts'
import { removeStory } from '../../src/stories/remove.ts'
import { storyStore } from '../../src/stories/story-store.ts'
import { type Queue, Variants } from '../../src/variants/variants.ts'
import { JobTimeout } from '../../src/variants/worker-process.ts'
import { Workers } from '../../src/variants/workers.ts'
import { inChunks, listKeys, MIB, readAll, until } from '../support/bodies.ts'
import { sample } from '../support/extent.ts'
import { makeImage } from '../support/images.ts'
import { PATIENCE } from '../support/patience.ts'
import { type Changes, recordCalls } from '../support/recording-store.ts'
import { storesUnderTest } from '../support/stores.ts'

const HOUR = 3_600_000
const MAX_BYTES = 8 * MIB
// The tests count the child processes of this one
t.jobs = 1
const { open } = storesUnderTest[0] as (typeof storesUnderTest)[number]

/** Returns workers whose jobs may take `PATIENCE`: on a busy machine a process of low priority is slow. */
const patientWorkers = () => new Workers({ jobTimeoutMs: PATIENCE })

let shared = patientWorkers()
t.teardown(() => shared.close())

/** The workers of most tests: to start one takes longer than to make some variants. */
const sharedWorkers: Pick<Workers, 'use' | 'close'> = { use: (work) => shared.use(work), close: async () => {} }

/** Workers of a test's own, when there is no other worker. */
async function ownWorkers(): Promise<Workers> {
  await shared.close()
  shared = patientWorkers()
  return patientWorkers()
}

interface Setting {
  readonly queue: FairQueue
  readonly store: ObjectStore & { readonly calls: string[] }
  readonly variants: Variants
  readonly spec: VariantSpec
  readonly outcomes: string[]
  /** Reads the bytes of a variant. */
  get(spec?: VariantSpec, signal?: AbortSignal): Promise<Buffer>
}

async function setUp(
  t: Test,
  image: Buffer,
  {
    change,
    atOnce = 2,
    timeoutMs = PATIENCE,
    workers = sharedWorkers,
  }: {
    change?: (store: ObjectStore) => Changes
    atOnce?: number
    timeoutMs?: number
    workers?: Pick<Workers, 'use' | 'close'>
  } = {},
): Promise<Setting> {
  const bare = await open(t)
  const store = recordCalls(bare, change?.(bare))
  const queue = new FairQueue(atOnce, { timeoutMs, maxQueued: 1000, refusal: () => new ServerBusy() })
  const outcomes: string[] = []
  const variants = new Variants(store, queue, MAX_BYTES, (outcome) => outcomes.push(outcome), workers)
  t.teardown(() => variants.close())
  const storyId = v7()
  const spec: VariantSpec = { storyId, source: `stories/${storyId}/1.jpg`, width: 20, format: 'webp' }
  await store.put(spec.source, inChunks(image), { contentType: 'image/jpeg', metadata: WRITTEN_BY_US })
  store.calls.length = 0
  return {
    store,
    queue,
    variants,
    spec,
    outcomes,
    async get(requested = spec, signal = new AbortController().signal) {
      const found: FoundObject = await variants.find(requested, (key) => store.get(key), {
        clientId: 'somebody',
        signal,
      })
      return readAll(found.body)
    },
  }
}

const putsOf = ({ calls }: Setting['store']) =>
  calls.filter((call) => /^put .*[^e]$/.test(call) && !call.endsWith('done'))

/** Makes a GIF whose frames change one pixel each. */
function animation(width: number, height: number, frames: number): Buffer {
  const head = Buffer.from('GIF89a....\x80\0\0\0\0\0\xff\xff\xff', 'latin1')
  head.writeUInt16LE(width, 6)
  head.writeUInt16LE(height, 8)
  const frame = Buffer.from([0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0])
  return Buffer.concat([head, ...Array<Buffer>(frames).fill(frame), Buffer.from(';')])
}

/** Returns the ids of the workers of this process (Linux, proc(5)). */
function workers(): number[] {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ').filter(Boolean)
  return children.map(Number).filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('variants/worker'))
}

t.test('a variant is made once, kept in the store and served from there', async (t) => {
  const { store, spec, get } = await setUp(t, await makeImage({ type: 'jpg' }))
  const first = await get()
  t.equal(first.toString('latin1', 8, 12), 'WEBP')
  const key = `variants/${spec.storyId}/1.jpg.20.webp`
  t.same(putsOf(store), [`put ${key}`])
  const { contentType, metadata } = await store.head(key)
  t.equal(contentType, 'image/webp')
  t.match(metadata, { ...WRITTEN_BY_US, width: '20', height: '15' })
  t.ok((await get()).equals(first))
  t.equal(putsOf(store).length, 1, 'it is not made again')
  await get({ ...spec, width: 10 })
  await get({ ...spec, format: 'jpeg' })
  t.equal(putsOf(store).length, 3)
})

t.test('concurrent requests for a variant wait for one job', async (t) => {
  const { store, spec, get } = await setUp(t, await makeImage({ type: 'jpg', width: 800, height: 600 }))
  const leaving = new AbortController()
  const all = Array.from({ length: 20 }, (_, n) => get(spec, n === 0 ? leaving.signal : undefined))
  await until(() => store.calls.length > 0)
  leaving.abort(new Error('gone'))
  const [first, ...rest] = await Promise.allSettled(all)
  t.equal(first?.status, 'rejected', 'a client that has left does not wait')
  t.same(new Set(rest.map(({ status }) => status)), new Set(['fulfilled']))
  t.equal(putsOf(store).length, 1)
})

t.test(
  'no more variants are made at once than allowed, in processes with low priority and without credentials',
  async (t) => {
    const { spec, get } = await setUp(t, await makeImage({ type: 'jpg', width: 800, height: 600 }), {
      atOnce: 2,
      workers: await ownWorkers(),
    })
    process.env.SOME_SECRET = 'nobody-should-know'
    t.teardown(() => delete process.env.SOME_SECRET)
    let most = 0
    const timer = setInterval(() => {
      most = Math.max(most, workers().length)
    }, 5)
    await Promise.all([10, 11, 12, 13, 14, 15].map((width) => get({ ...spec, width })))
    clearInterval(timer)
    t.equal(most, 2)
    const [worker] = workers()
    t.notOk(readFileSync(`/proc/${worker}/environ`, 'utf8').includes('nobody-should-know'))
    const priority = Number(execFileSync('ps', ['-o', 'ni=', '-p', String(worker)]).toString())
    t.ok(priority > 0, `nice ${priority}`)
  },
)

t.test('a request that waits too long in the queue gets ServerBusy', async (t) => {
  const image = await makeImage({ type: 'jpg', width: 1200, height: 900 })
  const { store, spec, get } = await setUp(t, image, { atOnce: 1, timeoutMs: 1, workers: await ownWorkers() })
  const first = get({ ...spec, format: 'avif', width: 1199 })
  await until(() => workers().length > 0)
  await t.rejects(get(), ServerBusy)
  await first
  t.equal(putsOf(store).length, 1)
  await get()
})

t.test('a variant whose client leaves while it waits for its turn is not made', async (t) => {
  const image = await makeImage({ type: 'jpg', width: 800, height: 600 })
  const { store, queue, spec, get } = await setUp(t, image, { atOnce: 1 })
  await queue.take(1, 'somebody', new AbortController().signal)
  const leaving = new AbortController()
  const left = get(spec, leaving.signal)
  await until(() => queue.length === 1)
  leaving.abort(new Error('gone'))
  await t.rejects(left, { message: 'gone' })
  t.equal(queue.length, 0)
  queue.give(1, 'somebody')
  await get({ ...spec, width: 10 })
  t.equal(putsOf(store).length, 1, 'only the next variant is made')
})

t.test('a variant that another server has made meanwhile is served, and not made again', async (t) => {
  const image = await makeImage({ type: 'jpg', width: 800, height: 600 })
  const { store, queue, spec, outcomes, get } = await setUp(t, image, { atOnce: 1 })
  await queue.take(1, 'somebody', new AbortController().signal)
  const waiting = get()
  await until(() => queue.length === 1)
  const otherQueue = new FairQueue(1, { timeoutMs: PATIENCE, maxQueued: 1, refusal: () => new ServerBusy() })
  const otherServer = new Variants(store, otherQueue, MAX_BYTES, undefined, sharedWorkers)
  t.teardown(() => otherServer.close())
  const caller = { clientId: 'somebody', signal: new AbortController().signal }
  const { body } = await otherServer.find<FoundObject>(spec, (key) => store.get(key), caller)
  const bytes = await readAll(body)
  queue.give(1, 'somebody')
  t.ok((await waiting).equals(bytes))
  t.equal(putsOf(store).length, 1)
  t.same(outcomes, [])
})

t.test('a worker that is killed is replaced, and the new one makes its variant', async (t) => {
  const image = await makeImage({ type: 'jpg', width: 1200, height: 900 })
  const { store, spec, get } = await setUp(t, image, { workers: await ownWorkers() })
  await get()
  const [idle] = workers()
  process.kill(idle as number, 'SIGKILL')
  await until(() => workers().length === 0)
  await get({ ...spec, width: 21 })
  const made = get({ ...spec, format: 'avif', width: 1199 })
  const [busy] = workers()
  process.kill(busy as number, 'SIGKILL')
  t.ok((await made).length > 0)
  t.equal(putsOf(store).length, 3)
  t.not(workers()[0], busy)
})

for (const what of sample(['the worker dies', 'the store fails'] as const, 1)) {
  t.test(`${what} while the bytes of a variant are sent: none of them gets into the next variant`, async (t) => {
    let puts = 0
    const change = (store: ObjectStore): Changes => ({
      async put(key, body, options) {
        puts += 1
        // The first one is the image
        if (puts !== 2) return store.put(key, body, options)
        let size = 0
        for await (const chunk of body) {
          if (size === 0 && what === 'the worker dies') process.kill(workers()[0] as number, 'SIGKILL')
          size += chunk.length
          if (what === 'the store fails') throw new StoreFailure()
        }
        throw new Error(`all ${size} bytes came`)
      },
    })
    const image = await makeImage({ type: 'jpg', width: 2000, height: 1500 })
    const { store, spec, get } = await setUp(t, image, { change, atOnce: 1, workers: await ownWorkers() })
    const big: VariantSpec = { ...spec, width: 2000, format: 'jpeg' }
    if (what === 'the store fails') await t.rejects(get(big), StoreFailure)
    const { width, height } = await sharp(await get(big)).metadata()
    t.same([width, height], [2000, 1500])
    t.equal((await get()).toString('latin1', 8, 12), 'WEBP')
    t.equal(putsOf(store).length, 3)
  })
}

t.test('requests that wait for the job of another one queue themselves if that one gets no turn', async (t) => {
  const { store, spec, variants } = await setUp(t, await makeImage({ type: 'jpg' }))
  const queued: string[] = []
  const queue: Queue = {
    async take(_units, clientId) {
      queued.push(clientId)
      await sleep(20)
      if (clientId === 'first') throw new ServerBusy()
    },
    give() {},
  }
  const late = new Variants(store, queue, MAX_BYTES, undefined, sharedWorkers)
  t.teardown(() => Promise.all([late.close(), variants.close()]))
  const find = async (clientId: string) => {
    const caller = { clientId, signal: new AbortController().signal }
    return readAll((await late.find(spec, (key) => store.get(key), caller)).body)
  }
  const first = t.rejects(find('first'), ServerBusy)
  await until(() => queued.length > 0)
  const found = await Promise.all(['second', 'third'].map(find))
  await first
  t.equal(found.length, 2)
  t.equal(queued.length, 2, 'and they share one job')
})

t.test(
  'a job that takes too long is not started again, neither by those who wait for it nor within a minute',
  async (t) => {
    let jobs = 0
    let reads = 0
    const slow: Pick<Workers, 'use' | 'close'> = {
      async use() {
        jobs += 1
        await until(() => reads === 3 && store.calls.filter((call) => call === `head ${spec.source} done`).length === 3)
        throw new JobTimeout()
      },
      async close() {},
    }
    const { store, spec, variants } = await setUp(t, await makeImage({ type: 'jpg' }), { workers: slow })
    const read = (key: string) =>
      store.get(key).finally(() => {
        reads += 1
      })
    const find = () => variants.find(spec, read, { clientId: 'somebody', signal: new AbortController().signal })
    const first = t.rejects(find(), JobTimeout)
    await until(() => jobs === 1)
    await Promise.all([first, t.rejects(find(), JobTimeout), t.rejects(find(), JobTimeout)])
    await t.rejects(find(), JobTimeout)
    t.equal(jobs, 1)
  },
)

t.test('an animation of too many pixels is too large, but its first frame is not', async (t) => {
  const { spec, get } = await setUp(t, animation(2000, 2000, 30))
  await t.rejects(get(spec), HugeImage)
  t.ok((await get({ ...spec, format: 'jpeg' })).length > 0)
})

t.test('an image that takes too much memory in one width has a variant of another width', async (t) => {
  // Its frame is as large as the canvas
  const gif = animation(6300, 6300, 1)
  gif.writeUInt32LE(gif.readUInt32LE(6), 24)
  const { spec, get } = await setUp(t, gif)
  await t.rejects(get({ ...spec, width: 6300 }), HugeImage)
  t.ok((await get(spec)).length > 0)
})

t.test('a failure is remembered for the image as it is', async (t) => {
  const image = await makeImage({ type: 'jpg' })
  const { store, spec, get, outcomes } = await setUp(t, image.subarray(0, 300))
  for (const width of [20, 20, 30]) await t.rejects(get({ ...spec, width }), UnreadableImage)
  t.same(outcomes, ['failed'], 'it is tried once')
  await store.put(spec.source, inChunks(image), { contentType: 'image/jpeg', metadata: {} })
  t.ok((await get()).length > 0, 'it does not count for another image under the same key')
  await store.put(spec.source, inChunks(Buffer.alloc(MAX_BYTES + 1)), { contentType: 'image/jpeg', metadata: {} })
  await t.rejects(get(), HugeImage)
  await store.put(spec.source, inChunks(''), { contentType: 'image/jpeg', metadata: {} })
  await t.rejects(get(), UnreadableImage)
})

t.test(
  'a variant of an overwritten image is made again, and so is one that somebody else has overwritten',
  async (t) => {
    const { store, spec, get } = await setUp(t, await makeImage({ type: 'jpg' }))
    const first = await get()
    const other = await makeImage({ type: 'jpg', width: 60, height: 10 })
    await store.put(spec.source, inChunks(other), { contentType: 'image/jpeg', metadata: {} })
    const second = await get()
    t.notOk(second.equals(first))
    const [key] = await listKeys(store, { prefix: 'variants/' })
    await store.put(key as string, inChunks('<script>'), { contentType: 'text/html', metadata: {} })
    t.ok((await get()).equals(second))
  },
)

t.test('no variant is served of an image that no longer exists', async (t) => {
  const { store, spec, get } = await setUp(t, await makeImage({ type: 'jpg' }))
  await get()
  await store.delete([spec.source])
  await t.rejects(get(), ObjectNotFound)
  await t.rejects(get({ ...spec, width: 30 }), ObjectNotFound)
  t.equal(putsOf(store).length, 1)
})

for (const moment of ['before', 'after'] as const) {
  t.test(`a story that is deleted just ${moment} a variant is stored leaves no variant`, async (t) => {
    const inner: { store?: ObjectStore } = {}
    const changes: Changes = {
      async put(key, body, options) {
        const { store } = inner
        if (!store) throw new Error('no store')
        const id = key.split('/')[1] as string
        if (moment === 'before' && key.startsWith('variants/')) await removeStory(storyStore(store, HOUR), id)
        const result = await store.put(key, body, options)
        if (moment === 'after' && key.startsWith('variants/')) await removeStory(storyStore(store, HOUR), id)
        return result
      },
    }
    const bare = await open(t)
    inner.store = bare
    const store = recordCalls(bare, changes)
    const variants = new Variants(
      store,
      new FairQueue(1, { timeoutMs: 1, maxQueued: 1, refusal: () => new ServerBusy() }),
      MAX_BYTES,
      undefined,
      sharedWorkers,
    )
    t.teardown(() => variants.close())
    const storyId = v7()
    const source = `stories/${storyId}/1.jpg`
    const image = await makeImage({ type: 'jpg' })
    await bare.put(source, inChunks(image), { contentType: 'image/jpeg', metadata: WRITTEN_BY_US })
    const caller = { clientId: '', signal: new AbortController().signal }
    const spec = { storyId, source, width: 20, format: 'webp' } as const
    await t.rejects(
      variants.find(spec, (key) => store.get(key), caller),
      ObjectNotFound,
    )
    t.same(await listKeys(bare), [])
  })
}

t.test(
  'if the bytes of a variant break off before its image is known to exist, its reader gets the error',
  async (t) => {
    const { store, variants, spec } = await setUp(t, await makeImage({ type: 'jpg' }))
    const caller = { clientId: '', signal: new AbortController().signal }
    const variant = await variants.find(spec, (key) => store.get(key), caller)
    await readAll(variant.body)
    const broken = async () => {
      // As the stores return it
      const body = new Readable({ read() {} }).on('error', () => {})
      setImmediate(() => body.destroy(new Error('the store went away')))
      return { ...variant, body }
    }
    const slow = recordCalls(store, {
      head: async (key) => {
        await sleep(50)
        return store.head(key)
      },
    })
    const others = new Variants(
      slow,
      new FairQueue(1, { timeoutMs: 1, maxQueued: 1, refusal: () => new ServerBusy() }),
      MAX_BYTES,
      undefined,
      sharedWorkers,
    )
    t.teardown(() => others.close())
    const { body } = await others.find(spec, broken, caller)
    await t.rejects(readAll(body), { message: 'the store went away' })
  },
)

t.test('when the server closes, the workers end and no waiting job starts', async (t) => {
  const { variants, queue, spec, get } = await setUp(t, await makeImage({ type: 'jpg', width: 1200, height: 900 }), {
    atOnce: 1,
    workers: await ownWorkers(),
  })
  const running = get({ ...spec, format: 'avif', width: 1199 })
  await until(() => queue.free === 0)
  const ended = Promise.allSettled([running, get()])
  await until(() => queue.length === 1 && workers().length > 0)
  await variants.close()
  const [busy, waiter] = await ended
  t.equal(busy?.status, 'rejected')
  t.match(waiter, { status: 'rejected', reason: ShuttingDown })
  t.same(workers(), [])
})
