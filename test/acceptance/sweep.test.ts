import { readdir, rename, utimes } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { startServer } from '../support/server-process.ts'
import {
  get,
  IMAGES,
  listImages,
  MULTIPART,
  multipart,
  remove,
  STORY_IDS,
  someImages,
  until,
  upload,
} from './client.ts'
import { diskStore, onEachStore, serverOn, standInStore, type TestStore } from './stores.ts'

/** Longer ago than any upload can run. */
const LONG_AGO = new Date('2024-06-01T00:00:00Z')
const OLD = '018fd140-8000-7000-8000-000000000001'

/** Begins an upload of images of which the last one never ends. */
function beginUpload(port: number, images: readonly Buffer[]): Socket {
  const body = multipart(images.map((body) => ({ body }))).subarray(0, -80)
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  const head = `POST ${IMAGES}/upload HTTP/1.1\r\nHost: a\r\nContent-Type: ${MULTIPART['content-type']}\r\n`
  socket.write(`${head}Content-Length: ${body.length + 1000}\r\n\r\n`)
  socket.write(body)
  return socket
}

/** Makes a story id that is in the store, and its objects, old. */
async function age({ standIn, environment }: TestStore, id: string): Promise<void> {
  if (standIn) {
    for (const [key, object] of [...standIn.objects]) {
      if (!key.includes(id)) continue
      standIn.objects.delete(key)
      standIn.objects.set(key.replace(id, OLD), { ...object, lastModified: LONG_AGO })
    }
    return
  }
  const folder = join(environment.DATA_DIR as string, 'stories', OLD)
  await rename(join(environment.DATA_DIR as string, 'stories', id), folder)
  for (const name of await readdir(folder)) await utimes(join(folder, name), LONG_AGO, LONG_AGO)
}

for (const [name, open] of [
  ['disk', diskStore],
  ['the stand-in', standInStore],
] as const) {
  t.test(`what a server that was killed in an upload left is removed when it is old (${name})`, async (t) => {
    const store: TestStore = await open(t)
    const [first, ...rest] = await someImages(4)
    const killed = await startServer(store.environment)
    t.teardown(() => killed.kill())
    const { story_id: whole } = await upload(killed, [first as Buffer])
    const socket = beginUpload(killed.port, rest)
    const left = async () =>
      (await store.content()).filter((key) => /[1-9]\.(jpg|png)$/.test(key) && !key.includes(whole))
    await until('an image is stored', async () => (await left()).length > 0)
    await killed.kill()
    socket.destroy()
    const [, id = ''] = (await left())[0]?.match(/^stories\/([^/]+)/) ?? []

    const young = await startServer({ ...store.environment, SWEEP_INTERVAL: '50ms', LOG_LEVEL: 'debug' })
    await until('it has swept', () => young.log().filter(({ msg }) => msg === 'swept').length > 2)
    t.ok((await left()).length > 0, 'it may still run, as far as another server knows')
    t.same((await get(young, STORY_IDS)).json(), [whole])
    await young.stop()

    await age(store, id)
    const server = await serverOn(t, store, { SWEEP_INTERVAL: '50ms', UPLOAD_TIMEOUT: '1s' })
    await until('it is swept', async () => (await left()).length === 0)
    await until('it says so', () => server.log().some(({ stories, kept }) => stories === 1 && kept === 0))
    t.same((await get(server, STORY_IDS)).json(), [whole])
    t.equal((await listImages(server)).length, 1)
    t.equal((await store.content()).filter((key) => key.includes(OLD)).length, 0)
  })
}

onEachStore(
  'with sweeps a list of ids shows what is uploaded and deleted at once',
  async (t, server) => {
    const images = await someImages(2)
    await until('it has swept', () => server.log().some(({ msg }) => msg === 'swept'))
    const ids: string[] = []
    for (let n = 0; n < 4; n++) ids.push((await upload(server, images)).story_id)
    t.same((await get(server, STORY_IDS)).json(), ids)
    await remove(server, `${IMAGES}/${ids[1]}`)
    t.same((await get(server, STORY_IDS)).json(), ids.toSpliced(1, 1))
    t.same((await get(server, `${STORY_IDS}?limit=1`)).json(), [ids[0]])
  },
  { SWEEP_INTERVAL: '100ms', LOG_LEVEL: 'debug' },
)

t.test(
  'a deletion of an old story that was interrupted is out of the list of ids, and is finished by a sweep',
  async (t) => {
    const store = await standInStore(t)
    const { standIn } = store
    const image = (await someImages(1))[0] as Buffer
    const server = await serverOn(t, store, { SWEEP_INTERVAL: '24h', LOG_LEVEL: 'debug' })
    const { story_id } = await upload(server, [image])
    await age(store, story_id)
    const swept = await serverOn(t, store, { SWEEP_INTERVAL: '24h', LOG_LEVEL: 'debug' })
    await until('it has swept', () => swept.log().some(({ msg }) => msg === 'swept'))
    const begin = standIn.calls.length
    t.same((await get(swept, STORY_IDS)).json(), [OLD])
    t.equal(standIn.calls.length - begin, 2, 'common prefixes, and the keys of what is young')
    standIn.fail({ operation: 'DeleteObjects', key: /\/1\.\w+$/ }, 'access-denied')
    t.equal((await remove(server, `${IMAGES}/${OLD}`)).status, 500)
    standIn.clearFaults()
    t.same((await get(swept, STORY_IDS)).json(), [])
    t.equal((await store.content()).length, 2, 'an image, and the mark of the deletion')
    // Marks of deletions are young for an hour
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
  t.ok(Date.now() - begin < 9000, `${Date.now() - begin} ms`)
  t.notMatch(server.output.stdout, /sweep/)
})

t.test('without an interval nothing is swept', async (t) => {
  const store = await standInStore(t)
  await serverOn(t, store, { SWEEP_INTERVAL: '0s' })
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.same(store.standIn.calls, [])
})
