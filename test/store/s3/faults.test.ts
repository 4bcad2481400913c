import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import {
  DeleteFailure,
  ObjectNotFound,
  type ServiceError,
  StoreFailure,
  StoreFull,
  StoreUnavailable,
} from '../../../src/errors.ts'
import type { ObjectStore } from '../../../src/store/object-store.ts'
import { openS3Store } from '../../../src/store/s3/s3-store.ts'
import { inChunks, listKeys, putBytes, readAll, until } from '../../support/bodies.ts'
import { sample } from '../../support/extent.ts'
import type { Fault, Operation } from '../../support/s3-stand-in.ts'
import { openOnStandIn, startStandIn } from '../../support/stores.ts'

/** Store timeout in milliseconds. A call that stalls waits for it. */
const TIMEOUT = 5000
/** Store timeout for tests in which many calls stall and the number of tries does not matter, in milliseconds. */
const SHORT_TIMEOUT = 1000

// They wait more than they work
t.jobs = 8

const LARGE = randomBytes(11_000_000)

async function open(t: Test, timeout = TIMEOUT) {
  const standIn = await startStandIn(t)
  const store = await openOnStandIn(t, standIn, { timeout })
  standIn.place('a/1', 'one')
  standIn.place('a/2', 'two')
  const count = (operation: Operation) => standIn.calls.filter((call) => call.operation === operation).length
  return { standIn, store, count }
}

const CALLS: readonly (readonly [name: string, Operation, run: (store: ObjectStore) => Promise<unknown>])[] = [
  ['put', 'PutObject', (store) => putBytes(store, 'new')],
  ['get', 'GetObject', (store) => store.get('a/1').then(({ body }) => readAll(body))],
  ['head', 'HeadObject', (store) => store.head('a/1')],
  ['list', 'ListObjectsV2', (store) => listKeys(store)],
  ['delete', 'DeleteObjects', (store) => store.delete(['a/1', 'a/2'])],
  ['ready', 'ListObjectsV2', (store) => store.ready()],
]

/** Calls that are tried on the fast path first, and from there on by the SDK. */
const ON_FAST_PATH: readonly Operation[] = ['PutObject', 'HeadObject', 'GetObject', 'ListObjectsV2']

const EXPECTED: readonly (readonly [Fault, abstract new (...args: never[]) => ServiceError, number])[] = [
  ['reset', StoreUnavailable, 3],
  ['answer-lost', StoreUnavailable, 3],
  ['status-500', StoreUnavailable, 3],
  ['status-503', StoreUnavailable, 3],
  ['stall', StoreUnavailable, 3],
  ['access-denied', StoreFailure, 1],
  ['storage-full', StoreFull, 1],
  [{ status: 404, code: 'NoSuchBucket' }, StoreFailure, 1],
  [{ status: 403, code: 'InvalidAccessKeyId' }, StoreFailure, 1],
  [{ status: 429, code: 'TooManyRequests' }, StoreUnavailable, 3],
  [{ status: 403, code: 'QuotaExceeded' }, StoreFull, 1],
  [{ status: 400, code: 'XMinioAdminBucketQuotaExceeded' }, StoreFull, 1],
  [{ status: 400, code: 'MalformedXML' }, StoreFailure, 1],
]

for (const [fault, type, tries] of sample(EXPECTED, 4)) {
  const name = typeof fault === 'string' ? fault : JSON.stringify(fault)
  t.test(
    `${name} is ${type.name || new (type as new () => ServiceError)().name}, after ${tries} tries of the SDK`,
    async (t) => {
      // A HEAD has no body for an error's code: 404 is all that can be seen
      const calls = CALLS.filter(([, operation]) => operation !== 'HeadObject' || typeof fault === 'string')
      // Each call has a store of its own, so the calls wait concurrently
      await Promise.all(
        calls.map(async ([call, operation, run]) => {
          const { standIn, store, count } = await open(t)
          standIn.fail({ operation }, fault)
          const error: ServiceError | undefined = await run(store).then(
            () => undefined,
            (error) => error,
          )
          t.type(error, type, call)
          t.ok(error?.cause, `${call}: with its cause for the log`)
          const expected = tries + (ON_FAST_PATH.includes(operation) ? 1 : 0)
          t.equal(count(operation), expected, `${call} was tried ${expected} times`)
          standIn.clearFaults()
          await t.resolves(run(store), `${call} works again`)
          await until(() => standIn.runningRequests === 0)
        }),
      )
    },
  )
}

