import { randomBytes } from 'node:crypto'
import { once, setMaxListeners } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { S3Client } from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import { buildApp, type Limits } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { StoreBusy } from '../../src/errors.ts'
import { openDiskStore } from '../../src/store/disk/disk-store.ts'
import type { ListedObject, ObjectStore } from '../../src/store/object-store.ts'
import { openTransport } from '../../src/store/s3/transport.ts'
import { get, IMAGES, MULTIPART, multipart, STORY_IDS, UPLOAD } from '../acceptance/client.ts'
import { connectRaw, eventually, isDetail, smallImage, storyId } from '../support/app.ts'
import { putBytes } from '../support/bodies.ts'
import { closedGate } from '../support/gate.ts'
import { ALLOWED_HOSTS } from '../support/hosts.ts'
import { makeFolder } from '../support/stores.ts'

/** A server over a disk store of which some methods are others. */
async function serve(
  t: Test,
  options: Record<string, string>,
  change: (store: ObjectStore) => Partial<ObjectStore>,
  limits?: Partial<Limits>,
) {
  const disk = await openDiskStore(await makeFolder(t))
  const config = readConfig({ LOG_LEVEL: 'silent', MAX_EVENT_LOOP_DELAY: '1m', ALLOWED_HOSTS, ...options })
  const app = await buildApp(config, { ...disk, ...change(disk) }, { limits })
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => {
    const closed = app.close()
    app.server.closeAllConnections()
    return closed
  })
  return { app, port: (app.server.address() as AddressInfo).port }
}

const unchanged = () => ({})

/** How many bytes come over a connection until it closes, or until there are as many. */
async function sizeOf(socket: Socket, enough: number): Promise<number> {
  let size = 0
  socket.on('data', (chunk) => {
    size += chunk.length
  })
  while (!socket.closed && size < enough) await sleep(20)
  return size
}

/** Lists that wait until they are let go. */
function heldLists() {
  const gate = closedGate()
  const state = { running: 0, most: 0, go: gate.open }
  // biome-ignore lint/correctness/useYield: an empty list
  async function* list(): AsyncGenerator<ListedObject[]> {
    state.running++
    state.most = Math.max(state.most, state.running)
    try {
      await gate.opened
    } finally {
      state.running--
    }
  }
  return { state, list }
}

function isBusy(t: Test, answer: { status: number; headers: Record<string, unknown>; body: unknown }, what: string) {
  t.equal(answer.status, 503, what)
  t.equal(answer.headers['retry-after'], '5', `${what}: Retry-After`)
  t.ok(isDetail(String(answer.body)), `${what}: ${answer.body}`)
}

t.test('while the event loop is late requests are refused at once, but for /livez', async (t) => {
  const { port } = await serve(t, { MAX_EVENT_LOOP_DELAY: '60ms' }, unchanged)
  t.ok(await eventually(async () => (await get({ port }, IMAGES)).status === 200))
  // Blocks the event loop without taking processor time
  const asleep = new Int32Array(new SharedArrayBuffer(4))
  const block = setInterval(() => {
    Atomics.wait(asleep, 0, 0, 120)
  }, 121)
  t.teardown(() => clearInterval(block))
  t.ok(await eventually(async () => (await get({ port }, IMAGES)).status === 503), 'it is noticed')
  for (const path of [IMAGES, STORY_IDS, '/readyz', '/images/stories/a/1.jpg'])
    isBusy(t, await get({ port }, path), path)
  const client = await connectRaw(port)
  const body = multipart([{ body: await smallImage() }])
  const type = `content-type: ${MULTIPART['content-type']}`
  await client.write(`POST ${UPLOAD} HTTP/1.1\r\nHost: x\r\n${type}\r\nContent-Length: ${body.length}\r\n\r\n`)
  await client.write(body)
  isBusy(t, await client.answer(), 'an upload')
  client.socket.destroy()
  const live = await get({ port }, '/livez')
  t.equal(live.status, 200, String(live.body))
  clearInterval(block)
  t.ok(await eventually(async () => (await get({ port }, '/readyz')).status === 200), 'it is over')
})

