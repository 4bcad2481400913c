import { createHash } from 'node:crypto'
import { KeyInUse } from '../../src/errors.ts'
import { newStoryId } from '../../src/layout/story.ts'
import type { Body, ObjectStore } from '../../src/store/object-store.ts'
import { IDEMPOTENCY_AGE_MS, type IdempotencyRecord, recordUpload } from '../../src/stories/idempotency.ts'
import { listStories } from '../../src/stories/list.ts'
import { CLOCK_MARGIN_MS, storyStore } from '../../src/stories/story-store.ts'
import { Sweeper } from '../../src/stories/sweep.ts'
import { uploadStory } from '../../src/stories/upload.ts'
import { inChunks } from '../support/bodies.ts'
import { inEveryOrder, openModelStore } from '../support/every-order.ts'
import { sample } from '../support/extent.ts'
import { makeImage } from '../support/images.ts'
import { byOwnClock, clock, START } from '../support/own-clock.ts'

const HOUR = 3_600_000
const JPG = await makeImage({ type: 'jpg', width: 40, height: 30 })
const KEY = createHash('sha256').update('key').digest('hex')

/** An upload with the key, which stores its image and then stands still until it is told to go on. */
function upload(store: ObjectStore, told: Promise<void> = Promise.resolve()) {
  async function* images(): AsyncGenerator<Body> {
    yield inChunks(JPG)
    await told
  }
  return uploadStory(storyStore(store, HOUR), images(), {
    maxPixels: 1_000_000_000,
    readAhead: true,
    signal: new AbortController().signal,
    idempotencyName: KEY,
    onDebris: () => {},
  }).then(
    ({ id }) => id,
    (error) => {
      if (error instanceof KeyInUse) return undefined
      throw error
    },
  )
}

async function begin(store: ObjectStore): Promise<IdempotencyRecord> {
  return (await recordUpload(storyStore(store, HOUR), KEY, {
    id: newStoryId(),
    names: ['1.jpg'],
    fingerprint: 'f',
  })) as IdempotencyRecord
}

/** Uploads with the key that were given up after their idempotency record. */
async function giveUp(store: ObjectStore, count: number): Promise<void> {
  for (let n = 0; n < count; n++) await (await begin(store)).giveUp()
}

/** Beyond this age records have expired, and beyond that one they are swept. */
const EXPIRED = IDEMPOTENCY_AGE_MS
const SWEPT = IDEMPOTENCY_AGE_MS + CLOCK_MARGIN_MS

/** Images that an upload deletes are its own, and nobody else's matter. */
const BUT_DELETIONS = /^(?!delete stories)/

for (const [past, prepare, age] of sample(
  [
    ['an upload whose record is to be swept, and was given up', (store) => giveUp(store, 1), SWEPT + 1],
    ['an upload that was given up as long ago as counts', (store) => giveUp(store, 1), EXPIRED],
    ['one that has died after its idempotency record', begin, SWEPT + 1],
    ['an upload that was given up a little longer ago', (store) => giveUp(store, 1), EXPIRED + 1],
  ] as readonly [string, (store: ObjectStore) => Promise<unknown>, number][],
  1,
)) {
  byOwnClock(`after ${past}, in every order of two uploads and a sweep one key makes one story`, async (t) => {
    let most = 0
    const count = await inEveryOrder(async (order) => {
      clock.now = START
      const store = openModelStore()
      await prepare(store)
      const [old] = await ids(store)
      clock.now += age
      let goOn = () => {}
      const told = new Promise<void>((resolve) => {
        goOn = resolve
      })
      const uploads = [0, 1].map((process) => upload(order.storeOf(store, process, { only: BUT_DELETIONS }), told))
      for (const each of uploads) each.catch(() => {})
      await order.settled()
      order.hold()
      const sweep = new Sweeper(storyStore(order.storeOf(store, 2, { only: / idempotency/ }), HOUR)).sweep()
      sweep.catch(() => {})
      goOn()
      await order.play()
      if (order.isRedundant) return
      await sweep
      const answers = await Promise.all(uploads)
      // Those that come later
      for (let n = 0; n < 2; n++) answers.push(await upload(store))
      const fresh = new Set(answers.filter((id) => id !== undefined && id !== old))
      most = Math.max(most, fresh.size)
      const expected = [...new Set([old, ...fresh])].filter((id) => id !== undefined).sort()
      const listed = await ids(store)
      if (fresh.size > 1 || listed.join() !== expected.join())
        t.same({ fresh: [...fresh], listed }, { listed: expected }, order.steps.join(', '))
    })
    t.ok(most <= 1, `${count} orders`)
  })
}

byOwnClock(
  'a sweep that comes while an upload finds out what its key stands for: either still counts, or neither',
  async (t) => {
    const seen = { old: 0, fresh: 0, refused: 0 }
    await inEveryOrder(async (order) => {
      clock.now = START
      const store = openModelStore()
      const old = await upload(store)
      clock.now += SWEPT + 1
      order.hold()
      const late = upload(order.storeOf(store, 0, { only: BUT_DELETIONS }))
      const sweep = new Sweeper(storyStore(order.storeOf(store, 1, { only: / idempotency/ }), HOUR)).sweep()
      for (const each of [late, sweep]) each.catch(() => {})
      await order.play()
      if (order.isRedundant) return
      await sweep
      const answer = await late
      seen[answer === undefined ? 'refused' : answer === old ? 'old' : 'fresh'] += 1
      const next = await upload(store)
      if (answer !== undefined && answer !== old) t.equal(next, answer, order.steps.join(', '))
      t.same(await ids(store), [old, next].sort(), order.steps.join(', '))
    })
    t.ok(seen.old > 0 && seen.fresh > 0 && seen.refused > 0, JSON.stringify(seen))
  },
)

async function ids(store: ObjectStore): Promise<string[]> {
  const found: string[] = []
  for await (const stories of listStories(store)) found.push(...stories.map(({ id }) => id))
  return found
}