for (const fault of sample(
  ['reset', 'reset-mid-request-body', 'answer-lost', 'status-500', 'status-503', 'stall'] as const,
  2,
)) {
  t.test(`what fails once with ${fault} is tried again, and nobody notices`, async (t) => {
    await Promise.all(
      CALLS.map(async ([call, operation, run]) => {
        const { standIn, store, count } = await open(t)
        standIn.fail({ operation }, fault, 1)
        await t.resolves(run(store), call)
        t.equal(count(operation), 2, `${call} was tried twice`)
      }),
    )
  })
}

t.test('an answer that breaks off in the middle is tried again or an error, never taken for a whole one', async (t) => {
  const { standIn, store } = await open(t, SHORT_TIMEOUT)
  for (const fault of ['reset-mid-response-body', 'stall-mid-body'] as const) {
    standIn.fail({}, fault)
    await t.rejects(listKeys(store), StoreUnavailable, `list: ${fault}`)
    await t.rejects(store.ready(), StoreUnavailable, `ready: ${fault}`)
    await t.rejects(store.delete(['a/9']), StoreUnavailable, `delete: ${fault}`)
    standIn.clearFaults()
    standIn.fail({ operation: 'ListObjectsV2' }, fault, 1)
    const keys = await listKeys(store).catch((error) => error)
    if (Array.isArray(keys)) t.same(keys, ['a/1', 'a/2'])
    else t.type(keys, StoreUnavailable)
    standIn.clearFaults()
  }
})

t.test('an error in an answer of status 200 is no success', async (t) => {
  const { standIn, store } = await open(t)
  standIn.fail({}, 'error-in-200')
  await t.rejects(listKeys(store), StoreUnavailable, 'list')
  await t.rejects(store.ready(), StoreUnavailable, 'ready')
  await t.rejects(store.delete(['a/1']), StoreUnavailable, 'delete')
  await t.rejects(putBytes(store, 'large', LARGE), 'large put')
  t.notOk(standIn.objects.has('large'))
})

t.test('keys that can not be deleted are named, and the others are deleted', async (t) => {
  const { standIn, store } = await open(t)
  const keys = Array.from({ length: 1500 }, (_, i) => `many/${i}`)
  for (const key of keys) standIn.place(key, 'x')
  standIn.fail({ operation: 'DeleteObjects', key: /many\/(7|1200)$/ }, 'per-key-error')
  const error = await store.delete(keys).catch((error) => error)
  t.type(error, DeleteFailure)
  t.same(error.keys, ['many/7', 'many/1200'])
  t.match(error.cause.message, /InternalError/)
  t.same(await listKeys(store, { prefix: 'many/' }), ['many/1200', 'many/7'])

  const below = await openOnStandIn(t, standIn, { prefix: 'many/' })
  const again = await below.delete(['7']).catch((error) => error)
  t.same(again.keys, ['7'], 'without the prefix')
})

t.test('a server that refuses connections is StoreUnavailable, and is used again when it is back', async (t) => {
  const { standIn, store } = await open(t)
  await store.ready()
  await standIn.stop()
  for (const [call, , run] of CALLS) await t.rejects(run(store), StoreUnavailable, call)
  await standIn.start()
  for (const [call, , run] of CALLS) await t.resolves(run(store), call)
})

