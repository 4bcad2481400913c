import t from 'tap'
import { DeleteFailure, StoreFailure, StoreUnavailable } from '../../../src/errors.ts'
import { until } from '../../support/bodies.ts'
import { ALL } from '../../support/extent.ts'
import { openOnStandIn, startStandIn } from '../../support/stores.ts'

/** Calls of 1,000 keys, and one of 300. */
const CALLS = ALL ? 12 : 9
const KEYS = Array.from({ length: CALLS * 1000 + 300 }, (_, n) => `stories/${n}`)

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
  t.same(standIn.calls.map(({ keys }) => keys.length).sort(), [...Array(CALLS).fill(1000), 300].sort())
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

t.test('a store that wants Content-MD5 gets it', async (t) => {
  const standIn = await startStandIn(t, { dialect: { deleteObjects: 'md5' } })
  const store = await openOnStandIn(t, standIn)
  const keys = ['stories/1', "stories/odd & <é> '日本'"]
  for (const key of keys) standIn.place(key, 'x')
  await store.delete(keys)
  t.same([...standIn.objects.keys()], [])
  t.equal(standIn.calls.length, 1)
})

t.test('a store without DeleteObjects gets a call for each key, 16 at once', async (t) => {
  const standIn = await startStandIn(t, { dialect: { deleteObjects: 'missing' } })
  const limits: string[] = []
  const store = await openOnStandIn(t, standIn, { prefix: 'images/', onLimit: (limit) => limits.push(limit) })
  const keys = KEYS.slice(0, ALL ? 2100 : 200)
  for (const key of keys) standIn.place(`images/${key}`, 'x')
  let running = 0
  let most = 0
  standIn.onCall = async ({ operation }) => {
    if (operation !== 'DeleteObject') return
    running += 1
    most = Math.max(most, running)
    if (most < 16) await until(() => most === 16)
    running -= 1
  }
  await store.delete(keys)
  t.same([...standIn.objects.keys()], [])
  t.equal(most, 16)
  t.same(limits, ['delete_many'])
  const count = (name: string) => standIn.calls.filter(({ operation }) => operation === name).length
  const asked = count('DeleteObjects')
  t.ok(asked <= 3, `${asked} calls for many keys`)
  await store.delete(['stories/1', 'never/there'])
  t.equal(count('DeleteObjects'), asked, 'it is remembered')
  t.equal(count('DeleteObject'), keys.length + 2)
})

t.test('of keys deleted one by one those that can not be deleted are named', async (t) => {
  const standIn = await startStandIn(t, { dialect: { deleteObjects: 'missing' } })
  const store = await openOnStandIn(t, standIn)
  for (const key of KEYS.slice(0, 50)) standIn.place(key, 'x')
  standIn.fail({ operation: 'DeleteObject', key: /7$/ }, 'access-denied')
  const error = await store.delete(KEYS.slice(0, 50)).catch((error) => error)
  t.type(error, DeleteFailure)
  const stuck = ['stories/7', 'stories/17', 'stories/27', 'stories/37', 'stories/47']
  t.same([...error.keys].sort(), stuck.toSorted())
  t.same([...standIn.objects.keys()].sort(), stuck.toSorted())
  standIn.fail({ operation: 'DeleteObject' }, 'status-500')
  const away = await store.delete(['stories/1']).catch((error) => error)
  t.type(away, StoreUnavailable)
  t.notOk(away instanceof StoreFailure)
})
