import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { deliver } from '../../src/http/send/deliver.ts'
import { MIB, until } from '../support/bodies.ts'
import { PATIENCE } from '../support/patience.ts'

const TIMEOUT = 300

const CHUNK = Buffer.alloc(64 * 1024, 'x')

/** A server of as many bytes as the path says, `pause` milliseconds apart. */
async function serve(t: Test, { pause = 0, missing = 0, timeout = TIMEOUT } = {}) {
  const app = Fastify({ forceCloseConnections: true })
  const seen = { mostWaiting: 0, open: 0 }
  app.get<{ Params: { size: string } }>('/:size', async (request, reply) => {
    // As behind any call of a store: Node has seen the request's end by then
    await setImmediate()
    let left = Number(request.params.size)
    const body = new Readable({
      async read() {
        seen.mostWaiting = Math.max(seen.mostWaiting, reply.raw.writableLength)
        if (pause > 0) await sleep(pause)
        const chunk = CHUNK.subarray(0, left)
        left -= chunk.length
        this.push(chunk.length > 0 ? chunk : null)
      },
    })
    seen.open++
    body.once('close', () => seen.open--)
    return deliver(reply, {}, body, left + missing, timeout)
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const { port } = app.server.address() as AddressInfo
  return { port, seen }
}

/** Bytes between two pauses of a slow reader. */
const PAUSE_AFTER = 6 * MIB

/** Reads a body. Pauses for `pause` milliseconds after each `PAUSE_AFTER` bytes. */
async function read(answer: IncomingMessage, pause = 0): Promise<number> {
  let size = 0
  let next = PAUSE_AFTER
  for await (const chunk of answer) {
    size += chunk.length
    if (pause === 0 || size < next) continue
    next += PAUSE_AFTER
    await sleep(pause)
  }
  return size
}

t.test('headers that can not be sent are a 500, and let go of the body', async (t) => {
  const app = Fastify({ forceCloseConnections: true })
  const body = new Readable({ read: () => {} })
  app.get('/', async (_request, reply) => deliver(reply, { 'x-name': '☃' }, body, 10, TIMEOUT))
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const { port } = app.server.address() as AddressInfo
  const response = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(PATIENCE) })
  t.equal(response.status, 500)
  t.match(await response.json(), { statusCode: 500 })
  t.ok(body.destroyed)
})

t.test('a client that stops reading loses its connection, and takes little memory until then', async (t) => {
  const { port, seen } = await serve(t)
  for (const size of [64 * MIB, 12 * MIB]) {
    const client = connect(port, '127.0.0.1')
    client.on('error', () => {})
    client.write(`GET /${size} HTTP/1.1\r\nHost: x\r\n\r\n`)
    await once(client, 'readable')
    t.equal(seen.open, 1)
    const start = Date.now()
    await until(() => seen.open === 0)
    t.ok(Date.now() - start >= TIMEOUT / 2, 'not at once')
    t.ok(seen.mostWaiting <= 256 * 1024 + CHUNK.length, `${seen.mostWaiting} bytes waited`)
    client.destroy()
  }
})

t.test('a client that reads slowly gets every byte', async (t) => {
  const { port, seen } = await serve(t, { timeout: 5000 })
  const size = 11 * PAUSE_AFTER
  const [answer] = (await once(get({ port, path: `/${size}` }), 'response')) as [IncomingMessage]
  t.equal(await read(answer, 500), size, 'which takes longer than the timeout')
  t.ok(seen.mostWaiting > 256 * 1024 - CHUNK.length, 'and the server had to wait for it')
})

t.test('a body that comes slowly is not taken for a client that reads slowly', async (t) => {
  const { port } = await serve(t, { pause: TIMEOUT * 2 })
  const [answer] = (await once(get({ port, path: `/${CHUNK.length + 1}` }), 'response')) as [IncomingMessage]
  t.equal(await read(answer), CHUNK.length + 1)
})

t.test('a body that is shorter than was said breaks the connection off', async (t) => {
  const { port } = await serve(t, { missing: 5 })
  for (const size of [0, 100, MIB]) {
    const answered = once(get({ port, path: `/${size}` }), 'response') as Promise<[IncomingMessage]>
    await t.rejects(
      answered.then(([answer]) => read(answer)),
      { code: 'ECONNRESET' },
    )
  }
})

t.test('a body that has failed before it is delivered is an error that the client can read', async (t) => {
  const app = Fastify({ forceCloseConnections: true })
  app.get('/', async (_request, reply) => {
    const body = new Readable({ read() {} }).on('error', () => {})
    body.destroy(new Error('the store went away'))
    await once(body, 'close')
    return deliver(reply, {}, body, 10, TIMEOUT)
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const { port } = app.server.address() as AddressInfo
  const [answer] = (await once(get({ port }), 'response')) as [IncomingMessage]
  t.equal(answer.statusCode, 500, 'without the plugin that knows its status')
  t.equal((await text(answer)).length, Number(answer.headers['content-length']), 'its length is its own')
})

t.test('the connection stays for the next request, which may come late', async (t) => {
  const { port } = await serve(t)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const ports = new Set<number | undefined>()
  for (const size of [0, 1, 20_000, MIB]) {
    const [answer] = (await once(get({ port, agent, path: `/${size}` }), 'response')) as [IncomingMessage]
    ports.add(answer.socket.localPort)
    t.equal(await read(answer), size)
    await sleep(TIMEOUT * 1.5)
  }
  t.equal(ports.size, 1)
})

t.test('requests that come together are answered one after another', async (t) => {
  const { port } = await serve(t)
  const sizes = [MIB, 5, 2 * MIB]
  const client = connect(port, '127.0.0.1')
  t.teardown(() => client.destroy())
  client.write(sizes.map((size) => `GET /${size} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''))
  let text = ''
  client.on('data', (data) => {
    text += data.toString('latin1')
  })
  const bodies = () => text.split(/HTTP\/1\.1 200 OK[\s\S]*?\r\n\r\n/).slice(1)
  await until(() => bodies().length === 3 && bodies()[2]?.length === 2 * MIB)
  t.same(
    bodies().map((body) => body.length),
    sizes,
  )
})
