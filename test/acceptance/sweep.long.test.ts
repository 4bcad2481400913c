import t from 'tap'
import { v7 } from 'uuid'
import { startServer } from '../support/server-process.ts'
import { get, IMAGES, remove, STORY_IDS, someImages, until, upload } from './client.ts'
import { runCommand } from './command.ts'
import { serverOn, standInStore, type TestStore } from './stores.ts'

/** Longer ago than any upload can run. */
const LONG_AGO = new Date('2024-06-01T00:00:00Z')
const OLD = '018fd140-8000-7000-8000-000000000001'

/** Makes a story id that is in the stand-in, and its objects, old. */
function age({ standIn }: TestStore, id: string): void {
  for (const [key, object] of [...(standIn?.objects ?? [])]) {
    if (!key.includes(id)) continue
    standIn?.objects.delete(key)
    standIn?.objects.set(key.replace(id, OLD), { ...object, lastModified: LONG_AGO })
  }
}

t.test(
  'a deletion of an old story that was interrupted is out of the list of ids, and is finished by a sweep',
  async (t) => {
    const store = await standInStore(t)
    const { standIn } = store
    const image = (await someImages(1))[0] as Buffer
    const server = await serverOn(t, store, { SWEEP_INTERVAL: '24h', LOG_LEVEL: 'debug' })
    const { story_id } = await upload(server, [image])
    age(store, story_id)
    const swept = await serverOn(t, store, { SWEEP_INTERVAL: '24h', LOG_LEVEL: 'debug' })
    for (const one of [server, swept]) await until('it has swept', () => one.log().some(({ msg }) => msg === 'swept'))
    // The second server may still try whether it can put and delete
    const reads = () => standIn.calls.filter(({ operation }) => /^(List|Get|Head)/.test(operation)).length
    const begin = reads()
    t.same((await get(swept, STORY_IDS)).json(), [OLD])
    t.equal(reads() - begin, 2, 'common prefixes, and the keys of what is young')
    standIn.fail({ operation: 'DeleteObjects', key: /\/1\.\w+$/ }, 'access-denied')
    t.equal((await remove(server, `${IMAGES}/${OLD}`)).status, 500)
    standIn.clearFaults()
    t.same((await get(swept, STORY_IDS)).json(), [])
    t.equal((await store.content()).length, 2, 'an image, and the tombstone of the deletion')
    // Tombstones are young for an hour
    for (const [key, object] of [...standIn.objects]) {
      if (!key.includes('-deleting')) continue
      standIn.objects.delete(key)
      standIn.objects.set(key.replace(/\.[^.]+$/, `.${OLD}`), object)
    }
    const next = await serverOn(t, store, { SWEEP_INTERVAL: '24h' })
    await until('it is swept', async () => (await store.content()).length === 0)
    t.same((await get(next, STORY_IDS)).json(), [])
  },
)

t.test('npm run sweep says what is left, and where it failed, and stops when it is told to', async (t) => {
  const store = await standInStore(t, { pageSize: 100 })
  const { standIn, environment } = store
  const ids = Array.from({ length: 250 }, (_, n) => v7({ msecs: LONG_AGO.getTime() + n }))
  for (const id of ids)
    standIn.place(`stories/${id}/1.jpg`, 'x', { metadata: { 'written-by': 'story-images' }, lastModified: LONG_AGO })
  standIn.fail({ operation: 'DeleteObjects', key: new RegExp(ids[7] as string) }, 'per-key-error')
  standIn.fail({ operation: 'ListObjectsV2', nth: 3 }, 'access-denied', Number.POSITIVE_INFINITY)
  const failed = await runCommand('sweep', ['--all'], environment)
  t.equal(failed.code, 1)
  t.match(failed.stdout, `${ids[0]}\n  stories/${ids[0]}/1.jpg\n`)
  t.match(failed.stderr, `The store did not delete stories/${ids[7]}/1.jpg\n`)
  t.match(failed.stderr, /The image store failed to do this: .+\n$/)
  t.notMatch(failed.stdout, /Removed/)

  standIn.clearFaults()
  standIn.fail({ operation: 'DeleteObjects', key: new RegExp(ids[7] as string) }, 'per-key-error')
  let lists = 0
  standIn.onCall = ({ operation }) => {
    if (operation !== 'ListObjectsV2' || ++lists !== 3) return
    stopping.interrupt('SIGTERM')
    return new Promise((resolve) => setTimeout(resolve, 200))
  }
  const stopping = runCommand('sweep', ['--all'], environment)
  const stopped = await stopping
  t.match(stopped, { code: 1, signal: null, stderr: /Stopped by SIGTERM\n$/ })
  t.ok(standIn.objects.size > 0, `${standIn.objects.size} keys are left`)
  standIn.onCall = undefined

  const swept = await runCommand('sweep', ['--all'], environment)
  t.equal(swept.code, 1)
  t.match(swept.stdout, /Removed \d+ keys of \d+ stories; keys that the store did not delete: 1\n$/)
  t.same([...standIn.objects.keys()], [`stories/${ids[7]}/1.jpg`])
  standIn.clearFaults()
  // The tombstone of a deletion that was interrupted
  standIn.place(`stories/-deleting/all.${OLD}`, '')
  const done = await runCommand('sweep', [], environment)
  t.match(done, { code: 0, stdout: /^all\n {2}stories\/-deleting\/all/m })
  t.match(done.stdout, /Removed 1 keys of 1 stories, 1 tombstones\n$/)
  t.equal(standIn.objects.size, 0)
})

t.test('a sweep that fails is logged, and comes again', async (t) => {
  const store = await standInStore(t)
  const { standIn } = store
  standIn.fail({ operation: 'ListObjectsV2' }, 'access-denied')
  const server = await serverOn(t, store, { SWEEP_INTERVAL: '50ms', LOG_LEVEL: 'debug' })
  await until(
    'it fails',
    () => server.log().filter(({ msg, level }) => msg === 'a sweep failed' && level === 40).length > 1,
  )
  standIn.clearFaults()
  await until('it works', () => server.log().some(({ msg }) => msg === 'swept'))
})

t.test('a server closes at once in the middle of a sweep, and without a word about it', async (t) => {
  const store = await standInStore(t)
  const { standIn } = store
  standIn.fail({ operation: 'ListObjectsV2' }, 'stall')
  const server = await startServer({ ...store.environment, SWEEP_INTERVAL: '1h', S3_TIMEOUT: '1m' })
  t.teardown(() => server.kill())
  await until('it sweeps', () => standIn.runningRequests > 0)
  const begin = Date.now()
  t.same(await server.stop(), { code: 0, signal: null })
  t.ok(Date.now() - begin < 50_000, `${Date.now() - begin} ms`)
  t.notMatch(server.output.stdout, /sweep/)
})
