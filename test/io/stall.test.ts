import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type MinRate, onStall } from '../../src/io/stall.ts'
import { eventually, type Teardown } from '../support/app.ts'

const TIMEOUT = 400

/** A message of `length` bytes of which nothing but the head has come, and the socket of its sender. */
async function receive(t: Teardown, length: number): Promise<{ message: IncomingMessage; sender: Socket }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const sender = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' })
  sender.on('error', () => {})
  t.teardown(() => {
    sender.destroy()
    server.closeAllConnections()
    server.close()
  })
  sender.write(`POST / HTTP/1.1\r\nHost: test\r\nContent-Length: ${length}\r\n\r\n`)
  const [message] = (await once(server, 'request')) as [IncomingMessage]
  message.on('error', () => {})
  return { message, sender }
}

function watch(message: IncomingMessage) {
  const watched = { stalls: 0, after: 0, stop: () => {} }
  const start = Date.now()
  watched.stop = onStall(message, TIMEOUT, () => {
    watched.stalls++
    watched.after = Date.now() - start
  })
  return watched
}

/** A message of which nothing has come, watched by a clock of the test's own. */
function watchByClock(t: Test, minRate?: () => MinRate) {
  const message = Object.assign(new EventEmitter(), { socket: { bytesRead: 0 }, readableLength: 0, complete: false })
  const missed: (MinRate | undefined)[] = []
  let clock = 0
  let look = () => {}
  let period = 0
  t.intercept(performance, 'now', { value: () => clock })
  t.intercept(globalThis, 'setInterval', {
    value: (callback: () => void, milliseconds: number) => {
      look = callback
      period = milliseconds
      return { unref() {} }
    },
  })
  t.intercept(globalThis, 'setImmediate', { value: (callback: () => void) => callback() })
  t.teardown(onStall(message as unknown as IncomingMessage, TIMEOUT, (rate) => missed.push(rate), minRate))
  const pass = (milliseconds: number) => {
    for (let n = 0; n < milliseconds; n++) if (++clock % period === 0) look()
  }
  const send = (bytes: number) => {
    message.socket.bytesRead += bytes
  }
  return { message, missed, pass, send }
}

t.test('a sender that never sends is found once its time is over', async (t) => {
  const { message } = await receive(t, 10)
  message.resume()
  const watched = watch(message)
  t.ok(await eventually(() => watched.stalls > 0))
  t.ok(watched.after >= TIMEOUT, `after ${watched.after} ms`)
  await sleep(TIMEOUT)
  t.equal(watched.stalls, 1, 'and told once')
})

t.test('a clock that is set back gives a silent sender no further time', async (t) => {
  const { message } = await receive(t, 10)
  message.resume()
  const { now } = Date
  const found = new Promise<MinRate | undefined>((resolve) => onStall(message, TIMEOUT, resolve))
  Date.now = () => now() - 3_600_000
  t.teardown(() => {
    Date.now = now
  })
  t.equal(await found, undefined, 'no byte came at all')
})

t.test('a sender that stops in the middle is found', async (t) => {
  const { message, sender } = await receive(t, 10)
  message.resume()
  const watched = watch(message)
  await sleep(TIMEOUT / 2)
  sender.write('12345')
  t.ok(await eventually(() => watched.stalls > 0))
  t.ok(watched.after >= 1.4 * TIMEOUT, `after ${watched.after} ms: its time begins anew with each byte`)
})

t.test('a sender that drips is no stall', (t) => {
  const { missed, pass, send } = watchByClock(t)
  for (let n = 0; n < 20; n++) {
    send(1)
    pass(TIMEOUT - 26)
  }
  t.same(missed, [])
  pass(TIMEOUT)
  t.same(missed, [undefined], 'once it stops it is')
  t.end()
})

t.test('a sender that brings less than the least rate is found, after a whole stretch of it', (t) => {
  const minRate = { rate: 1000, milliseconds: TIMEOUT }
  const { missed, pass, send } = watchByClock(t, () => minRate)
  for (let n = 1; n < TIMEOUT / 10; n++) {
    send(9)
    pass(10)
  }
  t.same(missed, [], 'not too early')
  pass(10)
  t.same(missed, [minRate], 'slow, not silent')
  t.end()
})

t.test('a sender that brings the least rate in bursts is not too slow, and neither is one whose reader is', (t) => {
  const bursts = watchByClock(t, () => ({ rate: 1000, milliseconds: TIMEOUT }))
  for (let n = 0; n < 10; n++) {
    bursts.send(TIMEOUT)
    bursts.pass(TIMEOUT * 0.7)
  }
  t.same(bursts.missed, [])
  bursts.message.readableLength = 1
  bursts.pass(10 * TIMEOUT)
  t.same(bursts.missed, [])
  t.end()
})

t.test('a sender that has to hurry is found after a quarter of that, and only while it has to', (t) => {
  let rate = 0
  const { missed, pass, send } = watchByClock(t, () => ({ rate, milliseconds: TIMEOUT / 4 }))
  const drip = (milliseconds: number) => {
    for (let n = 0; n < milliseconds / 10; n++) {
      send(1)
      pass(10)
    }
  }
  drip(2 * TIMEOUT)
  t.same(missed, [])
  rate = 100_000
  drip(TIMEOUT / 2)
  t.same(missed, [{ rate: 100_000, milliseconds: TIMEOUT / 4 }])
  t.end()
})

t.test('a reader that has only just caught up is not taken for a sender that is slow', (t) => {
  const minRate = { rate: 1000, milliseconds: TIMEOUT / 4 }
  const { message, missed, pass } = watchByClock(t, () => minRate)
  // The reader catches up a moment before each quarter of the timeout, and then more has come
  for (let n = 0; n < 8; n++) {
    message.readableLength = 1
    pass(80)
    message.readableLength = 0
    pass(20)
  }
  t.same(missed, [])
  pass(200)
  t.same(missed, [minRate], 'once it waits for the sender, the sender counts')
  t.end()
})

t.test('a reader that is slow is no stall, until it has read all there is', async (t) => {
  const { message, sender } = await receive(t, 100_000)
  sender.write(Buffer.alloc(50_000))
  message.pause()
  const watched = watch(message)
  await sleep(2 * TIMEOUT)
  t.equal(watched.stalls, 0, 'while it pauses')
  message.resume()
  t.ok(await eventually(() => watched.stalls === 1), 'then it waits for the sender')
})

t.test('a reader that takes chunk by chunk is no stall', async (t) => {
  const { message, sender } = await receive(t, 300_000)
  sender.write(Buffer.alloc(300_000))
  const watched = watch(message)
  let size = 0
  for await (const chunk of message) {
    size += chunk.length
    if (size < 100_000) await sleep(1.5 * TIMEOUT)
  }
  t.equal(size, 300_000)
  t.equal(watched.stalls, 0)
})

t.test('a message that came to its end, or whose connection closed, is watched no longer', async (t) => {
  const whole = await receive(t, 5)
  const first = watch(whole.message)
  whole.message.resume()
  whole.sender.write('12345')
  const broken = await receive(t, 5)
  const second = watch(broken.message)
  broken.sender.resetAndDestroy()
  await sleep(2 * TIMEOUT)
  t.equal(first.stalls, 0)
  t.equal(second.stalls, 0)
})

t.test('a watch can be ended', async (t) => {
  const { message } = await receive(t, 5)
  message.resume()
  const watched = watch(message)
  watched.stop()
  await sleep(2 * TIMEOUT)
  t.equal(watched.stalls, 0)
})
