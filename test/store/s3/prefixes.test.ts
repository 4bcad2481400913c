import t, { type Test } from 'tap'
import { openBucket } from '../../../src/store/s3/open-bucket.ts'
import { openPrefixCheck } from '../../../src/store/s3/prefixes.ts'
import { openVersioning } from '../../../src/store/s3/versioning.ts'
import type { Fault } from '../../support/s3-stand-in.ts'
import { openOnStandIn, startStandIn } from '../../support/stores.ts'

process.env.AWS_ACCESS_KEY_ID ??= 'any'
process.env.AWS_SECRET_ACCESS_KEY ??= 'any'

const MINUTE = 60_000

async function openCheck(t: Test, endpoint: string | undefined) {
  const limits: string[] = []
  const bucket = await openBucket({
    bucket: 'images',
    prefix: '',
    endpoint,
    region: 'us-east-1',
    forcePathStyle: endpoint !== undefined,
    timeout: 5000,
    onLimit: (limit) => limits.push(limit),
  })
  t.teardown(() => bucket.close())
  const clock = { now: 0 }
  return {
    isExact: openPrefixCheck(
      bucket,
      openVersioning(bucket, () => clock.now),
    ),
    clock,
    limits,
  }
}

t.test('the versioning of a bucket is asked for once a minute, by however many lists', async (t) => {
  const standIn = await startStandIn(t)
  const { isExact, clock } = await openCheck(t, standIn.endpoint)
  t.same(await Promise.all([isExact(), isExact(), isExact()]), [true, true, true])
  clock.now = MINUTE - 1
  t.equal(await isExact(), true)
  t.equal(standIn.calls.length, 1)
  clock.now = MINUTE
  t.equal(await isExact(), true)
  t.same(
    standIn.calls.map(({ operation }) => operation),
    ['GetBucketVersioning', 'GetBucketVersioning'],
  )
})

t.test('a store that is not AWS and does not tell counts as one with versioning', async (t) => {
  const cases: [Fault, isExact: boolean, calls: number, limits: string[]][] = [
    ['access-denied', false, 1, ['versioning']],
    // It has no versions if it does not have the call
    [{ status: 501, code: 'NotImplemented' }, true, 1, []],
    [{ status: 404, code: 'NoSuchBucket' }, false, 2, []],
    [{ status: 500, code: 'InternalError' }, false, 6, []],
  ]
  for (const [fault, expected, calls, said] of cases) {
    const standIn = await startStandIn(t)
    standIn.fail({ operation: 'GetBucketVersioning' }, fault)
    const { isExact, limits } = await openCheck(t, standIn.endpoint)
    t.same([await isExact(), await isExact()], [expected, expected], JSON.stringify(fault))
    t.equal(standIn.calls.length, calls, 'an error that may pass is not remembered')
    t.same(limits, said)
  }
})

t.test('AWS is not asked, since its prefixes are those of current objects', async (t) => {
  // There is nothing behind this name here: a call would fail
  const { isExact } = await openCheck(t, 'https://s3.us-east-1.amazonaws.com')
  t.equal(await isExact(), true)
})

t.test('a list ends with its signal while the versioning is asked for', async (t) => {
  const standIn = await startStandIn(t)
  const store = await openOnStandIn(t, standIn)
  standIn.fail({ operation: 'GetBucketVersioning' }, 'stall')
  const stop = new AbortController()
  standIn.onCall = () => stop.abort(new Error('the client is gone'))
  await t.rejects(store.listPrefixes({ prefix: '', signal: stop.signal })[Symbol.asyncIterator]().next(), {
    message: 'the client is gone',
  })
})
