import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { S3StandIn } from '../support/s3-stand-in.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'
import { IMAGES, listImages, post, remove, type Uploaded } from './client.ts'
import { standInStore, type TestStore } from './stores.ts'
import { threeImages, wholeStories } from './whole-stories.ts'

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
  return Array.from({ length: calls }, (_, index) => index + 1).flatMap((call) => [
    { call, when: 'before' as const },
    { call, when: 'after' as const },
  ])
}

async function storeAndServer(
  t: Test,
): Promise<{ store: TestStore & { standIn: S3StandIn }; start: () => Promise<ServerProcess> }> {
  const store = await standInStore(t)
  const running: ServerProcess[] = []
  t.teardown(() => Promise.all(running.map((server) => server.kill())))
  return {
    store,
    async start() {
      const server = await startServer(store.environment)
      running.push(server)
      return server
    },
  }
}

t.test('a server killed at any call of an upload leaves the whole story or none', async (t) => {
  const { store, start } = await storeAndServer(t)
  const { standIn } = store
  const images = await threeImages()
  const parts = images.map((body) => ({ body }))
  let server = await start()
  const calls = await callsOf(standIn, () => post(server, parts))
  t.equal(calls, 7, 'two small images, one of two parts, and the record')
  for (const moment of momentsOf(calls)) {
    const what = `${moment.when} call ${moment.call}`
    standIn.objects.clear()
    t.ok(await killAt(standIn, server, moment, () => post(server, parts)), `${what}: it was killed`)
    server = await start()
    const ids = await wholeStories(t, server, images, what)
    const isComplete = [...standIn.objects.keys()].some((key) => key.endsWith('/0.3.json'))
    t.equal(ids.length, isComplete ? 1 : 0, `${what}: it is there when its record is`)
    for (const key of standIn.objects.keys()) {
      const id = key.split('/')[1]
      const { status } = await remove(server, `${IMAGES}/${id}`)
      t.equal(status, 200, `${what}: what is left can be deleted`)
      break
    }
    t.same([...standIn.objects.keys()], [], `${what}: and then nothing is left`)
  }
})

/** Older than any upload can run, so that delete-all may take what is left of it. */
const OLD = '018f0000-0000-7000-8000-000000000000'

for (const [name, path] of [
  ['a delete', `${IMAGES}/${OLD}`],
  ['a delete-all', IMAGES],
] as const) {
  t.test(
    `a server killed at any call of ${name} leaves the whole story or none, and a repetition finishes`,
    async (t) => {
      const { store, start } = await storeAndServer(t)
      const { standIn } = store
      const images = await threeImages()
      let server = await start()
      const { story_id } = (
        await post(
          server,
          images.map((body) => ({ body })),
        )
      ).json<Uploaded>()
      const stored = [...standIn.objects].map(([key, object]) => [key.replace(story_id, OLD), object] as const)
      const restore = () => {
        standIn.objects.clear()
        for (const [key, object] of stored) standIn.objects.set(key, object)
      }
      restore()
      const calls = await callsOf(standIn, () => remove(server, path))
      t.equal(calls, 6, 'two lists, the mark, the record, the images, the mark again')
      t.same(await store.content(), [])
      for (const moment of momentsOf(calls)) {
        const what = `${moment.when} call ${moment.call}`
        restore()
        t.ok(await killAt(standIn, server, moment, () => remove(server, path)), `${what}: it was killed`)
        server = await start()
        const ids = await wholeStories(t, server, images, what)
        t.equal(
          ids.length,
          standIn.objects.has(`stories/${OLD}/0.3.json`) ? 1 : 0,
          `${what}: without its record it is gone`,
        )
        const again = await remove(server, path)
        t.ok(again.status === 200 || (standIn.objects.size === 0 && path !== IMAGES), `${what}: it can be repeated`)
        t.same(await listImages(server), [], what)
        t.same(await store.content(), [], `${what}: the repetition finished`)
      }
    },
  )
}