t.test('lists beyond those that may run wait for their turn, and are refused beyond those that may wait', async (t) => {
  const { state, list } = heldLists()
  const { app, port } = await serve(t, {}, () => ({ list }), { lists: 2, waiting: 1, wait: 600_000 })
  const waits = async (count: number) => (await app.metrics.text()).includes(`queue_length{queue="lists"} ${count}\n`)
  const running = [get({ port }, IMAGES), get({ port }, `${STORY_IDS}?limit=5`)]
  t.ok(await eventually(() => state.running === 2))
  const leaving = await connectRaw(port)
  await leaving.write(`GET ${IMAGES} HTTP/1.1\r\nHost: x\r\n\r\n`)
  t.ok(await eventually(() => waits(1)))
  for (const path of [IMAGES, STORY_IDS]) isBusy(t, await get({ port }, path), path)
  t.ok(await waits(1), 'at once')
  leaving.socket.destroy()
  t.ok(await eventually(() => waits(0)))
  const waiting = get({ port }, IMAGES)
  t.ok(await eventually(() => waits(1)))
  t.equal(state.most, 2, 'it waits')
  state.go()
  for (const answer of await Promise.all([...running, waiting])) t.equal(answer.status, 200)
  for (let n = 0; n < 5; n++) t.equal((await get({ port }, IMAGES)).status, 200, 'each has given its place back')
  t.equal(state.running, 0)
})

t.test('images beyond those that may be on their way wait, and are refused beyond those that may wait', async (t) => {
  const asked = closedGate()
  const gate = closedGate()
  const held = (disk: ObjectStore) => ({
    get: async (...args: Parameters<ObjectStore['get']>) => {
      asked.open()
      await gate.opened
      return disk.get(...args)
    },
  })
  const { port } = await serve(t, {}, held, { images: 1, waiting: 0 })
  const path = `/images/stories/${storyId(1)}/1.png`
  const first = get({ port }, path)
  await asked.opened
  isBusy(t, await get({ port }, path), 'the second')
  gate.open()
  t.equal((await first).status, 404)
  t.equal((await get({ port }, path)).status, 404, 'and the place is free again')
})

t.test('readers of one address who take nothing make place for another one', async (t) => {
  const key = `stories/${storyId(1)}/1.png`
  const bytes = randomBytes(20_000_000)
  const { app, port } = await serve(t, {}, unchanged, { images: 3 })
  await putBytes(app.store, key, bytes)
  const responses: ServerResponse[] = []
  app.server.on('request', (_request, response: ServerResponse) => responses.push(response))
  const stuck = Array.from({ length: 3 }, () => {
    const socket = connect({ host: '127.0.0.1', port, localAddress: '127.0.0.2' }).on('error', () => {})
    socket.pause()
    socket.write(`GET /images/${key} HTTP/1.1\r\nHost: slow\r\n\r\n`)
    t.teardown(() => socket.destroy())
    return socket
  })
  // Until the kernel's buffers are full: the server's own event loop looks twenty times, and nothing has left
  let looks = 0
  let lengths = ''
  const isStuck = () => {
    const before = lengths
    lengths = responses.map((response) => response.writableLength).join()
    const isWaiting = responses.length === stuck.length && responses.every((response) => response.writableLength > 0)
    looks = isWaiting && lengths === before ? looks + 1 : 0
    return looks >= 20
  }
  t.ok(await eventually(isStuck), 'all three wait for their readers')
  const answer = await get({ port }, `/images/${key}`)
  t.equal(answer.status, 200, 'before the wait is over, which is less than CLIENT_TIMEOUT')
  t.ok(bytes.equals(answer.body))
  const closed = await Promise.all(
    stuck.map(async (socket) => {
      socket.resume()
      return (await sizeOf(socket, bytes.length)) < bytes.length
    }),
  )
  t.same(closed.filter(Boolean).length, 1, 'one of them has paid for it')
})

