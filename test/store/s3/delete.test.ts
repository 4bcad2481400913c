import t from 'tap'
import { DeleteFailure, StoreUnavailable } from '../../../src/errors.ts'
import { until } from '../../support/bodies.ts'
import { openOnStandIn, startStandIn } from '../../support/stores.ts'

const KEYS = Array.from({ length: 12_300 }, (_, n) => `stories/${n}`)

t.test('calls of 1,000 keys run side by side, at most eight of them', async (t) => {
  const standIn = await startStandIn(t)
  const store = await openOnStandIn(t, standIn)
  for (const key of KEYS) standIn.place(key, 'x')
  let running = 0
  let goOn = () => {}
  const gate = new Promise<void>((resolve) => {
    goOn = resolve
  })
  standIn.onCall = () => {
    running++
    return gate
  }
  const deletion = store.delete(KEYS)
  await until(() => running === 8)
  t.equal(standIn.runningRequests, 8)
  goOn()
  await deletion
  t.equal(standIn.objects.size, 0)
  t.same(standIn.calls.map(({ keys }) => keys.length).sort(), [...Array(12).fill(1000), 300].sort())
})

t.test('keys that can not be deleted are named, of whichever call, and the others are deleted', async (t) => {
  const standIn = await startStandIn(t)
  const store = await openOnStandIn(t, standIn, { prefix: 'images/' })
  for (const key of KEYS) standIn.place(`images/${key}`, 'x')
  standIn.fail({ operation: 'DeleteObjects', key: /99$/ }, 'per-key-error')
  const error = await store.delete(KEYS).catch((error) => error)
  const stuck = KEYS.filter((key) => key.endsWith('99'))
  t.type(error, DeleteFailure)
  t.same([...error.keys].sort(), stuck.toSorted())
  t.match(error.cause, /InternalError/)
  t.same([...standIn.objects.keys()].sort(), stuck.map((key) => `images/${key}`).sort())
})

t.test('a call that fails as a whole ends the deletion, when nothing of it runs any more', async (t) => {
  const standIn = await startStandIn(t)
  const store = await openOnStandIn(t, standIn)
  standIn.fail({ operation: 'DeleteObjects', key: /^stories\/0$/ }, 'status-503')
  standIn.fail({ operation: 'DeleteObjects' }, { delayMs: 50 })
  await t.rejects(store.delete(KEYS), StoreUnavailable)
  t.equal(standIn.runningRequests, 0)
})
