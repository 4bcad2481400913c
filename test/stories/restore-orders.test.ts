import type { Test } from 'tap'
import { v7 } from 'uuid'
import { PurgeUnderWay, RestoreInterrupted, RestoreUnderWay, StoryNotFound, StoryNotKept } from '../../src/errors.ts'
import { TOMBSTONES } from '../../src/layout/tombstone.ts'
import type { ObjectStore } from '../../src/store/object-store.ts'
import { keysOfStory, listStories } from '../../src/stories/list.ts'
import { purgeStories, removeAllStories, removeStory } from '../../src/stories/remove.ts'
import { deletedStories, restoreStory } from '../../src/stories/restore.ts'
import { listStoryIds } from '../../src/stories/story-ids.ts'
import { storyStore } from '../../src/stories/story-store.ts'
import { Sweeper } from '../../src/stories/sweep.ts'
import { putTombstone, readTombstones } from '../../src/stories/tombstone.ts'
import { listKeys } from '../support/bodies.ts'
import { inEveryOrder, type Order, openModelStore } from '../support/every-order.ts'
import { sample } from '../support/extent.ts'
import { byOwnClock, clock, START } from '../support/own-clock.ts'
import { putStory } from '../support/recording-store.ts'

const HOUR = 3_600_000

/** An old story of one image in a bucket with versioning, and a server that has seen it whole. */
async function stage() {
  clock.now = START
  const store = openModelStore(true)
  const id = v7({ msecs: START - 1000 * HOUR })
  await putStory(store, id, ['1.jpg'])
  clock.now += 500 * HOUR
  const server = new Sweeper(storyStore(store, HOUR))
  await server.sweep()
  return { store, id, server }
}

/** What is under way, or was interrupted, when the restore begins. */
const SCENES: Readonly<Record<string, (store: ObjectStore, id: string) => Promise<unknown>>> = {
  'a story that is deleted': (store, id) => removeStory(storyStore(store, HOUR), id),
  'a deletion that died after the record': async (store, id) => {
    await putTombstone(store, id)
    await store.delete([`stories/${id}/0.1.json`])
    // Old enough for a sweep
    clock.now += 2 * HOUR
  },
  'a story that is there': async () => {},
}

const OTHERS: Readonly<Record<string, (store: ObjectStore, id: string) => Promise<unknown>>> = {
  'a sweep': (store) => new Sweeper(storyStore(store, HOUR)).sweep(),
  'a deletion': (store, id) => removeStory(storyStore(store, HOUR), id).catch(() => {}),
  'a deletion of all': (store) => removeAllStories(storyStore(store, HOUR)),
  'another restore': (store, id) => restoreStory(storyStore(store, HOUR), id),
}

async function idsByRule(store: ObjectStore): Promise<string[]> {
  const ids: string[] = []
  for await (const stories of listStories(store)) ids.push(...stories.map(({ id }) => id))
  return ids
}

async function idsOf(store: ObjectStore, server: Sweeper): Promise<string[]> {
  const ids: string[] = []
  for await (const page of listStoryIds(store, server.watermark)) ids.push(...page)
  return ids
}

/** The lists agree, now and after sweeps; nothing looks damaged; and a repetition brings the story back. */
async function judge(
  t: Test,
  order: Order,
  { store, id, server }: Awaited<ReturnType<typeof stage>>,
  isWhole: boolean | undefined,
): Promise<void> {
  const problems: string[] = []
  const compare = async (when: string) => {
    const byRule = await idsByRule(store)
    for (const each of [server, new Sweeper(storyStore(store, HOUR))])
      if ((await idsOf(store, each)).join() !== byRule.join()) problems.push(`${when} the list of ids is wrong`)
    if (isWhole !== undefined && byRule.length > 0 !== isWhole)
      problems.push(`${when} there are ${byRule.length} stories`)
    const keys = await keysOfStory(store, id)
    if (keys && keys.records.length > 0 && !keys.story()) problems.push(`${when} a record lacks its images`)
  }
  await compare('at once')
  for (const hours of [2, 4]) {
    clock.now += hours * HOUR
    await server.sweep()
    await compare(`${hours} hours later`)
  }
  if ((await readTombstones(store)).length > 0) problems.push('a tombstone is left')
  await restoreStory(storyStore(store, HOUR), id).catch((error) => problems.push(`the repetition failed: ${error}`))
  isWhole = true
  await compare('in the end')
  const keys = await listKeys(store, { prefix: 'stories/' })
  if (keys.length !== 2) problems.push(`in the end there is ${keys}`)
  // One assertion for all orders that are right
  if (problems.length > 0) t.same(problems, [], `after ${order.steps.join(', ')}`)
}

