import t from 'tap'
import { ServerBusy } from '../../src/errors.ts'
import { Room } from '../../src/http/room.ts'

const never = new AbortController().signal
const busy = () => new ServerBusy()
const turns = () => new Promise((resolve) => setImmediate(resolve))

t.test('who holds least comes next, and of those the first', async (t) => {
  const room = new Room(3, { patience: 10_000, waiting: 10, busy })
  for (const who of ['a', 'a', 'b']) await room.take(1, who, never)
  t.notOk(room.tryTake(1, 'c'))
  const order: string[] = []
  const waiting = ['a', 'a', 'b', 'c', 'c'].map((who, index) =>
    room.take(1, who, never).then(() => order.push(`${who}${index}`)),
  )
  t.ok(room.isScarce)
  for (const who of ['a', 'a', 'b']) {
    room.give(1, who)
    await turns()
  }
  t.same(order, ['c3', 'a0', 'b2'])
  room.give(2, 'b')
  await Promise.all(waiting)
  t.same(order.slice(3).sort(), ['a1', 'c4'])
  t.notOk(room.isScarce)
})

t.test('a full queue makes place for a sender who waits less often than another', async (t) => {
  const room = new Room(1, { patience: 10_000, waiting: 3, busy })
  await room.take(1, 'x', never)
  const outcomes = new Map<string, string>()
  const wait = (who: string, name: string) =>
    room.take(1, who, never).then(
      () => outcomes.set(name, 'admitted'),
      (error) => outcomes.set(name, error.name),
    )
  const all = ['a1', 'a2', 'a3'].map((name) => wait('a', name))
  all.push(wait('a', 'a4'))
  await turns()
  t.same([...outcomes], [['a4', 'ServerBusy']])
  all.push(wait('b', 'b1'))
  await turns()
  t.equal(outcomes.get('a3'), 'ServerBusy', 'the last one of whoever waits most often')
  all.push(wait('b', 'b2'))
  await turns()
  t.equal(outcomes.get('b2'), 'ServerBusy', 'as many as another are not fewer')
  for (const who of ['x', 'a', 'b']) {
    room.give(1, who)
    await turns()
  }
  await Promise.all(all)
  t.same(
    ['a1', 'a2', 'b1'].map((name) => outcomes.get(name)),
    ['admitted', 'admitted', 'admitted'],
  )
})

t.test('nobody waits longer than the patience, or than they want', async (t) => {
  const room = new Room(1, { patience: 20, waiting: 10, busy })
  await room.take(1, 'a', never)
  await t.rejects(room.take(1, 'b', never), ServerBusy)
  const reason = new Error('gone')
  await t.rejects(room.take(1, 'b', AbortSignal.abort(reason)), reason)
  room.give(1, 'a')
  t.equal(room.free, 1)
})
