import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { StoreFailure, StoreFull, StoreUnavailable } from '../../../src/errors.ts'
import type { ObjectStore } from '../../../src/store/object-store.ts'
import { failing, inChunks, MIB, readAll, until } from '../../support/bodies.ts'
import { ALL, sample } from '../../support/extent.ts'
import { openOnStandIn, startStandIn } from '../../support/stores.ts'

/** Three parts, or two. */
const BYTES = randomBytes(ALL ? 12 * MIB : 5 * MIB + 1000)
const IMAGE = { contentType: 'image/png', metadata: { width: '1' } }

/** Long beside what a call takes on a busy machine, and short enough to wait for one that stalls. */
const TIMEOUT = 3000

// They wait more than they work
t.jobs = 4

async function open(t: Test) {
  const standIn = await startStandIn(t)
  return { standIn, store: await openOnStandIn(t, standIn, { timeout: TIMEOUT }) }
}

/** A store on a server that answers only as this test needs it. */
async function openOn(t: Test, answer: RequestListener): Promise<ObjectStore> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return openOnStandIn(t, { ...(await startStandIn(t)), endpoint })
}

const putLarge = (store: ObjectStore) => store.put('large', inChunks(BYTES), IMAGE)

t.test('at most a part goes in one call, more in a multipart upload', async (t) => {
  const { standIn, store } = await open(t)
  await store.put('part', inChunks(BYTES.subarray(0, 5 * MIB)), IMAGE)
  t.same(
    standIn.calls.map((call) => call.operation),
    ['PutObject'],
  )
  await store.put('more', inChunks(BYTES.subarray(0, 5 * MIB + 1)), IMAGE)
  t.same(
    standIn.calls.slice(1).map((call) => call.operation),
    ['CreateMultipartUpload', 'UploadPart', 'UploadPart', 'CompleteMultipartUpload'],
  )
  t.same(standIn.objects.get('more')?.metadata, IMAGE.metadata)
})

for (const operation of ['CreateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload'] as const) {
  t.test(`a ${operation} that fails once is tried again`, async (t) => {
    const { standIn, store } = await open(t)
    for (const fault of sample(['reset', 'status-500', 'status-503', 'stall', 'reset-mid-request-body'] as const, 2)) {
      standIn.fail({ operation }, fault, 1)
      await putLarge(store)
      t.ok(standIn.objects.get('large')?.body.equals(BYTES), fault)
      standIn.objects.clear()
      standIn.clearFaults()
      t.equal(standIn.multipartUploads.size, 0)
    }
  })

  for (const [fault, type] of sample(
    [
      ['status-500', StoreUnavailable],
      ['stall', StoreUnavailable],
      ['access-denied', StoreFailure],
      ['storage-full', StoreFull],
    ] as const,
    2,
  )) {
    t.test(`a ${operation} that always fails with ${fault} aborts the upload`, async (t) => {
      const { standIn, store } = await open(t)
      standIn.fail({ operation }, fault)
      const error = await putLarge(store).catch((error) => error)
      t.type(error, type)
      t.equal(standIn.objects.size, 0)
      t.equal(standIn.multipartUploads.size, 0)
    })
  }
}

t.test('the second part that fails ends the upload, and its body with it', async (t) => {
  const { standIn, store } = await open(t)
  // On the fast path, then by the SDK; the part that is on its way beside it may come in between
  standIn.fail({ operation: 'UploadPart', nth: 2 }, 'access-denied', 4)
  let ended = false
  async function* body() {
    try {
      for (let i = 0; i < 10; i++) yield* inChunks(BYTES)
    } finally {
      ended = true
    }
  }
  await t.rejects(store.put('large', body(), IMAGE), StoreFailure)
  t.equal(standIn.multipartUploads.size, 0)
  const sent = standIn.calls.filter(({ operation }) => operation === 'UploadPart')
  t.ok(sent.length <= 5, 'three parts, two of them twice, and no further one')
  await until(() => ended)
})

t.test('a body that fails aborts the upload, also when the abort fails', async (t) => {
  const { standIn, store } = await open(t)
  const broken = new Error('the sender went away')
  t.equal(await store.put('large', failing(BYTES, broken), IMAGE).catch((error) => error), broken)
  t.equal(standIn.multipartUploads.size, 0)
  standIn.fail({ operation: 'AbortMultipartUpload' }, 'access-denied')
  t.equal(await store.put('large', failing(BYTES, broken), IMAGE).catch((error) => error), broken)
  t.equal(standIn.objects.size, 0)
})

t.test('a part that fails is the error, not the abort that failed after it', async (t) => {
  const { standIn, store } = await open(t)
  standIn.fail({ operation: 'UploadPart' }, 'storage-full')
  standIn.fail({ operation: 'AbortMultipartUpload' }, 'access-denied')
  await t.rejects(putLarge(store), StoreFull)
})

t.test('a completion whose answer was lost is a success', async (t) => {
  const { standIn, store } = await open(t)
  for (const fault of ['answer-lost', 'reset-mid-response-body'] as const) {
    standIn.fail({ operation: 'CompleteMultipartUpload' }, fault, 1)
    await t.resolves(putLarge(store), fault)
    t.ok(standIn.objects.get('large')?.body.equals(BYTES))
    standIn.objects.clear()
    standIn.clearFaults()
  }
})

