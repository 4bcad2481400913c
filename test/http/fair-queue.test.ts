import t from 'tap'
import { ServerBusy } from '../../src/errors.ts'
import { FairQueue } from '../../src/http/limits/fair-queue.ts'

const never = new AbortController().signal
const refusal = () => new ServerBusy()
const turns = () => new Promise((resolve) => setImmediate(resolve))

t.test('who holds least comes next, and of those the first', async (t) => {
  const queue = new FairQueue(3, { timeoutMs: 10_000, maxQueued: 10, refusal })
  for (const clientId of ['a', 'a', 'b']) await queue.take(1, clientId, never)
  t.notOk(queue.tryTake(1, 'c'))
  const order: string[] = []
  const waiting = ['a', 'a', 'b', 'c', 'c'].map((clientId, index) =>
    queue.take(1, clientId, never).then(() => order.push(`${clientId}${index}`)),
  )
  t.ok(queue.hasWaiters)
  for (const clientId of ['a', 'a', 'b']) {
    queue.give(1, clientId)
    await turns()
  }
  t.same(order, ['c3', 'a0', 'b2'])
  queue.give(2, 'b')
  await Promise.all(waiting)
  t.same(order.slice(3).sort(), ['a1', 'c4'])
  t.notOk(queue.hasWaiters)
})

t.test('a full queue makes place for a client with fewer waiters than another', async (t) => {
  const queue = new FairQueue(1, { timeoutMs: 10_000, maxQueued: 3, refusal })
  await queue.take(1, 'x', never)
  const outcomes = new Map<string, string>()
  const wait = (clientId: string, name: string) =>
    queue.take(1, clientId, never).then(
      () => outcomes.set(name, 'admitted'),
      (error) => outcomes.set(name, error.name),
    )
  const all = ['a1', 'a2', 'a3'].map((name) => wait('a', name))
  all.push(wait('a', 'a4'))
  await turns()
  t.same([...outcomes], [['a4', 'ServerBusy']])
  all.push(wait('b', 'b1'))
  await turns()
  t.equal(outcomes.get('a3'), 'ServerBusy', 'the last one of the client with the most waiters')
  all.push(wait('b', 'b2'))
  await turns()
  t.equal(outcomes.get('b2'), 'ServerBusy', 'as many as another are not fewer')
  for (const clientId of ['x', 'a', 'b']) {
    queue.give(1, clientId)
    await turns()
  }
  await Promise.all(all)
  t.same(
    ['a1', 'a2', 'b1'].map((name) => outcomes.get(name)),
    ['admitted', 'admitted', 'admitted'],
  )
})

t.test('nobody waits longer than the timeout, or than they want', async (t) => {
  const queue = new FairQueue(1, { timeoutMs: 20, maxQueued: 10, refusal })
  await queue.take(1, 'a', never)
  await t.rejects(queue.take(1, 'b', never), ServerBusy)
  const reason = new Error('gone')
  await t.rejects(queue.take(1, 'b', AbortSignal.abort(reason)), reason)
  queue.give(1, 'a')
  t.equal(queue.free, 1)
})
