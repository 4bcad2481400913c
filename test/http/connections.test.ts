import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { Readable } from 'node:stream'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { connectionsPlugin, goneSignal } from '../../src/http/plugins/connections.ts'
import { get, IMAGES, STORY_IDS } from '../acceptance/client.ts'
import {
  connectRaw,
  eventually,
  filePart,
  multipart,
  placeStory,
  smallImage,
  startApp,
  storyId,
  uploadHead,
} from '../support/app.ts'
import { startStandIn } from '../support/stores.ts'

/** Requests on one connection. The last ones wait for a place. */
const TOGETHER = 120
const PLACES = 100

const IMAGE = `/images/stories/${storyId(1)}/1.png`
const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`

/** A server whose bucket answers nothing until it is told to. */
async function heldServer(t: Test, stories = 1) {
  const standIn = await startStandIn(t, { pageSize: 4 })
  const image = await smallImage()
  for (let n = 1; n <= stories; n++) placeStory(standIn, storyId(n), image)
  const server = await startApp(t, { S3_TIMEOUT: '50s' }, standIn, { lists: PLACES, images: PLACES })
  let go = () => {}
  const gate = new Promise<void>((resolve) => {
    go = resolve
  })
  standIn.onCall = () => gate
  return { ...server, standIn, go }
}

/** The value of a gauge, which has one line for each of its labels. */
async function sumOf({ app }: Awaited<ReturnType<typeof startApp>>, gauge: string): Promise<number> {
  const lines = (await app.metrics.text()).split('\n').filter((line) => line.startsWith(`story_images_${gauge}`))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

for (const [queue, path] of [
  ['lists', IMAGES],
  ['lists', `${STORY_IDS}?limit=5`],
  ['images', IMAGE],
  ['variants', `${IMAGE}?w=160`],
] as const) {
  t.test(`places of requests that were sent together are free when their connection is gone: ${path}`, async (t) => {
    const server = await heldServer(t)
    const client = await server.connect()
    await client.write(request(path).repeat(TOGETHER))
    const used = () => sumOf(server, `capacity_used{queue="${queue}"}`)
    const waiting = () => sumOf(server, `queue_length{queue="${queue}"}`)
    t.ok(await eventually(async () => (await waiting()) === TOGETHER - PLACES), 'the last ones wait')
    t.equal(await used(), PLACES)
    client.socket.resetAndDestroy()
    t.ok(await eventually(async () => (await used()) === 0), 'no place is taken')
    t.equal(await waiting(), 0)
    t.equal(await sumOf(server, 'http_requests_running'), 0, 'no request counts as running')
    server.go()
    t.equal((await get(server, path)).status, 200, 'a normal client is served')
  })
}

t.test('an upload that was sent after another request ends with its connection', async (t) => {
  const server = await heldServer(t)
  const body = multipart([filePart(await smallImage())])
  const client = await server.connect()
  await client.write(request(IMAGES))
  await client.write(uploadHead(body.length))
  await client.write(body.subarray(0, -10))
  const memory = () => sumOf(server, 'capacity_used_bytes')
  t.ok(await eventually(async () => (await memory()) > 0), 'it has got memory')
  client.socket.resetAndDestroy()
  server.go()
  t.ok(await eventually(async () => (await memory()) === 0), 'its memory is free')
  t.equal(await sumOf(server, 'http_requests_running'), 0)
  t.same([...server.standIn.objects.keys()].sort(), [`stories/${storyId(1)}/0.1.json`, IMAGE.slice('/images/'.length)])
})

for (const path of [
  IMAGES,
  STORY_IDS,
  `${IMAGES}?limit=1000`,
  `${IMAGES}?limit=1000&order=newest`,
  `${STORY_IDS}?limit=1000`,
  `${IMAGES}/${storyId(1)}`,
]) {
  t.test(`the call of the store that is under way ends with its client, and there is no other: ${path}`, async (t) => {
    const server = await heldServer(t, 40)
    const { standIn } = server
    const client = await server.connect()
    await client.write(request(path))
    t.ok(await eventually(() => standIn.runningRequests === 1), 'the first page is asked for')
    client.socket.resetAndDestroy()
    // Though the store would never answer
    t.ok(await eventually(() => standIn.runningRequests === 0), 'nobody waits for it any more')
    t.equal(await sumOf(server, 'http_requests_running'), 0)
    const { length } = standIn.calls
    server.go()
    const alone = `${IMAGES}/${storyId(2)}`
    t.equal((await get(server, alone)).status, 200)
    t.equal(standIn.calls.length, length + 1)
  })
}

t.test(
  'the address of a client is known when the client has reset its connection before the request was read',
  async (t) => {
    const app = Fastify()
    await app.register(connectionsPlugin)
    const addresses: string[] = []
    app.addHook('onRequest', async ({ ip }) => void addresses.push(ip))
    app.get('/', async () => 'nobody reads this')
    await app.listen({ host: '127.0.0.1', port: 0 })
    t.teardown(() => app.close())
    const { port } = app.server.address() as AddressInfo
    const client = connect(port, '127.0.0.1').on('error', () => {})
    const [[socket]] = await Promise.all([once(app.server, 'connection'), once(client, 'connect')])
    // In one turn, so that the server gets both at once
    client.write(request('/'))
    client.resetAndDestroy()
    await new Promise((resolve) => socket.once('close', resolve))
    // Not every system hands over what came before a reset
    t.ok(
      addresses.every((address) => address === '127.0.0.1'),
      String(addresses),
    )
  },
)

t.test('each response says once that it is over, however its connection ends', async (t) => {
  const app = Fastify({ forceCloseConnections: true })
  await app.register(connectionsPlugin)
  const responses: ServerResponse[] = []
  const closed: number[] = []
  const late: (() => Readable)[] = []
  const goneSignals = new Set<AbortSignal>()
  app.get('/', async (request, reply) => {
    const n = responses.push(reply.raw) - 1
    goneSignals.add(goneSignal(request.raw))
    reply.raw.on('close', () => closed.push(n))
    const [answer] = await new Promise<[Readable]>((resolve) => {
      late.push(() => {
        const body = Readable.from(['a', 'b'])
        resolve([body])
        return body
      })
    })
    return answer
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const { port } = app.server.address() as AddressInfo
  const client = await connectRaw(port)
  t.teardown(() => client.socket.destroy())
  await client.write(request('/').repeat(4))
  t.ok(await eventually(() => responses.length === 4))
  late[0]?.()
  t.equal((await client.answer()).status, 200)
  t.ok(await eventually(() => closed.length === 1))
  const [signal] = goneSignals
  t.equal(goneSignals.size, 1, 'one signal for all requests of a connection')
  t.equal(signal?.aborted, false)
  client.socket.resetAndDestroy()
  t.ok(await eventually(() => closed.length === 4))
  t.same(closed.toSorted(), [0, 1, 2, 3])
  t.ok(
    responses.every(({ destroyed }) => destroyed),
    'each is known to be over',
  )
  t.equal(signal?.reason.name, 'ClientGone')
  t.equal(app.connections.size, 0)

  // What comes late is let go of
  const bodies = late.slice(1).map((answer) => answer())
  await Promise.all(bodies.map((body) => body.closed || once(body, 'close')))
  for (const response of responses) response.end('late')
  await new Promise(setImmediate)
  t.equal(closed.length, 4, 'and nothing is over twice')
})