t.test('an answer that stalls in the middle is StoreUnavailable in time', async (t) => {
  const { standIn, store } = await open(t)
  for (const operation of ['CreateMultipartUpload', 'CompleteMultipartUpload'] as const) {
    standIn.fail({ operation }, 'stall-mid-body')
    await t.rejects(putLarge(store), StoreUnavailable, operation)
    standIn.clearFaults()
  }
})

t.test('a completion whose every answer was lost is no failure for sure, and StoreUnavailable at most', async (t) => {
  const { standIn, store } = await open(t)
  standIn.fail({ operation: 'CompleteMultipartUpload' }, 'answer-lost')
  const error = await putLarge(store).catch((error) => error)
  if (error !== undefined) t.type(error, StoreUnavailable)
  t.ok(standIn.objects.has('large'), 'the object is there')
})

t.test('an upload that somebody else aborted is a failure of the store, not a missing object', async (t) => {
  const { standIn, store } = await open(t)
  standIn.fail({ operation: 'CompleteMultipartUpload' }, { status: 404, code: 'NoSuchUpload' })
  const error = await putLarge(store).catch((error) => error)
  t.type(error, StoreFailure)
  t.notOk(standIn.objects.has('large'))
})

t.test('a completion that says 200 and then an error is tried again', async (t) => {
  const { standIn, store } = await open(t)
  standIn.fail({ operation: 'CompleteMultipartUpload' }, 'error-in-200', 1)
  await t.resolves(putLarge(store))
  t.ok(standIn.objects.get('large')?.body.equals(BYTES))
})

t.test('a completion that can not be looked up fails for that reason, and not for that of the abortion', async (t) => {
  const { standIn, store } = await open(t)
  standIn.fail({ operation: 'CompleteMultipartUpload' }, 'answer-lost', 1)
  standIn.fail({ operation: 'HeadObject' }, 'status-503')
  await t.rejects(putLarge(store), StoreUnavailable)
})

/** The error of a put whose body has a first part and then falls silent. */
async function failureOf(store: ObjectStore): Promise<unknown> {
  let goOn = () => {}
  async function* body() {
    yield* inChunks(BYTES.subarray(0, 5 * MIB + 1000))
    await new Promise<void>((resolve) => {
      goOn = resolve
    })
  }
  let failure: unknown
  const put = store.put('large', body(), IMAGE).catch((error) => {
    failure = error
  })
  await until(() => failure !== undefined)
  const found = failure
  goOn()
  await put
  return found
}

t.test('a part that fails ends the put at once, also while its body is silent', async (t) => {
  const { standIn, store } = await open(t)
  standIn.fail({ operation: 'UploadPart' }, 'access-denied')
  t.type(await failureOf(store), StoreFailure, 'before the next byte comes')
  t.equal(standIn.multipartUploads.size, 0)
})

t.test('so does a part whose response has no entity tag', async (t) => {
  const aborted: string[] = []
  const store = await openOn(t, async (request, response) => {
    await readAll(request)
    if (request.method === 'DELETE') aborted.push(request.url ?? '')
    const root = 'InitiateMultipartUploadResult'
    response.end(request.method === 'POST' ? `<${root}><UploadId>u</UploadId></${root}>` : '')
  })
  t.type(await failureOf(store), StoreFailure)
  t.match(aborted, [/uploadId=u/])
})

// Alone, since it changes the environment
t.test(
  'an upload names the algorithm of the checksums that its parts have, as AWS demands',
  { buffered: false },
  async (t) => {
    // What the stand-in does not check: which checksums are promised, sent and named in the end
    const seen = { promised: [] as unknown[], sent: [] as unknown[], named: [] as unknown[] }
    t.teardown(() => delete process.env.AWS_REQUEST_CHECKSUM_CALCULATION)
    process.env.AWS_REQUEST_CHECKSUM_CALCULATION = 'WHEN_SUPPORTED'
    const store = await openOn(t, async (request, response) => {
      const body = (await readAll(request)).toString('latin1')
      response.setHeader('etag', '"x"')
      const crc = request.headers['x-amz-checksum-crc32']
      if (crc) response.setHeader('x-amz-checksum-crc32', crc)
      if (request.url?.includes('uploads')) seen.promised.push(request.headers['x-amz-checksum-algorithm'])
      else if (request.method === 'PUT') seen.sent.push(crc)
      else seen.named.push(...[...body.matchAll(/<ChecksumCRC32>(.*?)</g)].map(([, sum]) => sum))
      const root = request.url?.includes('uploads') ? 'InitiateMultipartUploadResult' : 'CompleteMultipartUploadResult'
      response.end(request.method === 'POST' ? `<${root}><UploadId>u</UploadId></${root}>` : '')
    })
    await store.put('large', inChunks(BYTES.subarray(0, 5 * MIB + 1000)), IMAGE)
    t.match(seen.sent, [/^.{8}$/, /^.{8}$/])
    t.same(seen.promised, ['CRC32'])
    t.same(new Set(seen.named), new Set(seen.sent))
  },
)
