import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { eventually, startApp, storyId } from '../support/app.ts'
import { closedGate } from '../support/gate.ts'
import { filled, GET } from './long-lists.ts'

t.test('a list goes out while the store is read', async (t) => {
  const standIn = await filled(t, 50, 10)
  const server = await startApp(t, {}, standIn)
  const gate = closedGate()
  standIn.onCall = async ({ n }) => {
    if (n === 5) await gate.opened
  }
  const client = await server.connect()
  await client.write(GET)
  t.ok(await eventually(() => client.received.includes(storyId(10))), 'the first pages arrive before the last is read')
  t.notOk(client.received.includes(storyId(40)))
  gate.open()
  const { status, headers, body } = await client.answer()
  t.equal(status, 200)
  t.equal(headers['cache-control'], 'no-store')
  t.equal(JSON.parse(body).length, 50)
})

t.test('a client that goes away in the middle of a list stops the calls to the store', async (t) => {
  const standIn = await filled(t, 400, 2)
  const server = await startApp(t, {}, standIn)
  const gate = closedGate()
  standIn.onCall = ({ n }) => (n > 5 ? gate.opened : undefined)
  const client = await server.connect()
  await client.write(GET)
  t.ok(await eventually(() => standIn.calls.length > 5))
  client.socket.resetAndDestroy()
  t.ok(await eventually(() => server.app.connections.size === 0), 'the server knows that it has left')
  gate.open()
  t.ok(await eventually(() => standIn.runningRequests === 0))
  await sleep(100)
  t.ok(standIn.calls.length <= 7, `${standIn.calls.length} calls`)
})

t.test('a client that goes away before the first page stops the calls to the store', async (t) => {
  const standIn = await filled(t, 400, 2)
  const server = await startApp(t, {}, standIn)
  const gate = closedGate()
  standIn.onCall = () => gate.opened
  const client = await server.connect()
  await client.write(GET)
  t.ok(await eventually(() => standIn.calls.length === 1))
  client.socket.resetAndDestroy()
  t.ok(await eventually(() => server.app.connections.size === 0), 'the server knows that it has left')
  gate.open()
  t.ok(await eventually(() => standIn.runningRequests === 0))
  await sleep(100)
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
  const server = await startApp(t, {}, standIn)
  for (const page of [1, 3]) {
    const first = standIn.calls.length
    const { opened, open } = closedGate()
    standIn.onCall = async () => {
      if (standIn.calls.length - first === page) await opened
    }
    const client = await server.connect()
    await client.write(GET)
    t.ok(await eventually(() => standIn.calls.length - first === page))
    await client.write('garbage\r\n\r\n')
    // For the server to read it
    await sleep(50)
    open()
    await client.end()
    const [answer = '', refusal] = client.received.split(/(?=HTTP\/1\.1 400)/)
    t.match(answer, /\]\r\n\r?\n?0\r\n\r\n$/, `while page ${page} is read: the list comes to its end first`)
    t.match(refusal, /"detail":/)
  }
})
