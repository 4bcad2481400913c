import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { ObjectNotFound, RangeNotSatisfiable } from '../../../src/errors.ts'
import { SOCKETS } from '../../../src/store/s3/transport.ts'
import { MIB, readAll, until } from '../../support/bodies.ts'
import { openOnStandIn, startStandIn } from '../../support/stores.ts'

const TIMEOUT = 300
const BYTES = randomBytes(4 * MIB)

async function open(t: Test, fastPath: boolean, timeout = TIMEOUT) {
  const standIn = await startStandIn(t)
  const store = await openOnStandIn(t, standIn, { timeout, fastPath })
  standIn.place('o', BYTES)
  standIn.place('small', 'small')
  standIn.place('empty', '')
  return { standIn, store }
}

/** Reads with a pause longer than the timeout in the middle. */
function slowReader(): Writable & { bytes: number } {
  let paused = false
  const reader = Object.assign(
    new Writable({
      highWaterMark: 1000,
      async write(chunk: Buffer, _encoding, done) {
        reader.bytes += chunk.length
        if (!paused) {
          paused = true
          await sleep(TIMEOUT * 3)
        }
        done()
      },
    }),
    { bytes: 0 },
  )
  return reader
}

for (const fastPath of [true, false]) {
  const by = fastPath ? 'fast path' : 'SDK'

  t.test(`${by}: a body that stalls ends with an error for a piping reader`, async (t) => {
    const { standIn, store } = await open(t, fastPath)
    standIn.fail({ operation: 'GetObject' }, 'stall-mid-body')
    const { body } = await store.get('o')
    const sink = new Writable({ write: (_chunk, _encoding, done) => done() })
    await t.rejects(pipeline(body, sink), /stopped sending/)
    await until(() => standIn.runningRequests === 0)
  })

  t.test(`${by}: a body that stalls ends with an error for an iterating reader`, async (t) => {
    const { standIn, store } = await open(t, fastPath)
    standIn.fail({ operation: 'GetObject' }, 'stall-mid-body')
    const { body } = await store.get('o')
    await t.rejects(readAll(body), /stopped sending/)
    body.destroy()
    await until(() => standIn.runningRequests === 0)
  })

  t.test(`${by}: a connection that breaks in the middle of a body is an error for its reader`, async (t) => {
    const { standIn, store } = await open(t, fastPath)
    standIn.fail({ operation: 'GetObject' }, 'reset-mid-response-body')
    const { body } = await store.get('o')
    await t.rejects(readAll(body))
  })

  t.test(`${by}: a reader who pauses for longer than the timeout gets every byte`, async (t) => {
    const { store } = await open(t, fastPath)
    for (const [key, size] of [
      ['o', BYTES.length],
      ['small', 5],
    ] as const) {
      const piped = slowReader()
      await pipeline((await store.get(key)).body, piped)
      t.equal(piped.bytes, size, `${key}, piped`)
      let iterated = 0
      for await (const chunk of (await store.get(key)).body) {
        if (iterated === 0) await sleep(TIMEOUT * 3)
        iterated += chunk.length
      }
      t.equal(iterated, size, `${key}, iterated`)
    }
  })

  t.test(`${by}: a reader who begins later than the timeout gets every byte`, async (t) => {
    const { store } = await open(t, fastPath)
    const bodies = await Promise.all(['o', 'small', 'empty'].map((key) => store.get(key)))
    await sleep(TIMEOUT * 3)
    t.same(await Promise.all(bodies.map(async ({ body }) => (await readAll(body)).length)), [BYTES.length, 5, 0])
  })

  t.test(`${by}: a body that is dropped takes its connection with it, one that was read gives it back`, async (t) => {
    const { standIn, store } = await open(t, fastPath)
    for (let i = 0; i < 5; i++) await readAll((await store.get('o')).body)
    t.ok(standIn.openConnections <= 2, `${standIn.openConnections} connections were opened`)
    const { body } = await store.get('o')
    await once(body, 'readable')
    body.destroy()
    await until(() => standIn.runningRequests === 0)
    // undici connects again for a request that was aborted, and uses that connection again
    if (!fastPath) await until(() => standIn.openConnections === 0)
    t.equal((await readAll((await store.get('small')).body)).toString(), 'small')
    t.ok(standIn.openConnections <= 2, `${standIn.openConnections} connections are open`)
  })

  t.test(`${by}: a signal ends a get that is not answered`, async (t) => {
    const { standIn, store } = await open(t, fastPath, 60_000)
    standIn.fail({}, 'stall')
    for (const call of ['get', 'head'] as const) {
      const controller = new AbortController()
      const running = store[call]('o', { signal: controller.signal })
      running.catch(() => {})
      await until(() => standIn.runningRequests === 1)
      const start = Date.now()
      controller.abort()
      await t.rejects(running)
      t.ok(Date.now() - start < 50_000, `${call} ended at once`)
      await until(() => standIn.runningRequests === 0)
    }
  })
}

t.test('a signal ends a get that waits for a connection', async (t) => {
  const standIn = await startStandIn(t)
  const store = await openOnStandIn(t, standIn, { timeout: 60_000 })
  standIn.fail({}, 'stall')
  const holders = new AbortController()
  const held = Array.from({ length: SOCKETS }, () => store.get('o', { signal: holders.signal }).catch(() => {}))
  await until(() => standIn.runningRequests === SOCKETS)
  const controller = new AbortController()
  const waiting = store.get('o', { signal: controller.signal })
  waiting.catch(() => {})
  const start = Date.now()
  controller.abort()
  await t.rejects(waiting)
  t.ok(Date.now() - start < 50_000, 'at once')
  t.equal(standIn.calls.length, SOCKETS, 'and it is never sent')
  holders.abort()
  await Promise.all(held)
})

t.test('what the fast path can answer itself is one call', async (t) => {
  const { standIn, store } = await open(t, true)
  await t.rejects(store.get('o', { range: { start: BYTES.length } }), RangeNotSatisfiable)
  await t.rejects(store.get('missing'), ObjectNotFound)
  const { range, size, body } = await store.get('o', { range: { start: 1, end: 2 } })
  t.same([range, size], [{ start: 1, end: 2 }, BYTES.length])
  t.same(await readAll(body), BYTES.subarray(1, 3))
  t.equal(standIn.calls.length, 3)
})

t.test('a reader that pauses makes the store wait', async (t) => {
  const { standIn, store } = await open(t, true)
  standIn.place('long', randomBytes(32 * MIB))
  const { body } = await store.get('long')
  await sleep(TIMEOUT)
  t.ok(body.readableLength <= 3 * 64 * 1024, `${body.readableLength} bytes wait in the process`)
  t.equal(standIn.runningRequests, 1, 'and the rest at the store')
  t.equal((await readAll(body)).length, 32 * MIB)
})
