import { createHash } from 'node:crypto'
import type { Test } from 'tap'
import { v7 } from 'uuid'
import { StoreFull, UploadSwept } from '../../src/errors.ts'
import { TOMBSTONES } from '../../src/layout/tombstone.ts'
import type { Body, ObjectStore } from '../../src/store/object-store.ts'
import { listStories } from '../../src/stories/list.ts'
import { removeAllStories } from '../../src/stories/remove.ts'
import { listStoryIds } from '../../src/stories/story-ids.ts'
import { CLOCK_MARGIN_MS, storyStore } from '../../src/stories/story-store.ts'
import { Sweeper } from '../../src/stories/sweep.ts'
import { putTombstone } from '../../src/stories/tombstone.ts'
import { type UploadedStory, type UploadOptions, uploadStory } from '../../src/stories/upload.ts'
import { inChunks, listKeys, until } from '../support/bodies.ts'
import { inEveryOrder, type Order, openModelStore } from '../support/every-order.ts'
import { makeImage } from '../support/images.ts'
import { byOwnClock, clock, START } from '../support/own-clock.ts'
import { putOurs, putStory, recordCalls } from '../support/recording-store.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const SECOND = 1000
const JPG = await makeImage({ type: 'jpg', width: 40, height: 30 })
const KEY = createHash('sha256').update('key').digest('hex')

/** An upload of two images, which then stands still until it is told to go on. */
function begin(store: ObjectStore, options: Partial<UploadOptions> = {}) {
  let goOn = () => {}
  const told = new Promise<void>((resolve) => {
    goOn = resolve
  })
  async function* images(): AsyncGenerator<Body> {
    yield inChunks(JPG)
    yield inChunks(JPG)
    await told
  }
  const result = uploadStory(storyStore(store, HOUR), images(), {
    maxPixels: 1_000_000_000,
    readAhead: true,
    signal: new AbortController().signal,
    onDebris: () => {},
    ...options,
  })
  return { goOn, result: result.catch((error: Error) => error) }
}

const isStory = (result: UploadedStory | Error): result is UploadedStory => !(result instanceof Error)

const sweep = (store: ObjectStore) => new Sweeper(storyStore(store, SECOND)).sweep()
const removeAll = (store: ObjectStore) => removeAllStories(storyStore(store, SECOND))

/** Ends an upload of twenty minutes, and what takes it for interrupted, in one order of their calls. */
async function play(
  order: Order,
  other: (store: ObjectStore) => Promise<unknown>,
  options: Partial<UploadOptions> = {},
  dies?: number,
) {
  clock.now = START
  const store = openModelStore()
  const { goOn, result } = begin(order.storeOf(store, 0), options)
  await order.settled()
  clock.now += 20 * MINUTE
  order.hold()
  const done = other(order.storeOf(store, 1, { dies }))
  done.catch(() => {})
  goOn()
  await order.play()
  if (!order.isRedundant && dies === undefined) await done
  return { store, result: order.isRedundant ? new Error('redundant') : await result }
}

/** Nothing but a story that was acknowledged is left in the end, and that one is whole and in each list all the time. */
async function judge(t: Test, order: Order, store: ObjectStore, result: UploadedStory | Error): Promise<void> {
  const problems: string[] = []
  // A deletion of all that has come upon the story may have it
  const wasDeleted = order.steps.some((step) => /^1 delete [^ ]+\/0\.2\./.test(step))
  const own = isStory(result) && !wasDeleted ? [result.id] : []
  const compare = (ids: readonly string[], what: string) => {
    if (ids.join() !== own.join()) problems.push(`${what} there are ${ids.length} stories, and not ${own.length}`)
  }
  compare(await idsByRule(store), 'at once')
  for (const hours of [2, 4]) {
    clock.now = START + hours * HOUR
    const sweeper = new Sweeper(storyStore(store, HOUR))
    await sweeper.sweep()
    compare(await idsByRule(store), `${hours} hours later`)
    const ids: string[] = []
    for await (const page of listStoryIds(store, sweeper.watermark)) ids.push(...page)
    compare(ids, `${hours} hours later, in the list of ids,`)
  }
  const left = (await listKeys(store, { prefix: 'stories/' })).filter(
    (key) => !own.some((id) => key.startsWith(`stories/${id}/`)),
  )
  if (left.length > 0) problems.push(`in the end ${left} is left`)
  // One assertion for all orders that are right
  if (problems.length > 0) t.same(problems, [], `after ${order.steps.join(', ')}`)
}

for (const [what, other] of [
  ['a sweep', sweep],
  ['a deletion of all', removeAll],
] as const) {
  for (const idempotencyName of [undefined, KEY]) {
    byOwnClock(
      `${idempotencyName ? 'an upload with a key' : 'an upload'} and ${what} by a shorter UPLOAD_TIMEOUT: in every order it is whole, or was never acknowledged`,
      async (t) => {
        const seen = { acknowledged: 0, refused: 0 }
        const orders = await inEveryOrder(async (order) => {
          const { store, result } = await play(order, other, { idempotencyName })
          if (order.isRedundant) return
          seen[isStory(result) ? 'acknowledged' : 'refused'] += 1
          if (!isStory(result) && !(result instanceof UploadSwept)) t.fail(`${result} after ${order.steps}`)
          await judge(t, order, store, result)
        })
        t.ok(seen.acknowledged > 0 && seen.refused > 0, `${orders} orders: ${JSON.stringify(seen)}`)
      },
    )

    if (idempotencyName) continue
    byOwnClock(
      `${what} by a shorter UPLOAD_TIMEOUT that dies after any of its calls leaves an upload whole, or refused`,
      async (t) => {
        let orders = 0
        for (let dies = 0, most = 0; most >= dies - 1; dies++) {
          orders += await inEveryOrder(async (order) => {
            const { store, result } = await play(order, other, { idempotencyName }, dies)
            if (order.isRedundant) return
            most = Math.max(most, order.steps.filter((step) => step.startsWith('1 ')).length)
            await judge(t, order, store, result)
          })
        }
        t.ok(orders > 20, `${orders} orders`)
      },
    )
  }
}

