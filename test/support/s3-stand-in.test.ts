import { randomBytes, randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  type GetObjectCommandInput,
  type GetObjectCommandOutput,
  HeadObjectCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandInput,
  PutObjectCommand,
  type PutObjectCommandInput,
  S3Client,
  type S3ClientConfig,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import t, { type Test } from 'tap'
import { until } from './bodies.ts'
import { PATIENCE } from './patience.ts'
import { type Fault, type S3StandIn, startS3StandIn } from './s3-stand-in.ts'

const MIB = 1024 * 1024
/**
 * No key is another one's folder, `a` beside `a/1`: MinIO cannot store both. In UTF-8 order U+FFFD comes before U+1F600, in
 * JavaScript's order after it.
 */
const KEYS = [
  'A',
  'a b',
  'a&<b>"\'',
  'a+b',
  'a/1',
  'a/10',
  'a/2',
  'a/b/c',
  'a0',
  'z%41',
  'é',
  '日本',
  '\ufffd',
  '\u{1f600}',
]

// The same promises against an engine in production use show that the stand-in is like one. Its credentials come from
// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
const realEndpoint = process.env.S3_TEST_ENDPOINT
if (realEndpoint !== undefined) {
  t.test(`the engine at ${realEndpoint}`, async (t) => {
    const s3 = new S3Client({
      endpoint: realEndpoint,
      region: process.env.AWS_REGION ?? 'us-east-1',
      forcePathStyle: true,
    })
    const bucket = `stand-in-${randomUUID()}`
    await s3.send(new CreateBucketCommand({ Bucket: bucket }))
    t.teardown(async () => {
      await s3.send(new DeleteBucketCommand({ Bucket: bucket }))
      s3.destroy()
    })
    await promises(t, s3, bucket)
  })
}

t.test('the stand-in', async (t) => {
  const { standIn, s3 } = await startWithClient(t, {}, { pageSize: 1000 })
  await promises(t, s3, standIn.bucket)
  t.equal(standIn.multipartUploads.size, 0)
})

/** What the stand-in and every real engine do alike. Leaves the bucket empty. */
async function promises(t: Test, s3: S3Client, Bucket: string): Promise<void> {
  const put = (Key: string, Body: PutObjectCommandInput['Body'] = 'x', more: Partial<PutObjectCommandInput> = {}) =>
    s3.send(new PutObjectCommand({ Bucket, Key, Body, ...more }))
  const get = (Key: string, more: Partial<GetObjectCommandInput> = {}) =>
    s3.send(new GetObjectCommand({ Bucket, Key, ...more }))
  const list = (more: Partial<ListObjectsV2CommandInput> = {}) => s3.send(new ListObjectsV2Command({ Bucket, ...more }))
  const listAll = async (more: Partial<ListObjectsV2CommandInput>) => {
    const found: (string | undefined)[] = []
    let ContinuationToken: string | undefined
    do {
      const page = await list({ ...more, ...(ContinuationToken && { ContinuationToken }) })
      const entries = [
        ...(page.Contents ?? []).map(({ Key }) => Key),
        ...(page.CommonPrefixes ?? []).map((p) => p.Prefix),
      ]
      t.equal(page.KeyCount, entries.length)
      found.push(...entries)
      ContinuationToken = page.IsTruncated ? page.NextContinuationToken : undefined
    } while (ContinuationToken !== undefined)
    return found
  }
  const remove = (keys: string[], Quiet = false) =>
    s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Quiet, Objects: keys.map((Key) => ({ Key })) } }))

  await t.test('an object comes back with its bytes, type and metadata', async (t) => {
    const body = randomBytes(3 * MIB)
    const { ETag } = await put('o', body, { ContentType: 'image/png', Metadata: { Width: '640' } })
    const found = await get('o')
    t.ok(body.equals(await bytesOf(found)))
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key: 'o' }))
    for (const { ETag: etag, ContentLength, ContentType, Metadata, LastModified } of [found, head]) {
      const seen = { etag, ContentLength, ContentType, Metadata }
      t.same(seen, { etag: ETag, ContentLength: body.length, ContentType: 'image/png', Metadata: { width: '640' } })
      t.ok(LastModified && Math.abs(Date.now() - LastModified.getTime()) < 60_000)
    }
    await put('o', Readable.from([Buffer.from('ab'), Buffer.from('cd')], { objectMode: false }), { ContentLength: 4 })
    t.equal(await (await get('o')).Body?.transformToString(), 'abcd', 'a stream, sent as aws-chunked with a trailer')
    await put('o', '')
    t.equal((await get('o')).ContentLength, 0)
  })

  await t.test('what is missing, wrong or unmet has its error', async (t) => {
    await put('o', 'abc')
    const { ETag = '', LastModified = new Date() } = await get('o')
    await t.rejects(get('missing'), { name: 'NoSuchKey', $metadata: { httpStatusCode: 404 } })
    await t.rejects(s3.send(new HeadObjectCommand({ Bucket, Key: 'missing' })), { name: 'NotFound' })
    await t.rejects(get('o', { Bucket: 'no-such-bucket-1' }), { name: 'NoSuchBucket' })
    await t.rejects(put('o', 'new', { IfNoneMatch: '*' }), {
      name: 'PreconditionFailed',
      $metadata: { httpStatusCode: 412 },
    })
    await t.rejects(get('o', { IfMatch: '"other"' }), { name: 'PreconditionFailed' })
    await t.rejects(get('o', { IfNoneMatch: ETag }), { name: /./, $metadata: { httpStatusCode: 304 } })
    await t.rejects(get('o', { IfModifiedSince: LastModified }), { name: /./, $metadata: { httpStatusCode: 304 } })
    t.equal((await get('o', { IfMatch: ETag, IfNoneMatch: '"other"' })).ContentLength, 3)
    await t.rejects(put('o', 'new', { ChecksumCRC32: 'AAAAAA==' }), { name: /./, $metadata: { httpStatusCode: 400 } })
    t.equal(await (await get('o')).Body?.transformToString(), 'abc', 'a refused write changed nothing')
    await put('fresh', 'x', { IfNoneMatch: '*' })
  })

  await t.test('a range is cut as RFC 9110 says', async (t) => {
    await put('o', '0123456789')
    const cases = {
      'bytes=0-0': '0',
      'bytes=2-5': '2345',
      'bytes=7-': '789',
      'bytes=8-99': '89',
      'bytes=-3': '789',
      'bytes=-99': '0123456789',
    }
    for (const [Range, text] of Object.entries(cases)) {
      const part = await get('o', { Range })
      const first = '0123456789'.indexOf(text)
      t.equal(part.$metadata.httpStatusCode, 206)
      t.equal(part.ContentRange, `bytes ${first}-${first + text.length - 1}/10`)
      t.equal(await part.Body?.transformToString(), text)
    }
    for (const Range of ['bytes=10-', 'bytes=-0']) {
      await t.rejects(get('o', { Range }), { name: 'InvalidRange', $metadata: { httpStatusCode: 416 } })
    }
  })

  await t.test('a list has every key once, in the order of its UTF-8 bytes', async (t) => {
    await remove(['o', 'fresh'])
    for (const key of KEYS) await put(key)
    const sorted = [...KEYS].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    const decode = (name = '') => decodeURIComponent(name.replaceAll('+', ' '))
    for (const MaxKeys of [1, 2, 3, 1000]) {
      t.same(await listAll({ MaxKeys }), sorted)
      t.same(
        await listAll({ MaxKeys, StartAfter: 'a/10' }),
        sorted.filter((key) => key > 'a/10'),
      )
      t.same(
        await listAll({ MaxKeys, Prefix: 'a' }),
        sorted.filter((key) => key.startsWith('a')),
      )
      t.same((await listAll({ MaxKeys, EncodingType: 'url' })).map(decode), sorted)
      t.same((await listAll({ MaxKeys, Prefix: 'a/', Delimiter: '/' })).sort(), ['a/1', 'a/10', 'a/2', 'a/b/'])
      t.same((await listAll({ MaxKeys, Prefix: 'a', Delimiter: '/' })).sort(), ['a b', 'a&<b>"\'', 'a+b', 'a/', 'a0'])
    }
    const { Contents = [], IsTruncated, NextContinuationToken } = await list({ Prefix: 'a b' })
    t.match(Contents, [{ Key: 'a b', Size: 1, ETag: '"9dd4e461268c8034f5c8564e155c67a6"' }])
    t.match({ IsTruncated, NextContinuationToken }, { IsTruncated: false, NextContinuationToken: undefined })
    t.match(await list({ Prefix: 'nothing' }), { KeyCount: 0, IsTruncated: false })
    t.match(await list({ MaxKeys: 0 }), { KeyCount: 0, IsTruncated: false })
  })

  await t.test('a delete names every key, also those that are not there, unless it is quiet', async (t) => {
    const { Deleted = [], Errors } = await remove([...KEYS.slice(0, 4), 'missing'])
    t.same(Deleted.map(({ Key }) => Key).sort(), [...KEYS.slice(0, 4), 'missing'].sort())
    t.equal(Errors, undefined)
    t.match(await remove(KEYS, true), { Deleted: undefined, Errors: undefined })
    t.equal((await list()).KeyCount, 0)
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'missing' }))
    await t.rejects(remove([]), { name: 'MalformedXML' })
  })

  await t.test('a multipart upload is seen when it is complete', async (t) => {
    const body = randomBytes(12 * MIB)
    const upload = new Upload({
      client: s3,
      params: {
        Bucket,
        Key: 'big',
        Body: Readable.from(inPieces(body), { objectMode: false }),
        ContentType: 'image/avif',
        Metadata: { a: 'b' },
      },
    })
    const { ETag } = await upload.done()
    t.match(ETag, /^"[0-9a-f]{32}-3"$/)
    const found = await get('big')
    t.match(found, { ETag, ContentType: 'image/avif', Metadata: { a: 'b' } })
    t.ok(body.equals(await bytesOf(found)))

    const Key = 'parts'
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }))
    const sendPart = async (PartNumber: number): Promise<CompletedPart> => {
      const { ETag } = await s3.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body: 'small' }))
      return { PartNumber, ETag }
    }
    const one = await sendPart(1)
    const two = await sendPart(2)
    const complete = (...Parts: CompletedPart[]) =>
      s3.send(
        new CompleteMultipartUploadCommand({
          Bucket,
          Key,
          UploadId,
          MultipartUpload: { Parts },
        }),
      )
    await t.rejects(complete(one, two), { name: 'EntityTooSmall' })
    await t.rejects(complete(two, one), { name: 'InvalidPartOrder' })
    await t.rejects(complete({ PartNumber: 1, ETag: `"${'0'.repeat(32)}"` }), { name: 'InvalidPart' })
    await t.rejects(get(Key), { name: 'NoSuchKey' })
    await s3.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }))
    await t.rejects(complete(one), { name: 'NoSuchUpload' })
    await t.rejects(s3.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 3, Body: 'x' })), {
      name: 'NoSuchUpload',
    })
    await remove(['big'])
  })
}

