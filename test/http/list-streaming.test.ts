import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { eventually, placeStory, smallImage, startApp, storyId } from '../support/app.ts'
import { ALL } from '../support/extent.ts'
import { startS3StandIn } from '../support/s3-stand-in.ts'

t.setTimeout(90_000)

const image = await smallImage()
const GET = 'GET /api/v1/images HTTP/1.1\r\nHost: test\r\n\r\n'

async function filled(t: { teardown(close: () => unknown): void }, stories: number, pageSize: number) {
  const standIn = await startS3StandIn({ pageSize })
  t.teardown(() => standIn.close())
  for (let n = 1; n <= stories; n++) placeStory(standIn, storyId(n), image)
  return standIn
}

t.test('a list goes out while the store is read', async (t) => {
  const standIn = await filled(t, 50, 10)
  const server = await startApp(t, {}, standIn)
  let release = () => {}
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  standIn.onCall = async ({ n }) => {
    if (n === 5) await gate
  }
  const client = await server.connect()
  await client.write(GET)
  t.ok(await eventually(() => client.received.includes(storyId(10))), 'the first pages arrive before the last is read')
  t.notOk(client.received.includes(storyId(40)))
  release()
  const { status, headers, body } = await client.answer()
  t.equal(status, 200)
  t.equal(headers['cache-control'], 'no-store')
  t.equal(JSON.parse(body).length, 50)
})

if (ALL)
  t.test('a list of 20,000 stories needs no more memory than its pages', async (t) => {
    const standIn = await filled(t, 20_000, 1000)
    const server = await startApp(t, { S3_TIMEOUT: '20s' }, standIn)
    let peak = 0
    for (let n = 0; n < 2; n++) {
      global.gc?.()
      const before = process.memoryUsage().arrayBuffers
      const response = await fetch(`${server.url}/api/v1/images`)
      let bytes = 0
      for await (const chunk of response.body ?? []) {
        bytes += chunk.length
        peak = Math.max(peak, process.memoryUsage().arrayBuffers - before)
      }
      t.ok(bytes > 20_000 * 150, `${bytes} bytes`)
    }
    t.ok(peak < 64 * 1024 * 1024, `${Math.round(peak / 1024 / 1024)} MiB of buffers`)
  })

if (ALL)
  t.test('a reader who stops reading stops the calls to the store', async (t) => {
    const standIn = await filled(t, 36_000, 1000)
    const server = await startApp(t, { S3_TIMEOUT: '20s' }, standIn)
    const client = await server.connect()
    client.socket.pause()
    await client.write(GET)
    let last = -1
    await eventually(async () => {
      const before = standIn.calls.length
      await sleep(500)
      last = standIn.calls.length
      return last === before && last > 0
    }, 15_000)
    t.ok(last < 66, `${last} of 72 pages are read ahead`)
    client.socket.resume()
    t.equal(JSON.parse((await client.answer()).body).length, 36_000, 'and goes on when the reader does')
  })

t.test('a client that goes away in the middle of a list stops the calls to the store', async (t) => {
  const standIn = await filled(t, 400, 2)
  const server = await startApp(t, {}, standIn)
  standIn.onCall = () => sleep(10)
  const client = await server.connect()
  await client.write(GET)
  await eventually(() => standIn.calls.length > 5)
  client.socket.resetAndDestroy()
  await sleep(100)
  const { length } = standIn.calls
  await sleep(300)
  t.equal(standIn.calls.length, length)
  t.ok(length < 100, `${length} calls`)
  t.equal(standIn.runningRequests, 0)
})

t.test('a client that goes away before the first page stops the calls to the store', async (t) => {
  const standIn = await filled(t, 400, 2)
  const server = await startApp(t, {}, standIn)
  standIn.onCall = () => sleep(50)
  const client = await server.connect()
  await client.write(GET)
  await eventually(() => standIn.calls.length === 1)
  client.socket.resetAndDestroy()
  await sleep(500)
  t.ok(standIn.calls.length <= 3, `${standIn.calls.length} calls`)
})

t.test('a store that fails in the middle of a list resets the connection', async (t) => {
  const standIn = await filled(t, 50, 10)
  const server = await startApp(t, {}, standIn)
  for (const version of ['1.1', '1.0']) {
    standIn.fail({ operation: 'ListObjectsV2', nth: 4 }, 'access-denied', 2)
    const client = await server.connect()
    await client.write(GET.replace('1.1', version))
    t.equal(await client.end(), 'reset', `HTTP/${version}`)
    const body = client.received.slice(client.received.indexOf('\r\n\r\n') + 4)
    t.throws(() => JSON.parse(body), 'what came is no list')
    standIn.clearFaults()
  }
  const response = await fetch(`${server.url}/api/v1/images`)
  t.equal(((await response.json()) as unknown[]).length, 50, 'the next list is whole')
})

t.test('garbage behind a request never gets into the answer to it', async (t) => {
  const standIn = await filled(t, 50, 10)
  const server = await startApp(t, { S3_TIMEOUT: '5s' }, standIn)
  for (const page of [1, 3]) {
    const first = standIn.calls.length
    standIn.onCall = async () => {
      if (standIn.calls.length - first === page) await sleep(300)
    }
    const client = await server.connect()
    await client.write(GET)
    await eventually(() => standIn.calls.length - first === page)
    await sleep(50)
    await client.write('garbage\r\n\r\n')
    await client.end()
    const [answer = '', refusal] = client.received.split(/(?=HTTP\/1\.1 400)/)
    t.match(answer, /\]\r\n\r?\n?0\r\n\r\n$/, `while page ${page} is read: the list comes to its end first`)
    t.match(refusal, /"detail":/)
  }
})