byOwnClock('an upload that somebody else takes for interrupted is refused once, and leaves nothing', async (t) => {
  const store = openModelStore()
  const { goOn, result } = begin(store)
  await until(async () => (await listKeys(store)).length === 2)
  clock.now += 20 * MINUTE
  const [key = ''] = await listKeys(store)
  await putTombstone(store, key.split('/')[1] as string)
  goOn()
  t.match(await result, { status: 503, retryAfter: 5 })
  t.same(await listKeys(store, { prefix: 'stories/0' }), [])
  const again = begin(store)
  again.goOn()
  t.ok(isStory((await again.result) as UploadedStory))
})

byOwnClock('an upload of less than half of the margin for clocks is acknowledged without a further call', async (t) => {
  for (const [age, looks] of [
    [CLOCK_MARGIN_MS / 2, 0],
    [CLOCK_MARGIN_MS / 2 + 1, 2],
  ] as const) {
    clock.now = START
    let lists = 0
    const model = openModelStore()
    const store: ObjectStore = {
      ...model,
      list: (options) => {
        lists += 1
        return model.list(options)
      },
    }
    const { goOn, result } = begin(store)
    await until(() => model.objects.size === 2)
    clock.now += age
    goOn()
    t.ok(isStory(await result))
    t.equal(lists, looks, `after ${age} ms`)
  }
})

byOwnClock('a clock that is set back does not make an upload look younger', async (t) => {
  const { now: steadily } = performance
  let passed = 0
  t.intercept(performance, 'now', { value: () => steadily.call(performance) + passed })
  const store = openModelStore()
  const { goOn, result } = begin(store)
  await until(() => store.objects.size === 2)
  clock.now -= HOUR
  passed += 20 * MINUTE
  const [key = ''] = await listKeys(store)
  await store.delete([key])
  goOn()
  t.type(await result, UploadSwept)
})

byOwnClock('a removal that stood still after its look removes nothing', async (t) => {
  const model = openModelStore()
  const id = v7({ msecs: START })
  await putOurs(model, `stories/${id}/1.jpg`)
  clock.now += 20 * MINUTE
  const store = recordCalls(model, {
    put: async (key, body, options) => {
      const result = await model.put(key, body, options)
      if (key.startsWith(TOMBSTONES)) clock.now += CLOCK_MARGIN_MS
      return result
    },
  })
  t.equal((await sweep(store)).stories, 0)
  t.same(await listKeys(model), [`stories/${id}/1.jpg`])
  t.equal((await sweep(model)).stories, 1, 'the next one does')
  t.same(await listKeys(model), [])
})

byOwnClock('a full store keeps what may be a running upload for a day, and can be emptied of the rest', async (t) => {
  const model = openModelStore()
  const [young, old, whole] = [0, -30 * HOUR, -10 * HOUR].map((age) => v7({ msecs: START + age })) as [
    string,
    string,
    string,
  ]
  for (const id of [young, old]) await putOurs(model, `stories/${id}/1.jpg`)
  await putStory(model, whole, ['1.jpg'])
  clock.now += 20 * MINUTE
  const full = recordCalls(model, { put: () => Promise.reject(new StoreFull()) })
  t.match(await sweep(full), { stories: 1, left: 0 })
  t.same(await idsIn(model), [young, whole].sort())
  clock.now = START + 24 * HOUR + 10 * MINUTE
  t.match(await sweep(full), { stories: 1, left: 0 }, 'no upload runs for longer')
  t.same(await idsIn(model), [whole])
})

byOwnClock('a deletion of all that has to leave something keeps the tombstone of the one before', async (t) => {
  const model = openModelStore()
  const id = v7({ msecs: START })
  await putStory(model, id, ['1.jpg'])
  clock.now += 2 * HOUR
  const sweeper = new Sweeper(storyStore(model, HOUR))
  await sweeper.sweep()
  const ids = async () => {
    const found: string[] = []
    for await (const page of listStoryIds(model, sweeper.watermark)) found.push(...page)
    return found
  }
  t.same(await ids(), [id])
  // The first one dies after the record
  await putTombstone(model, 'all')
  await model.delete([`stories/${id}/0.1.json`])
  const full = recordCalls(model, {
    put: (key, body, options) =>
      key.startsWith(`${TOMBSTONES}all`) ? model.put(key, body, options) : Promise.reject(new StoreFull()),
  })
  await removeAllStories(storyStore(full, HOUR))
  t.same(await idsIn(model), [id], 'there is no space for a tombstone')
  t.same(await ids(), [])
  await removeAllStories(storyStore(model, HOUR))
  t.same(await listKeys(model), [])
})

async function idsIn(store: ObjectStore): Promise<string[]> {
  return [...new Set((await listKeys(store, { prefix: 'stories/0' })).map((key) => key.split('/')[1] as string))].sort()
}

async function idsByRule(store: ObjectStore): Promise<string[]> {
  const ids: string[] = []
  for await (const stories of listStories(store)) ids.push(...stories.map(({ id }) => id))
  return ids
}