t.test('a page has at most pageSize keys', async (t) => {
  const { standIn, list } = await startWithClient(t, {}, { pageSize: 2 })
  for (const key of ['a', 'b', 'c']) standIn.place(key, 'x')
  t.match(await list(), { KeyCount: 2, IsTruncated: true, MaxKeys: 1000 })
})

t.test('calls are counted and can be acted between', async (t) => {
  const { standIn, list, put } = await startWithClient(t)
  standIn.place('a', 'x', { lastModified: new Date(0) })
  standIn.onCall = ({ operation, n }) => {
    if (operation === 'ListObjectsV2' && n === 2) standIn.objects.delete('a')
  }
  t.match((await list({ Prefix: 'a' })).Contents, [{ LastModified: new Date(0) }])
  t.equal((await list({ Prefix: 'a' })).KeyCount, 0)
  await put('k')
  t.same(standIn.calls, [
    { operation: 'ListObjectsV2', key: 'a', keys: ['a'], n: 1 },
    { operation: 'ListObjectsV2', key: 'a', keys: ['a'], n: 2 },
    { operation: 'PutObject', key: 'k', keys: ['k'], n: 1 },
  ])
  t.equal(standIn.openConnections, 1, 'kept alive')
  t.equal(standIn.runningRequests, 0)
})