t.test('a reader that stops reading a list loses its connection, and lets go of the store', async (t) => {
  let open = 0
  async function* endless(): AsyncGenerator<ListedObject[]> {
    open++
    try {
      for (let n = 0; ; n++) {
        const id = storyId(n)
        const at = { size: 1, modified: '2024-03-20T10:30:00Z' }
        yield [
          { key: `stories/${id}/0.1.json`, ...at },
          { key: `stories/${id}/1.png`, ...at },
        ]
        if (n % 100 === 0) await sleep(0)
      }
    } finally {
      open--
    }
  }
  const { port } = await serve(t, { CLIENT_TIMEOUT: '2s' }, () => ({ list: endless }), { lists: 1 })
  const reader = connect(port, '127.0.0.1').on('error', () => {})
  reader.write(`GET ${IMAGES} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await once(reader, 'readable')
  t.equal(open, 1)
  t.ok(await eventually(() => open === 0), 'it was ended')
  reader.destroy()
  const next = connect(port, '127.0.0.1').on('error', () => {})
  next.write(`GET ${IMAGES} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await once(next, 'readable')
  t.equal(open, 1, 'and its place is free')
  next.destroy()
  t.ok(await eventually(() => open === 0))
})

t.test('a connection without headers, or with headers that do not end, is closed after CLIENT_TIMEOUT', async (t) => {
  const { port } = await serve(t, { CLIENT_TIMEOUT: '300ms' }, unchanged)
  for (const bytes of ['', 'GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow:']) {
    const client = await connectRaw(port)
    const begin = Date.now()
    if (bytes !== '') await client.write(bytes)
    const drip = setInterval(() => bytes !== '' && client.socket.writable && client.socket.write('y'), 50)
    await client.end()
    clearInterval(drip)
    t.ok(Date.now() - begin >= 290, 'not at once')
    if (bytes !== '')
      t.match(client.received, /^HTTP\/1\.1 408 .*\{"detail":"The request headers took too long to arrive"\}$/s)
  }
})

t.test('a connection without a further request is closed after KEEP_ALIVE_TIMEOUT', async (t) => {
  const { port } = await serve(t, { KEEP_ALIVE_TIMEOUT: '1s' }, unchanged)
  const client = await connectRaw(port)
  await client.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')
  t.equal((await client.answer()).status, 200)
  const begin = Date.now()
  t.equal(await client.end(), 'closed')
  t.ok(Date.now() - begin >= 900)
})

t.test('connections beyond the limit are closed at once, and those that are open stay', async (t) => {
  const { port } = await serve(t, {}, unchanged, { connections: 2 })
  const [first, second] = [await connectRaw(port), await connectRaw(port)]
  const third = await connectRaw(port)
  await third.end()
  for (const client of [first, second]) {
    await client.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')
    t.equal((await client.answer()).status, 200)
  }
  first.socket.destroy()
  const isServed = async () => {
    const next = await connectRaw(port)
    await next.write('GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    return next.answer().then(
      ({ status }) => status === 200,
      () => false,
    )
  }
  t.ok(await eventually(isServed), 'and one that closes makes room for another')
  second.socket.destroy()
})

t.test(
  'a call waits for a free connection to the store no longer than its timeout, and only so many wait',
  async (t) => {
    const seen = { open: 0, isSlow: true }
    const server = createServer((request, response) => {
      seen.open++
      if (!seen.isSlow) return void response.end('fine')
      response.flushHeaders()
      // Slow, but never silent
      const drip = setInterval(() => response.write('x'), 1000)
      response.once('close', () => clearInterval(drip))
      request.resume()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    const client = new S3Client({
      endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      region: 'eu-central-1',
      forcePathStyle: true,
      credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    })
    const transport = await openTransport(client, 'bucket', 4000)
    if (!transport) throw new Error('no transport')
    const call = { method: 'GET', key: 'a' } as const
    const stop = new AbortController()
    setMaxListeners(0, stop.signal)
    const running = Array.from({ length: 256 }, () => transport.request(call, stop.signal).catch((error) => error))
    t.ok(await eventually(() => seen.open === 256))
    const start = performance.now()
    let refused = 0
    const refuse = (error: unknown) => {
      refused += 1
      return error
    }
    const waiting: Promise<unknown>[] = []
    for (let n = 0; n < 1024; n++) {
      waiting.push(transport.request(call).catch(refuse))
      // The slow ones have to be heard meanwhile
      if (n % 32 === 0) await new Promise(setImmediate)
    }
    t.type(await transport.request(call).catch((error) => error), StoreBusy)
    t.equal(refused, 0, 'at once')
    for (const error of await Promise.all(waiting)) if (!(error instanceof StoreBusy)) t.fail(String(error))
    t.ok(performance.now() - start >= 3990, 'not before')
    t.equal(seen.open, 256, 'none was sent')
    seen.isSlow = false
    stop.abort(new Error('enough'))
    await Promise.all(running)
    const isAnswered = () =>
      transport.request(call).then(
        ({ status }) => status === 200,
        () => false,
      )
    t.ok(await eventually(isAnswered), 'then there are connections again')
    await transport.close()
  },
)
