import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { v7 } from 'uuid'
import { openDiskStore } from '../../src/store/disk/disk-store.ts'
import { freePort, startRecorder } from '../readme/shell.ts'
import { sample } from '../support/extent.ts'
import { putOurs } from '../support/recording-store.ts'
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
import { runCommand } from './command.ts'
import { diskStore, onEachStore, serverOn, standInStore, type TestStore } from './stores.ts'

/** Longer ago than any upload can run. */
const LONG_AGO = new Date('2024-06-01T00:00:00Z')

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

/**
 * Sets the clock of a process two hours ahead, since no test can make a file look older than it is.
 *
 * @param since what was written after this time, in milliseconds since 1970, is as young as it would be if all clocks were ahead
 */
function ahead(since = Number.MAX_SAFE_INTEGER): Record<'NODE_OPTIONS', string> {
  const script = `
    import fs from 'node:fs/promises'
    import { syncBuiltinESMExports } from 'node:module'
    const { now } = Date
    const { lstat } = fs
    Date.now = () => now() + 7_200_000
    fs.lstat = async (...args) => {
      const stat = await lstat(...args)
      for (const time of ['mtimeMs', 'ctimeMs'])
        if (stat[time] > ${since}) stat[time] += typeof stat[time] === 'bigint' ? 7_200_000n : 7_200_000
      return stat
    }
    syncBuiltinESMExports()`
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}` }
}

for (const [name, open] of sample(
  [
    ['disk', diskStore],
    ['the stand-in', standInStore],
  ] as const,
  1,
)) {
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

    const young = await startServer({ ...store.environment, SWEEP_INTERVAL: '50ms', LOG_LEVEL: 'debug' })
    await until('it has swept', () => young.log().filter(({ msg }) => msg === 'swept').length > 2)
    t.ok((await left()).length > 0, 'it may still run, as far as another server knows')
    t.same((await get(young, STORY_IDS)).json(), [whole])
    await young.stop()

    const server = await serverOn(t, store, { ...ahead(), SWEEP_INTERVAL: '50ms' })
    await until('it is swept', async () => (await left()).length === 0)
    await until('it says so', () => server.log().some(({ stories, left }) => stories === 1 && left === 0))
    t.same((await get(server, STORY_IDS)).json(), [whole])
    t.equal((await listImages(server)).length, 1)
    const others = (key: string) => !key.includes(whole)
    await until('nothing else is left', async () => (await store.content()).filter(others).length === 0)
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

t.test('without an interval nothing is swept', async (t) => {
  const server = await serverOn(t, await diskStore(t), { SWEEP_INTERVAL: '0s', LOG_LEVEL: 'debug' })
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.notOk(server.log().some(({ msg }) => msg === 'swept'))
})

const TEMPORARY = /^\.tmp\//

for (const [name, open] of sample(
  [
    ['disk', diskStore],
    ['the stand-in', standInStore],
  ] as const,
  1,
)) {
  t.test(
    `npm run sweep prints what it would remove, and removes just that, several at once beside a server (${name})`,
    async (t) => {
      const store: TestStore = await open(t)
      const [first, ...rest] = await someImages(4)
      const killed = await startServer(store.environment)
      t.teardown(() => killed.kill())
      const { story_id: whole } = await upload(killed, [first as Buffer])
      const socket = beginUpload(killed.port, rest)
      const content = async () => (await store.content()).filter((key) => !TEMPORARY.test(key))
      const left = async () => (await content()).filter((key) => key.startsWith('stories/') && !key.includes(whole))
      // In either order: they are stored side by side
      const both = (keys: readonly string[]) =>
        ['/1.png', '/2.jpg'].every((name) => keys.some((key) => key.endsWith(name)))
      await until('images are stored', async () => both(await left()))
      await killed.kill()
      socket.destroy()
      const young = await runCommand('sweep', ['--all', '--dry-run'], store.environment)
      t.match(
        young,
        { code: 0, stdout: 'Would remove 0 keys of 0 stories\n' },
        'for all it knows the upload still runs',
      )
      const [, id = ''] = (await left())[0]?.match(/^stories\/([^/]+)/) ?? []
      // What is none of ours
      await store.place(`stories/${randomUUID()}/1.jpg`, first as Buffer)
      await store.place(`stories/${v7({ msecs: LONG_AGO.getTime() })}/1.jpg`, first as Buffer)
      await store.place('stories/notes.txt', Buffer.from('mine'))

      const since = Date.now()
      const server = await serverOn(t, store, { ...ahead(), SWEEP_INTERVAL: '0s', CLIENT_TIMEOUT: '1h' })
      const running = beginUpload(server.port, rest)
      t.teardown(() => running.destroy())
      await until('an upload runs', async () => both((await left()).filter((key) => !key.includes(id))))
      const before = await content()
      const late = { ...store.environment, ...ahead(since) }
      const lines = [id, `  stories/${id}/1.png`, `  stories/${id}/2.jpg`]
      const dry = await runCommand('sweep', ['--dry-run', '--all'], late)
      t.match(dry, { code: 0, stdout: [...lines, 'Would remove 2 keys of 1 stories', ''].join('\n') })
      t.match(dry.stderr, /^The images are (on disk in|in the bucket) /)
      t.same(await content(), before, 'a dry run changes nothing')
      // A bucket can have a server that sweeps all the time, too; a folder has one server
      if (store.standIn) await serverOn(t, store, { ...ahead(), SWEEP_INTERVAL: '1ms' })
      const sweeps = await Promise.all([1, 2, 3].map(() => runCommand('sweep', ['--all'], late)))
      for (const { code, stdout, stderr } of sweeps) {
        t.equal(code, 0, stderr)
        t.match(stdout, /^(01.*\n( {2}stories.*\n)+)?Removed \d keys of \d stories\n$/)
      }
      // The server that sweeps all the time can have a tombstone for it
      await until('nothing of the story is left', async () => !(await content()).some((key) => key.includes(id)))
      t.same(
        await content(),
        before.filter((key) => !key.includes(id)),
        'everything else is there: an imported story, what others copied in, a running upload',
      )
      t.match(await runCommand('sweep', [], late), { code: 0, stdout: 'Removed 0 keys of 0 stories\n' })
      t.same((await get(server, `${IMAGES}/${whole}`)).status, 200)
    },
  )
}

t.test('npm run sweep tells the CDN of the stories that it removes, and fails if it can not', async (t) => {
  const { environment } = await diskStore(t)
  const store = await openDiskStore(environment.DATA_DIR as string)
  const recorder = await startRecorder(t)
  for (const [port, code] of [
    [recorder.port, 0],
    [await freePort(), 1],
  ]) {
    const id = v7({ msecs: LONG_AGO.getTime() })
    await putOurs(store, `stories/${id}/1.jpg`)
    const late = { ...environment, ...ahead(), PURGE_URL: `http://127.0.0.1:${port}/${'{tag}'}` }
    t.match(await runCommand('sweep', ['--all', '--dry-run'], late), { code: 0, stdout: /^Would remove 1 keys/m })
    const before = recorder.requests.length
    const { code: found, stderr, stdout } = await runCommand('sweep', ['--all'], late)
    t.match(stdout, /^Removed 1 keys of 1 stories$/m)
    t.equal(found, code, stderr)
    const told = recorder.requests.slice(before).map(({ path }) => path)
    t.same(told, code === 0 ? [`/${id}`] : [])
    if (code === 1) t.match(stderr, `The CDN was not told of ${id}: `)
  }
})