t.test('a fault hits the calls that match, as often as it is told', async (t) => {
  const { standIn, put } = await startWithClient(t)
  standIn.fail({ operation: 'PutObject', key: /\.jpg$/, nth: 2 }, 'status-500')
  const outcome = async (key: string) =>
    put(key).then(
      () => 'stored',
      (error: Error) => error.name,
    )
  const outcomes = []
  for (const key of ['1.jpg', '1.json', '2.jpg', '3.jpg']) outcomes.push(await outcome(key))
  t.same(outcomes, ['stored', 'stored', 'InternalError', 'stored'])
  standIn.fail({ key: /x/ }, 'access-denied', 2)
  standIn.fail({}, 'status-503')
  t.same([await outcome('x'), await outcome('x'), await outcome('x')], ['AccessDenied', 'AccessDenied', 'SlowDown'])
  standIn.clearFaults()
  t.equal(await outcome('x'), 'stored')
})

const errorFaults: [Fault, string, number][] = [
  ['status-500', 'InternalError', 500],
  ['status-503', 'SlowDown', 503],
  ['access-denied', 'AccessDenied', 403],
  ['storage-full', 'XMinioStorageFull', 507],
  [{ status: 403, code: 'RequestTimeTooSkewed' }, 'RequestTimeTooSkewed', 403],
]
for (const [fault, name, httpStatusCode] of errorFaults) {
  t.test(`${name} is an answer, and nothing is stored`, async (t) => {
    const { standIn, put } = await startWithClient(t)
    standIn.fail({ operation: 'PutObject' }, fault)
    await t.rejects(put('k'), { name, $metadata: { httpStatusCode } })
    t.equal(standIn.objects.size, 0)
  })
}

