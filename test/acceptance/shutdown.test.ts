import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { uploadHead } from '../support/app.ts'
import { sample } from '../support/extent.ts'
import { bigImage } from '../support/images.ts'
import { startServer } from '../support/server-process.ts'
import {
  BOUNDARY,
  get,
  IMAGES,
  listImages,
  multipart,
  remove,
  someImages,
  type Uploaded,
  until,
  upload,
} from './client.ts'
import { diskStore, openers, serverOn } from './stores.ts'

/** What has come over a connection so far, and whether it was closed. */
function watch(socket: Socket): { text: string; closed: boolean } {
  const state = { text: '', closed: false }
  socket.setEncoding('latin1').on('data', (text) => {
    state.text += text
  })
  socket
    .on('error', () => {})
    .once('close', () => {
      state.closed = true
    })
  return state
}

const refused = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(false)
    })
    socket.on('error', () => resolve(true))
  })

const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'

/** The head of an upload. The server answers the header `Expect` as soon as the upload runs. */
const expectingHead = (length: number) => uploadHead(length, { boundary: BOUNDARY, more: ['Expect: 100-continue'] })

for (const [name, open] of openers) {
  for (const signal of sample(['SIGTERM', 'SIGINT'] as const, 1)) {
    t.test(`${signal} lets running requests finish, and refuses new connections (${name})`, async (t) => {
      const store = await open(t)
      const server = await startServer({ ...store.environment, SHUTDOWN_TIMEOUT: '10m', CLIENT_TIMEOUT: '10m' })
      t.teardown(() => server.kill())
      const images = await someImages(3)
      const body = multipart(images.map((image) => ({ body: image })))
      const big = await upload(server, [await bigImage(20_000_000)])

      const unused = watch(connect(server.port, '127.0.0.1'))
      const used = connect(server.port, '127.0.0.1')
      const idle = watch(used)
      used.write(`GET ${IMAGES} HTTP/1.1\r\nHost: x\r\n\r\n`)
      await until('a connection becomes idle', () => idle.text.endsWith('\r\n0\r\n\r\n'))
      const download = connect(server.port, '127.0.0.1')
      const sending = connect(server.port, '127.0.0.1')
      const answer = watch(sending)
      sending.write(expectingHead(body.length))
      await until('the upload runs', () => answer.text === CONTINUE)
      sending.write(body.subarray(0, 500))
      download.write(`GET ${big.image_paths[0]} HTTP/1.1\r\nHost: x\r\n\r\n`)
      let downloaded = 0
      download.on('data', (chunk) => {
        downloaded += chunk.length
      })
      await new Promise((resolve) => download.once('data', resolve))
      download.pause()

      const exit = server.stop(signal)
      await until('new connections are refused', () => refused(server.port))
      await until('connections without a request are closed', () => idle.closed && unused.closed)
      const middle = Math.floor(body.length / 2)
      sending.write(body.subarray(500, middle))
      await new Promise((resolve) => setTimeout(resolve, 300))
      sending.write(body.subarray(middle))
      download.resume()
      await until('the upload is answered', () => answer.closed)
      const [head = '', told = ''] = answer.text.slice(CONTINUE.length).split('\r\n\r\n')
      t.match(head, /^HTTP\/1\.1 200 /)
      t.match(head, /^connection: close\r$/im, 'the last answer of its connection')
      t.same(await exit, { code: 0, signal: null })
      await until('the download is closed', () => download.destroyed)
      t.ok(downloaded > 20_000_000, 'the download is whole')

      const { story_id } = JSON.parse(told) as Uploaded
      const next = await serverOn(t, store)
      t.equal((await listImages(next, `${IMAGES}/${story_id}`)).length, 3, 'what was acknowledged is there')
      t.equal((await remove(next, IMAGES)).status, 200)
      t.same(await store.content(), [])
    })
  }
}

/** An upload whose body does not come. */
const STALLED = expectingHead(9)

t.test('a server that is told to end is not ready first, and still serves', async (t) => {
  const store = await diskStore(t)
  const server = await startServer({ ...store.environment, SHUTDOWN_DELAY: '10m' })
  t.teardown(() => server.kill())
  t.equal((await get(server, '/readyz')).status, 200)
  server.signal('SIGTERM')
  await until('it is not ready', async () => (await get(server, '/readyz')).status === 503)
  const ready = await get(server, '/readyz')
  t.same(ready.json(), { detail: 'The server is shutting down' })
  t.equal(ready.headers['retry-after'], '5')
  t.equal((await get(server, '/livez')).status, 200, 'it is alive')
  const { story_id } = await upload(server, await someImages(1))
  t.equal((await get(server, `${IMAGES}/${story_id}`)).status, 200, 'it takes uploads on new connections')
})

t.test('a server drains after SHUTDOWN_DELAY, and then ends', async (t) => {
  const store = await diskStore(t)
  const server = await startServer({ ...store.environment, SHUTDOWN_DELAY: '1s' })
  t.teardown(() => server.kill())
  const begin = Date.now()
  const exit = server.stop()
  await until('new connections are refused', () => refused(server.port))
  t.ok(Date.now() - begin >= 950, 'not before')
  t.same(await exit, { code: 0, signal: null })
})

t.test('a second signal ends the server at once, in the delay and while it drains', async (t) => {
  const store = await diskStore(t)
  for (const delay of sample(['2m', '0s'], 1)) {
    const server = await startServer({ ...store.environment, SHUTDOWN_DELAY: delay, SHUTDOWN_TIMEOUT: '2m' })
    const socket = connect(server.port, '127.0.0.1').on('error', () => {})
    socket.write(STALLED)
    await once(socket, 'data')
    const exit = server.stop()
    await until('the shutdown has begun', () => server.log().some(({ msg }) => msg.startsWith('shutting down')))
    const begin = Date.now()
    await server.stop()
    t.same(await exit, { code: 1, signal: null }, delay)
    t.ok(Date.now() - begin < 60_000, 'at once')
    socket.destroy()
  }
})

t.test('an idle server stops at once, one that still has a stalled request after SHUTDOWN_TIMEOUT', async (t) => {
  const store = await diskStore(t)
  const idle = await startServer(store.environment)
  await get(idle, IMAGES)
  let begin = Date.now()
  t.same(await idle.stop(), { code: 0, signal: null })
  t.ok(Date.now() - begin < 60_000, 'not after SHUTDOWN_TIMEOUT, which is five minutes')

  const busy = await startServer({ ...store.environment, SHUTDOWN_TIMEOUT: '1s' })
  const socket = connect(busy.port, '127.0.0.1').on('error', () => {})
  socket.write(STALLED)
  await once(socket, 'data')
  begin = Date.now()
  const { signal } = await busy.stop()
  t.equal(signal, null, 'it ends by itself')
  t.ok(Date.now() - begin >= 900)
  socket.destroy()
})
