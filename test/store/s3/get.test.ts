import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { MIB, readAll, until } from '../../support/bodies.ts'
import { openOnStandIn, startStandIn } from '../../support/stores.ts'

const TIMEOUT = 300
const BYTES = randomBytes(4 * MIB)

async function open(t: Test) {
  const standIn = await startStandIn(t)
  const store = await openOnStandIn(t, standIn, { timeout: TIMEOUT })
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

t.test('a body that stalls ends with an error for a piping reader', async (t) => {
  const { standIn, store } = await open(t)
  standIn.fail({ operation: 'GetObject' }, 'stall-mid-body')
  const { body } = await store.get('o')
  const start = Date.now()
  const sink = new Writable({ write: (_chunk, _encoding, done) => done() })
  await t.rejects(pipeline(body, sink), /stopped sending/)
  t.ok(Date.now() - start < TIMEOUT * 3, 'in time')
  await until(() => standIn.runningRequests === 0)
})

t.test('a body that stalls ends with an error for an iterating reader', async (t) => {
  const { standIn, store } = await open(t)
  standIn.fail({ operation: 'GetObject' }, 'stall-mid-body')
  const { body } = await store.get('o')
  const late = sleep(TIMEOUT * 6).then(() => {
    throw new Error('the stall was not noticed')
  })
  await t.rejects(Promise.race([readAll(body), late]), /stopped sending/)
  body.destroy()
  await until(() => standIn.runningRequests === 0)
})

t.test('a connection that breaks in the middle of a body is an error for its reader', async (t) => {
  const { standIn, store } = await open(t)
  standIn.fail({ operation: 'GetObject' }, 'reset-mid-response-body')
  const { body } = await store.get('o')
  await t.rejects(readAll(body))
})

t.test('a reader who pauses for longer than the timeout gets every byte', async (t) => {
  const { store } = await open(t)
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

t.test('a reader who begins later than the timeout gets every byte', async (t) => {
  const { store } = await open(t)
  const bodies = await Promise.all(['o', 'small', 'empty'].map((key) => store.get(key)))
  await sleep(TIMEOUT * 3)
  t.same(await Promise.all(bodies.map(async ({ body }) => (await readAll(body)).length)), [BYTES.length, 5, 0])
})

t.test('a body that is dropped takes its connection with it, one that was read gives it back', async (t) => {
  const { standIn, store } = await open(t)
  for (let i = 0; i < 5; i++) await readAll((await store.get('o')).body)
  t.equal(standIn.openConnections, 1)
  const { body } = await store.get('o')
  await once(body, 'readable')
  body.destroy()
  await until(() => standIn.openConnections === 0)
  t.equal((await readAll((await store.get('small')).body)).toString(), 'small')
})

t.test('a signal ends a get that is not answered', async (t) => {
  const { standIn, store } = await open(t)
  standIn.fail({}, 'stall')
  for (const call of ['get', 'head'] as const) {
    const controller = new AbortController()
    const running = store[call]('o', { signal: controller.signal })
    running.catch(() => {})
    await until(() => standIn.runningRequests === 1)
    const start = Date.now()
    controller.abort()
    await t.rejects(running)
    t.ok(Date.now() - start < TIMEOUT / 2, `${call} ended at once`)
    await until(() => standIn.runningRequests === 0)
  }
})