t.test('a reset instead of an answer: stored or not, the caller sees the same', async (t) => {
  const { standIn, put, get } = await startWithClient(t)
  for (const fault of ['reset', 'reset-mid-request-body', 'answer-lost'] as const) {
    standIn.fail({ operation: 'PutObject' }, fault, 1)
    await t.rejects(put(fault, randomBytes(4 * MIB)), { code: /ECONNRESET|EPIPE/ })
  }
  t.same([...standIn.objects.keys()], ['answer-lost'])
  standIn.fail({ operation: 'GetObject' }, 'reset', 1)
  await t.rejects(get('answer-lost'), { code: 'ECONNRESET' })
})

t.test('a retry of a conditional write meets its own first try', async (t) => {
  const { standIn, put } = await startWithClient(t, { maxAttempts: 2 })
  standIn.fail({ operation: 'PutObject' }, 'answer-lost', 1)
  await t.rejects(put('k', 'x', { IfNoneMatch: '*' }), { name: 'PreconditionFailed', $metadata: { attempts: 2 } })
  t.ok(standIn.objects.has('k'))
})

t.test('a body breaks or stalls in its middle', async (t) => {
  const { standIn, get, put, list } = await startWithClient(t)
  const body = randomBytes(MIB)
  standIn.place('k', body)
  for (const fault of ['reset-mid-response-body', 'stall-mid-body'] as const) {
    standIn.fail({ operation: 'GetObject' }, fault, 1)
    const found = await get('k')
    t.equal(found.ContentLength, body.length)
    const received: Buffer[] = []
    const stream = found.Body as Readable
    stream.on('data', (chunk: Buffer) => received.push(chunk))
    const ended = new Promise((resolve) => stream.once('error', resolve).once('end', () => resolve('end')))
    const outcome = await Promise.race([
      ended,
      sleep(fault === 'stall-mid-body' ? 300 : PATIENCE, 'stalled', { ref: false }),
    ])
    stream.destroy()
    if (fault === 'stall-mid-body') t.equal(outcome, 'stalled')
    else t.match(outcome, { code: 'ECONNRESET' })
    const size = Buffer.concat(received).length
    t.ok(size > 0 && size <= body.length / 2, fault)
    t.ok(Buffer.concat(received).equals(body.subarray(0, size)))
  }
  standIn.fail({ operation: 'ListObjectsV2' }, 'reset-mid-response-body', 1)
  await t.rejects(list(), { code: 'ECONNRESET' })
  standIn.fail({ operation: 'PutObject' }, 'reset-mid-response-body', 1)
  await t.rejects(put('no-body-to-break'), { code: 'ECONNRESET' })
  t.ok(standIn.objects.has('no-body-to-break'))
})

t.test('a call that stalls runs until its caller leaves', async (t) => {
  const { standIn, get } = await startWithClient(t)
  standIn.place('k', 'x')
  standIn.fail({ operation: 'GetObject' }, 'stall')
  const leaving = new AbortController()
  const answer = get('k', {}, leaving.signal)
  await until(() => standIn.runningRequests === 1)
  await Promise.race([answer.then(() => t.fail('answered')), sleep(100)])
  t.equal(standIn.runningRequests, 1)
  leaving.abort()
  await t.rejects(answer, { name: 'AbortError' })
  await until(() => standIn.runningRequests === 0 && standIn.openConnections === 0)
})

t.test('a delayed call is carried out late, though its caller has left', async (t) => {
  const { standIn, put } = await startWithClient(t)
  standIn.fail({ operation: 'PutObject' }, { delayMs: 3000 })
  const leaving = new AbortController()
  const answer = put('k', 'x', {}, leaving.signal)
  await until(() => standIn.calls.length === 1)
  await sleep(50) // for the body to arrive
  leaving.abort()
  await t.rejects(answer, { name: 'AbortError' })
  t.notOk(standIn.objects.has('k'))
  await until(() => standIn.objects.has('k'))
})