t.test('a server without the bucket is StoreFailure', async (t) => {
  const standIn = await startStandIn(t)
  const store = await openOnStandIn(t, standIn, { bucket: 'another' })
  await t.rejects(store.ready(), StoreFailure)
  await t.rejects(putBytes(store, 'o'), StoreFailure)
  await t.rejects(listKeys(store), StoreFailure)
  await t.rejects(store.delete(['o']), StoreFailure)
  await t.rejects(store.get('o'), StoreFailure)
})

t.test('without a region the store does not open', async (t) => {
  const names = ['AWS_REGION', 'AWS_DEFAULT_REGION', 'AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE']
  const before = names.map((name) => process.env[name])
  t.teardown(() => {
    names.forEach((name, i) => {
      if (before[i] === undefined) delete process.env[name]
      else process.env[name] = before[i]
    })
  })
  delete process.env.AWS_REGION
  delete process.env.AWS_DEFAULT_REGION
  process.env.AWS_CONFIG_FILE = process.env.AWS_SHARED_CREDENTIALS_FILE = '/dev/null'
  const settings = { bucket: 'b', prefix: '', endpoint: undefined, forcePathStyle: false, timeout: TIMEOUT }
  const error = await openS3Store({ ...settings, region: undefined }).catch((error) => error)
  t.type(error, StoreFailure)
  t.match(error.cause.message, /region/i)
})

t.test('faults leave no connection behind that is not used again', async (t) => {
  const { standIn, store } = await open(t, SHORT_TIMEOUT)
  for (const fault of ['reset', 'status-500', 'reset-mid-response-body', 'stall', 'stall-mid-body'] as const) {
    standIn.fail({}, fault)
    for (const [call, , run] of CALLS) if (['put', 'get', 'list'].includes(call)) await run(store).catch(() => {})
    standIn.clearFaults()
  }
  await t.resolves(store.ready())
  await until(() => standIn.runningRequests === 0)
  // Idle ones are kept
  await until(() => standIn.openConnections <= 2)
  await store.close()
  await until(() => standIn.openConnections === 0)
})

t.test('a missing object is no fault', async (t) => {
  const { count, store } = await open(t)
  await t.rejects(store.get('missing'), ObjectNotFound)
  await t.rejects(store.head('missing'), ObjectNotFound)
  t.equal(count('GetObject'), 1, 'and not tried again')
})

t.test('a body is read once, however often the put is tried', async (t) => {
  const { standIn, store, count } = await open(t)
  standIn.fail({ operation: 'PutObject' }, 'reset', 2)
  let reads = 0
  async function* body() {
    reads += 1
    yield* inChunks(randomBytes(100_000))
  }
  await store.put('o', body(), { contentType: 'image/png', metadata: {} })
  t.equal(reads, 1)
  t.equal(count('PutObject'), 3)
  t.equal(standIn.objects.get('o')?.body.length, 100_000)
})

t.test('each call that the SDK makes again is told, with the reason', async (t) => {
  const standIn = await startStandIn(t)
  const told: [string, unknown][] = []
  const store = await openOnStandIn(t, standIn, { timeout: 5000, onFallback: (...call) => told.push(call) })
  await putBytes(store, 'o')
  await readAll((await store.get('o')).body)
  await store.head('o')
  t.same(await listKeys(store), ['o'])
  await t.rejects(store.head('missing'), ObjectNotFound)
  t.same(told, [], 'none for what the fast path can answer')
  for (const operation of ON_FAST_PATH) standIn.fail({ operation }, 'reset', 1)
  await putBytes(store, 'o')
  await readAll((await store.get('o')).body)
  await store.head('o')
  t.same(await listKeys(store), ['o'])
  t.same(
    told.map(([operation]) => operation),
    ['PutObject', 'GetObject', 'HeadObject', 'ListObjectsV2'],
  )
  t.ok(told.every(([, reason]) => reason instanceof Error))
})

t.test('a put that is answered 404 is a failure of the store, not an object that is missing', async (t) => {
  const { standIn, store } = await open(t)
  standIn.fail({ operation: 'PutObject' }, { status: 404, code: 'NotFound' })
  await t.rejects(putBytes(store, 'o'), StoreFailure)
})
