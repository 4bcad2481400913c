import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { UploadsBusy } from '../../src/errors.ts'
import { UploadBudget } from '../../src/http/upload-budget.ts'

const never = new AbortController().signal

/** 25 for small uploads, of at most 10, and 75 for large ones, of at most 30 each. */
const makeBudget = (patience = 1000) => new UploadBudget(100, 30, 10, patience)

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

t.test('an upload gets its length, at most a window; one that does not say its length gets a window', async (t) => {
  const budget = makeBudget()
  await budget.reserve(1_000_000, never)
  await budget.reserve(undefined, never)
  await budget.reserve(15, never)
  t.notOk(await isSettled(budget.reserve(11, never)), '30 + 30 + 15 of 75 are taken')
})

t.test('small uploads have room of their own', async (t) => {
  const budget = makeBudget()
  const large = [await budget.reserve(30, never), await budget.reserve(30, never)]
  const waiting = budget.reserve(30, never)
  t.notOk(await isSettled(waiting))
  const small = [await budget.reserve(10, never), await budget.reserve(10, never), await budget.reserve(0, never)]
  const another = budget.reserve(10, never)
  t.notOk(await isSettled(another), '20 of 25 are taken')
  large[0]?.()
  t.notOk(await isSettled(another), 'what a large one gives back is not for it')
  await waiting
  small[0]?.()
  await another
})

t.test('who does not fit waits in order, also behind one that is larger', async (t) => {
  const budget = makeBudget()
  const first = await budget.reserve(30, never)
  const second = await budget.reserve(30, never)
  const order: string[] = []
  const large = budget.reserve(30, never).then((release) => {
    order.push('large')
    return release
  })
  const less = budget.reserve(12, never).then((release) => {
    order.push('less')
    return release
  })
  await sleep(1)
  t.same(order, [], 'the later one would fit, but it is not its turn')
  first()
  await Promise.all([large, less])
  t.same(order, ['large', 'less'])
  second()
})

t.test('room that is given back twice counts once', async (t) => {
  const budget = makeBudget()
  const [first] = [await budget.reserve(30, never), await budget.reserve(30, never)]
  const waiting = [budget.reserve(30, never), budget.reserve(30, never)] as const
  first()
  first()
  await waiting[0]
  t.notOk(await isSettled(waiting[1]))
})

t.test('whoever waits for too long is refused, and the next one gets its turn', async (t) => {
  const budget = makeBudget(30)
  const first = await budget.reserve(30, never)
  await budget.reserve(30, never)
  const start = performance.now()
  await t.rejects(budget.reserve(30, never), UploadsBusy)
  t.ok(performance.now() - start >= 29)
  const refused = budget.reserve(30, never)
  refused.catch(() => {})
  await sleep(15)
  const next = budget.reserve(12, never)
  await t.rejects(refused, UploadsBusy)
  t.ok(await isSettled(next), 'it fits, now that nobody is before it')
  first()
})

t.test('a signal ends the wait with its reason, and the next one gets its turn', async (t) => {
  const budget = makeBudget()
  await budget.reserve(30, never)
  await budget.reserve(30, never)
  const controller = new AbortController()
  const reason = new Error('the client is gone')
  const gone = budget.reserve(30, controller.signal).catch((error) => error)
  const next = budget.reserve(12, never)
  t.notOk(await isSettled(next))
  controller.abort(reason)
  t.equal(await gone, reason)
  await next
  t.equal(await budget.reserve(1, controller.signal).catch((error) => error), reason, 'before the wait too')
})

t.test('whoever was admitted is not refused later, and nothing keeps listening', async (t) => {
  const budget = makeBudget(20)
  const first = await budget.reserve(30, never)
  await budget.reserve(30, never)
  const controller = new AbortController()
  const waiting = budget.reserve(30, controller.signal)
  first()
  const release = await waiting
  await sleep(30)
  controller.abort()
  release()
  await t.resolves(budget.reserve(30, never), 'and it gives its room back')
})

t.test('a thousand uploads at once all get their turn, and never more than there is room for', async (t) => {
  const budget = makeBudget()
  let taken = 0
  let most = 0
  await Promise.all(
    Array.from({ length: 1000 }, async (_, i) => {
      const size = 11 + (i % 30)
      const release = await budget.reserve(size, never)
      taken += Math.min(size, 30)
      most = Math.max(most, taken)
      await null
      taken -= Math.min(size, 30)
      release()
    }),
  )
  t.equal(taken, 0)
  t.ok(most <= 75 && most > 45, `${most} of 75`)
})