t.test('a request that breaks off is never carried out', async (t) => {
  const { standIn, put } = await startWithClient(t)
  const body = new Readable({ read() {} })
  body.push(randomBytes(1000))
  const leaving = new AbortController()
  const answer = put('k', body, { ContentLength: 2000 }, leaving.signal)
  await until(() => standIn.calls.length === 1)
  leaving.abort()
  await t.rejects(answer, { name: 'AbortError' })
  await until(() => standIn.openConnections === 0)
  t.equal(standIn.objects.size, 0)
})

t.test('DeleteObjects reports the keys that match and keeps them', async (t) => {
  const { standIn, s3 } = await startWithClient(t)
  const keys = ['1.jpg', '2.jpg', '0.2.json']
  for (const key of keys) standIn.place(key, 'x')
  standIn.fail({ key: /jpg/ }, 'per-key-error', 1)
  const Delete = { Objects: keys.map((Key) => ({ Key })) }
  const found = await s3.send(new DeleteObjectsCommand({ Bucket: standIn.bucket, Delete }))
  t.match(found.Errors, [{ Key: '1.jpg', Code: 'InternalError' }, { Key: '2.jpg' }])
  t.same(found.Deleted, [{ Key: '0.2.json' }])
  t.same([...standIn.objects.keys()], ['1.jpg', '2.jpg'])
  t.same(standIn.calls[0]?.keys, keys)
})

t.test(
  'CompleteMultipartUpload can fail with status 200; an upload given up leaves its parts to be seen',
  async (t) => {
    const { standIn, s3 } = await startWithClient(t)
    standIn.fail({ operation: 'CompleteMultipartUpload' }, 'error-in-200')
    standIn.fail({ operation: 'AbortMultipartUpload' }, 'status-500')
    const params = { Bucket: standIn.bucket, Key: 'k', Body: randomBytes(6 * MIB) }
    await t.rejects(new Upload({ client: s3, params }).done(), { name: 'InternalError' })
    t.equal(standIn.objects.size, 0)
    t.match([...standIn.multipartUploads.values()], [{ key: 'k' }])
  },
)

t.test('a stopped engine refuses connections; started again, it has what it had', async (t) => {
  const { standIn, get } = await startWithClient(t)
  standIn.place('k', 'x')
  await get('k').then(({ Body }) => Body?.transformToString())
  await standIn.stop()
  t.equal(standIn.openConnections, 0)
  await t.rejects(get('k'), 'may still go to the connection that was reset')
  await t.rejects(get('k'), { code: 'ECONNREFUSED' })
  await standIn.start()
  t.equal(await (await get('k')).Body?.transformToString(), 'x')
})

t.test('what the stand-in does not know is answered 501, a body without a length 411', async (t) => {
  const { standIn } = await startWithClient(t)
  const url = `${standIn.endpoint}/${standIn.bucket}`
  t.equal((await fetch(`${url}?tagging`)).status, 501)
  const body = Readable.toWeb(Readable.from(['x'])) as ReadableStream
  t.equal((await fetch(`${url}/k`, { method: 'PUT', body, duplex: 'half' } as RequestInit)).status, 411)
})

async function startWithClient(
  t: Test,
  config: S3ClientConfig = {},
  options: Parameters<typeof startS3StandIn>[0] = {},
) {
  const standIn: S3StandIn = await startS3StandIn(options)
  const credentials = { accessKeyId: 'any', secretAccessKey: 'any' }
  const s3 = new S3Client({
    endpoint: standIn.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials,
    maxAttempts: 1,
    // It warns of the very requests that are tried
    logger: { trace() {}, debug() {}, info() {}, warn() {}, error() {} },
    ...config,
  })
  t.teardown(async () => {
    s3.destroy()
    await standIn.close()
  })
  const Bucket = standIn.bucket
  return {
    standIn,
    s3,
    put: (
      Key: string,
      Body: PutObjectCommandInput['Body'] = 'x',
      more: Partial<PutObjectCommandInput> = {},
      signal?: AbortSignal,
    ) => s3.send(new PutObjectCommand({ Bucket, Key, Body, ...more }), signal && { abortSignal: signal }),
    get: (Key: string, more: Partial<GetObjectCommandInput> = {}, signal?: AbortSignal) =>
      s3.send(new GetObjectCommand({ Bucket, Key, ...more }), signal && { abortSignal: signal }),
    list: (more: Partial<ListObjectsV2CommandInput> = {}) => s3.send(new ListObjectsV2Command({ Bucket, ...more })),
  }
}

const bytesOf = async ({ Body }: GetObjectCommandOutput) => Buffer.from((await Body?.transformToByteArray()) ?? [])

function* inPieces(body: Buffer): Generator<Buffer> {
  for (let at = 0; at < body.length; at += 64 * 1024) yield body.subarray(at, at + 64 * 1024)
}