t.test('npm run sweep reads the settings of the server, and refuses what it does not understand', async (t) => {
  const store = await diskStore(t)
  const sweep = (args: readonly string[], environment = {}) =>
    runCommand('sweep', args, { ...store.environment, ...environment })
  for (const [args, sentence] of [
    [['--dryrun'], /^Unknown option '--dryrun'\n\(Did you mean --dry-run\?\)\n\(--help shows what there is\)\n$/],
    [['all'], /^Too many arguments for 'sweep'. Expected 0 arguments but got 1.\n/],
  ] as const)
    t.match(await sweep(args), { code: 2, stdout: '', stderr: sentence })
  t.match(await sweep([], { UPLOAD_TIMEOUT: 'soon' }), { code: 2, stderr: /^UPLOAD_TIMEOUT must be a duration/ })
  t.match(await sweep(['--all'], { npm_lifecycle_event: 'sweep', npm_config_dry_run: 'true' }), {
    code: 2,
    stderr: 'npm took --dry-run for itself; write -- before the first option\n',
  })
  for (const flag of ['--help', '-h']) t.match(await sweep([flag]), { code: 0, stdout: /--dry-run .*\n.*--all/s })

  const folder = store.environment.DATA_DIR as string
  await writeFile(join(folder, '.env'), `DATA_DIR=${folder}\nUPLOAD_TIMEOUT=2h\n`)
  t.match(await runCommand('sweep', [], {}, folder), { code: 0, stderr: `The images are on disk in ${folder}\n` })
})
