import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { UploadsBusy } from '../../src/errors.ts'
import { SMALL_BYTES, UploadBudget } from '../../src/http/limits/upload-budget.ts'
import { MIB } from '../support/bodies.ts'
import { PATIENCE } from '../support/patience.ts'

const never = new AbortController().signal
const LARGE = 1_000_000_000

const PUT_MEMORY = { minBytes: 16 * MIB, maxBytes: 21 * MIB }
/** With what the rest of an upload takes. */
const [MAX_BYTES, MIN_BYTES] = [23.5 * MIB, 18.5 * MIB]
/** Memory for two large uploads that read ahead and one that does not, and for a quarter of all in small ones. */
const MEMORY = 2 * MAX_BYTES + MIN_BYTES
const makeBudget = (timeoutMs = PATIENCE) => new UploadBudget(Math.ceil((MEMORY * 4) / 3), PUT_MEMORY, timeoutMs, 1000)
const QUARTER = Math.floor(Math.ceil((MEMORY * 4) / 3) / 4)

/** Whether the promise is settled once all that can go on went on. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  promise.then(
    () => (settled = true),
    () => (settled = true),
  )
  await sleep(1)
  return settled
}

/** A budget whose large pool is taken, by as many as there are reservations. */
async function full(timeoutMs?: number) {
  const budget = makeBudget(timeoutMs)
  const taken = [await budget.reserve(LARGE, never)]
  for (;;) {
    const next = budget.reserve(LARGE, AbortSignal.timeout(2)).catch(() => undefined)
    const reservation = await next
    if (!reservation) return { budget, taken }
    taken.push(reservation)
  }
}

t.test(
  'a large upload reads ahead while half of the memory is free, then not; so does one of unknown length',
  async (t) => {
    const { taken } = await full()
    t.same(
      taken.map((reservation) => reservation.readAhead),
      [true, false, false],
    )
    const budget = makeBudget()
    t.ok((await budget.reserve(undefined, never)).readAhead)
    t.notOk((await budget.reserve(undefined, never)).readAhead)
  },
)

t.test('small uploads have memory of their own', async (t) => {
  const { budget, taken } = await full()
  const waiting = budget.reserve(SMALL_BYTES + 1, never)
  t.notOk(await isSettled(waiting))
  const small = []
  const size = 100_000
  const taken16 = 160 * 1024 + 16 * size
  for (let free = QUARTER; free >= taken16; free -= taken16) small.push(await budget.reserve(size, never))
  t.ok(small.every((reservation) => reservation.readAhead))
  const another = budget.reserve(size, never)
  t.notOk(await isSettled(another), 'the quarter is taken')
  taken[0]?.release()
  t.notOk(await isSettled(another), 'what a large one gives back is not for it')
  await waiting
  small[0]?.release()
  await another
  await t.resolves(budget.reserve(0, never))
})

t.test('who does not fit waits in order, also behind one that is larger', async (t) => {
  const { budget, taken } = await full()
  const order: string[] = []
  const note = (name: string) => () => order.push(name)
  const large = budget.reserve(LARGE, never).then(note('large'))
  const less = budget.reserve(SMALL_BYTES + 1, never).then(note('less'))
  await sleep(1)
  t.same(order, [], 'nobody has given anything back')
  for (const reservation of taken) reservation.release()
  await Promise.all([large, less])
  t.same(order, ['large', 'less'])
})

t.test('the queues of small and of large uploads are bounded; the next one is refused at once', async (t) => {
  const budget = new UploadBudget(48 * 1024 * 1024, PUT_MEMORY, 10_000, 1)
  const controller = new AbortController()
  const lengths = { large: LARGE, small: SMALL_BYTES }
  for (const [what, length] of Object.entries(lengths)) {
    const results = Array.from({ length: 20 }, () =>
      budget.reserve(length, controller.signal).then(
        () => 'in',
        (error) => error,
      ),
    )
    const start = performance.now()
    const first = await Promise.race(results.slice(10))
    t.type(first, UploadsBusy, what)
    t.ok(performance.now() - start < 5000, 'at once')
  }
  controller.abort()
})

t.test('when memory is scarce an upload whose body has not begun takes none, and keeps nobody waiting', async (t) => {
  const budget = makeBudget()
  const asked: string[] = []
  const dripping = async (name: string) => {
    asked.push(name)
    await new Promise(() => {})
  }
  await budget.reserve(LARGE, never, { bodyStarted: () => dripping('first') })
  t.same(asked, [], 'there is plenty')
  for (const name of ['second', 'third', 'fourth'])
    void budget.reserve(LARGE, never, { bodyStarted: () => dripping(name) })
  t.same(asked, ['second', 'third', 'fourth'])
  t.ok(await budget.reserve(LARGE, never, { bodyStarted: async () => {} }), 'the next one gets memory')
})

t.test('memory that is released twice counts once', async (t) => {
  const { budget, taken } = await full()
  const waiting = [budget.reserve(LARGE, never), budget.reserve(LARGE, never)] as const
  taken[1]?.release()
  taken[1]?.release()
  await waiting[0]
  t.notOk(await isSettled(waiting[1]))
  taken[0]?.release()
  await waiting[1]
})

t.test('whoever waits for too long is refused, and the next one gets its turn', async (t) => {
  const { budget, taken } = await full(30)
  const start = performance.now()
  await t.rejects(budget.reserve(LARGE, never), UploadsBusy)
  t.ok(performance.now() - start >= 29)
  const refused = budget.reserve(LARGE, never)
  refused.catch(() => {})
  await sleep(15)
  const next = budget.reserve(LARGE, never)
  await t.rejects(refused, UploadsBusy)
  taken[1]?.release()
  t.ok(await isSettled(next), 'it fits, now that nobody is before it')
})

t.test('a signal ends the wait with its reason, and the next one gets its turn', async (t) => {
  const { budget, taken } = await full()
  const controller = new AbortController()
  const reason = new Error('the client is gone')
  const gone = budget.reserve(LARGE, controller.signal).catch((error) => error)
  const next = budget.reserve(LARGE, never)
  t.notOk(await isSettled(next))
  controller.abort(reason)
  t.equal(await gone, reason)
  t.notOk(await isSettled(next))
  taken[1]?.release()
  await next
  t.equal(await budget.reserve(1, controller.signal).catch((error) => error), reason, 'before the wait too')
})

t.test('whoever was admitted is not refused later, and nothing keeps listening', async (t) => {
  const { budget, taken } = await full(20)
  const controller = new AbortController()
  const waiting = budget.reserve(LARGE, controller.signal)
  taken[1]?.release()
  const reservation = await waiting
  await sleep(30)
  controller.abort()
  reservation.release()
  await t.resolves(budget.reserve(LARGE, never), 'and it releases its memory')
})

t.test('a thousand uploads at once all get their turn, and never more than the memory holds', async (t) => {
  const budget = makeBudget()
  const { signal } = new AbortController()
  // Each upload has a signal of its own in the server
  setMaxListeners(0, signal)
  let taken = 0
  let most = 0
  await Promise.all(
    Array.from({ length: 1000 }, async (_, i) => {
      const length = SMALL_BYTES + 1 + i * 10_000
      const reservation = await budget.reserve(length, signal)
      const held = Math.min(length, reservation.readAhead ? MAX_BYTES : MIN_BYTES)
      taken += held
      most = Math.max(most, taken)
      await null
      taken -= held
      reservation.release()
    }),
  )
  t.equal(taken, 0)
  t.ok(most <= MEMORY && most > MEMORY / 2, `${most} of ${MEMORY}`)
})
