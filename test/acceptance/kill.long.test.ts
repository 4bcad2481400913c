import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { ObjectStore } from '../../src/store/object-store.ts'
import type { S3StandIn } from '../support/s3-stand-in.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'
import { openOnStandIn } from '../support/stores.ts'
import { get, IMAGES, listImages, post, remove, type Uploaded, until } from './client.ts'
import { lateSweeps } from './late-sweep.ts'
import { standInStore, type TestStore } from './stores.ts'
import { threeImages, wholeStories } from './whole-stories.ts'

// A server is started for each kill

/** A moment to kill the server: before its nth call of the store is carried out, or after that and before the answer. */
interface Moment {
  readonly call: number
  readonly when: 'before' | 'after'
}

/**
 * Does something with the server, which is killed at the moment. "After" means that the call is carried out, its answer lost, and
 * the server killed when its next call, which is not carried out, comes in.
 */
async function killAt(
  standIn: S3StandIn,
  server: ServerProcess,
  { call, when }: Moment,
  act: () => Promise<unknown>,
): Promise<boolean> {
  standIn.clearFaults()
  let count = 0
  let killed = false
  if (when === 'after') standIn.fail({ nth: call }, 'answer-lost')
  standIn.fail({ nth: when === 'after' ? call + 1 : call }, 'reset', Number.POSITIVE_INFINITY)
  standIn.onCall = async () => {
    count++
    if (count < (when === 'after' ? call + 1 : call)) return
    killed = true
    await server.kill()
  }
  await act().catch(() => {})
  if (!killed) await server.kill()
  // What the killed server has sent may still be on its way
  while (standIn.runningRequests > 0) await sleep(10)
  standIn.onCall = undefined
  standIn.clearFaults()
  return killed
}

async function callsOf(standIn: S3StandIn, act: () => Promise<unknown>): Promise<number> {
  const begin = standIn.calls.length
  await act()
  return standIn.calls.length - begin
}

function momentsOf(calls: number): Moment[] {
  const after = Array.from({ length: calls }, (_, index) => ({ call: index + 1, when: 'after' as const }))
  return [{ call: 1, when: 'before' }, ...after]
}

async function storeAndServer(t: Test): Promise<{
  store: TestStore & { standIn: S3StandIn }
  /** Not the server's way to it. */
  inside: ObjectStore
  start: () => Promise<ServerProcess>
}> {
  const store = await standInStore(t)
  const running: ServerProcess[] = []
  t.teardown(() => Promise.all(running.map((server) => server.kill())))
  return {
    store,
    inside: await openOnStandIn(t, store.standIn),
    async start() {
      const probes = () => store.standIn.calls.filter(({ operation }) => operation === 'DeleteObjects').length
      const before = probes()
      const server = await startServer(store.environment)
      await until('it knows the store', async () => probes() > before && store.standIn.runningRequests === 0)
      // On a machine that is busy it refuses what comes too soon. This list asks for the versioning of the bucket, for a minute
      await until('it serves', async () => (await get(server, `${IMAGES}?order=newest&limit=1`)).status === 200)
      running.push(server)
      return server
    },
  }
}

/** Sweeps what is there now, checks it, and puts it back for what is tried next. */
async function sweepCopy(
  t: Test,
  standIn: S3StandIn,
  inside: ObjectStore,
  server: ServerProcess,
  images: readonly Buffer[],
  whole: readonly string[],
  what: string,
): Promise<void> {
  const stored = [...standIn.objects]
  await lateSweeps(t, inside, server, images, whole, what)
  standIn.objects.clear()
  for (const [key, object] of stored) standIn.objects.set(key, object)
}

t.test(
  'a server killed at any call of an upload leaves the whole story or none, and a sweep removes the rest',
  async (t) => {
    const { store, inside, start } = await storeAndServer(t)
    const { standIn } = store
    const images = await threeImages()
    const parts = images.map((body) => ({ body }))
    let server = await start()
    const calls = await callsOf(standIn, () => post(server, parts))
    t.equal(calls, 7, 'two small images, one of two parts, and the record')
    const moments = momentsOf(calls)
    for (const moment of moments) {
      const what = `${moment.when} call ${moment.call}`
      standIn.objects.clear()
      t.ok(await killAt(standIn, server, moment, () => post(server, parts)), `${what}: it was killed`)
      server = await start()
      const ids = await wholeStories(t, server, images, what)
      const isComplete = [...standIn.objects.keys()].some((key) => key.endsWith('/0.3.json'))
      t.equal(ids.length, isComplete ? 1 : 0, `${what}: it is there when its record is`)
      await sweepCopy(t, standIn, inside, server, images, ids, what)
      for (const key of standIn.objects.keys()) {
        const id = key.split('/')[1]
        const { status } = await remove(server, `${IMAGES}/${id}`)
        t.equal(status, 200, `${what}: what is left can be deleted`)
        break
      }
      t.same([...standIn.objects.keys()], [], `${what}: and then nothing is left`)
    }
    t.comment(`${moments.length} kills, before the first and after each of ${calls} calls of the store`)
  },
)

/** Older than any upload can run, so that delete-all may take what is left of it, and that its deletion has a tombstone. */
const OLD = '018f0000-0000-7000-8000-000000000000'

for (const [name, id, all, steps] of [
  [
    'a delete of an old story',
    OLD,
    false,
    'two lists, the tombstone, the record, the images, the list of variants, the tombstone again',
  ],
  ['a delete of a young story', undefined, false, 'a list, the record, the images, the list of variants'],
  [
    'a delete-all',
    OLD,
    true,
    'two lists, the tombstone, the record, the images, the list of variants, the tombstone again',
  ],
] as const) {
  t.test(
    `a server killed at any call of ${name} leaves the whole story or none, and a repetition or a sweep finishes`,
    async (t) => {
      const { store, inside, start } = await storeAndServer(t)
      const { standIn } = store
      const images = await threeImages()
      let server = await start()
      const { story_id } = (
        await post(
          server,
          images.map((body) => ({ body })),
        )
      ).json<Uploaded>()
      const story = id ?? story_id
      const path = all ? IMAGES : `${IMAGES}/${story}`
      const stored = [...standIn.objects].map(([key, object]) => [key.replace(story_id, story), object] as const)
      const restore = () => {
        standIn.objects.clear()
        for (const [key, object] of stored) standIn.objects.set(key, object)
      }
      restore()
      const calls = await callsOf(standIn, () => remove(server, path))
      t.equal(calls, id ? 7 : 4, steps)
      t.same(await store.content(), [])
      const moments = momentsOf(calls)
      for (const moment of moments) {
        const what = `${moment.when} call ${moment.call}`
        restore()
        t.ok(await killAt(standIn, server, moment, () => remove(server, path)), `${what}: it was killed`)
        server = await start()
        const ids = await wholeStories(t, server, images, what)
        t.same(
          ids,
          standIn.objects.has(`stories/${story}/0.3.json`) ? [story] : [],
          `${what}: without its record it is gone`,
        )
        await sweepCopy(t, standIn, inside, server, images, ids, what)
        const again = await remove(server, path)
        t.ok(again.status === 200 || (standIn.objects.size === 0 && !all), `${what}: it can be repeated`)
        t.same(await listImages(server), [], what)
        t.same(await store.content(), [], `${what}: the repetition finished`)
      }
      t.comment(`${moments.length} kills, before the first and after each of ${calls} calls of the store`)
    },
  )
}