const pairs = Object.keys(SCENES).flatMap((scene) => Object.keys(OTHERS).map((other) => [scene, other] as const))
for (const [scene, other] of sample(pairs, 5)) {
  byOwnClock(`${scene}, a restore and ${other}: in every order the story is whole, or in no list`, async (t) => {
    const seen = { restored: 0, refused: 0 }
    const orders = await inEveryOrder(async (order) => {
      const staged = await stage()
      const { store, id } = staged
      await SCENES[scene]?.(store, id)
      order.hold()
      const done = OTHERS[other]?.(order.storeOf(store, 1), id)
      done?.catch(() => {})
      const result = restoreStory(storyStore(order.storeOf(store, 0), HOUR), id).catch((error: Error) => error)
      await order.play()
      if (order.isRedundant) return
      await done
      const error = await result
      seen[error ? 'refused' : 'restored'] += 1
      if (error && !(error instanceof RestoreInterrupted)) t.fail(`${error} after ${order.steps}`)
      // A deletion at the same time may come after it
      await judge(t, order, staged, other.startsWith('a deletion') ? undefined : !error)
    })
    t.ok(seen.restored > 0, `${orders} orders: ${JSON.stringify(seen)}`)
  })
}

byOwnClock(
  'a restore that dies after any of its calls shows the whole story or nothing, and can be repeated',
  async (t) => {
    for (const scene of Object.keys(SCENES)) {
      for (let dies = 0, most = 0; most >= dies - 1; dies++) {
        await inEveryOrder(async (order) => {
          const staged = await stage()
          const { store, id } = staged
          await SCENES[scene]?.(store, id)
          order.hold()
          restoreStory(storyStore(order.storeOf(store, 0, { dies }), HOUR), id).catch((error) => t.fail(String(error)))
          await order.play()
          most = order.steps.length
          await judge(t, order, staged, undefined)
        })
      }
    }
  },
)

for (const isAll of [false, true]) {
  byOwnClock(
    `a deletion ${isAll ? 'of all ' : ''}for good that succeeds beside a restore leaves nothing`,
    async (t) => {
      const seen = { purged: 0, refused: 0 }
      await inEveryOrder(async (order) => {
        const { store, id } = await stage()
        await removeStory(storyStore(store, HOUR), id)
        order.hold()
        const stories = storyStore(order.storeOf(store, 1), HOUR)
        const purge = purgeStories(stories, isAll ? undefined : id).catch((error: Error) => error)
        const restore = restoreStory(storyStore(order.storeOf(store, 0), HOUR), id).catch((error: Error) => error)
        await order.play()
        if (order.isRedundant) return
        const [purged, restored] = await Promise.all([purge, restore])
        seen[purged ? 'refused' : 'purged'] += 1
        // A restore that came too late leaves its tombstone
        const left = (await listKeys(store)).filter((key) => !key.startsWith(TOMBSTONES))
        for await (const story of deletedStories(store)) left.push(story.id)
        if (!purged && left.length > 0) t.same(left, [], `after ${order.steps.join(', ')}`)
        for (const error of [purged, restored]) {
          const expected = [PurgeUnderWay, RestoreInterrupted, RestoreUnderWay, StoryNotKept, StoryNotFound]
          if (error && !expected.some((type) => error instanceof type)) t.fail(`${error} after ${order.steps}`)
        }
      })
      t.ok(seen.purged > 0 && seen.refused > 0, JSON.stringify(seen))
    },
  )
}
