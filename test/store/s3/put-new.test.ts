import t from 'tap'
import { ObjectExists, StoreFailure, StoreUnavailable } from '../../../src/errors.ts'
import { inChunks, putBytes } from '../../support/bodies.ts'
import type { Dialect } from '../../support/s3-in-memory.ts'
import { openOnStandIn, startStandIn } from '../../support/stores.ts'

const NEW = { contentType: 'text/plain', metadata: {}, ifNoneMatch: '*' } as const

t.test('whether a store knows If-None-Match is found out once, and nothing of that is left', async (t) => {
  for (const [ifNoneMatch, limits] of [
    [undefined, []],
    ['ignored', ['conditional_put']],
    ['refused', ['conditional_put']],
  ] as [Dialect['ifNoneMatch'], string[]][]) {
    const standIn = await startStandIn(t, { dialect: ifNoneMatch ? { ifNoneMatch } : {} })
    const said: string[] = []
    const store = await openOnStandIn(t, standIn, { onLimit: (limit) => said.push(limit) })
    await Promise.all([store.prepare?.(), store.prepare?.(), store.put('a', inChunks('one'), NEW)])
    t.same([...standIn.objects.keys()], ['a'], `${ifNoneMatch}`)
    t.equal(standIn.calls.filter(({ operation }) => operation === 'DeleteObjects').length, 1, 'one probe')
    t.same(said, limits)
    await t.rejects(store.put('a', inChunks('two'), NEW), ObjectExists)
    t.equal(standIn.objects.get('a')?.body.toString(), 'one')
  }
})

for (const ifNoneMatch of ['ignored', 'refused'] as const) {
  t.test(`of puts at once one is stored, whichever fail before it (${ifNoneMatch})`, async (t) => {
    const standIn = await startStandIn(t, { dialect: { ifNoneMatch } })
    const store = await openOnStandIn(t, standIn)
    await store.prepare?.()
    const at = standIn.calls.length
    standIn.fail({ operation: 'PutObject', key: /^a$/, nth: 1 }, 'access-denied', 2)
    const results = await Promise.allSettled(['1', '2', '3', '4'].map((text) => store.put('a', inChunks(text), NEW)))
    const [first, second, ...others] = results.map((result) =>
      result.status === 'rejected' ? result.reason : 'stored',
    )
    t.type(first, StoreFailure)
    t.equal(second, 'stored')
    for (const other of others) t.type(other, ObjectExists)
    t.equal(standIn.objects.get('a')?.body.toString(), '2')
    t.ok(standIn.calls.length > at)
  })
}

t.test('a store that is away, or full, is asked again', async (t) => {
  const standIn = await startStandIn(t)
  const store = await openOnStandIn(t, standIn)
  standIn.fail({ operation: 'PutObject' }, 'status-500')
  await t.rejects(store.put('a', inChunks('one'), NEW), StoreUnavailable)
  standIn.clearFaults()
  await store.put('a', inChunks('one'), NEW)
  await t.rejects(store.put('a', inChunks('two'), NEW), ObjectExists)
})

t.test('a key that may write nothing is refused, and that says nothing of the store', async (t) => {
  const standIn = await startStandIn(t)
  const limits: string[] = []
  const store = await openOnStandIn(t, standIn, { onLimit: (limit) => limits.push(limit) })
  standIn.fail({ operation: 'PutObject' }, 'access-denied')
  await t.rejects(store.put('a', inChunks('one'), NEW), StoreFailure)
  t.same(limits, [])
})

t.test('a call that the store does not have fails for good', async (t) => {
  const standIn = await startStandIn(t)
  const store = await openOnStandIn(t, standIn)
  standIn.fail({}, { status: 501, code: 'NotImplemented' })
  for (const call of [() => putBytes(store, 'a'), () => store.ready()]) {
    const error = await call().catch((error) => error)
    t.type(error, StoreFailure)
    t.equal(error.retryAfter, undefined)
    t.equal(error.status, 500)
  }
})
