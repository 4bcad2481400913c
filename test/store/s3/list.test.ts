import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import { StoreFailure, StoreUnavailable } from '../../../src/errors.ts'
import { openS3Store } from '../../../src/store/s3/s3-store.ts'
import { listKeys, listPages } from '../../support/bodies.ts'
import { openOnStandIn, startStandIn } from '../../support/stores.ts'

/** A server that lists what a function says, since no S3 engine can be made to list wrongly. */
async function openListing(t: Test, answer: (query: URLSearchParams, n: number) => string) {
  let n = 0
  const server = createServer((request, response) => {
    n += 1
    const query = new URL(request.url ?? '/', 'http://host').searchParams
    response.setHeader('content-type', 'application/xml')
    response.end(`<?xml version="1.0"?><ListBucketResult>${answer(query, n)}</ListBucketResult>`)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const store = await openS3Store({
    bucket: 'b',
    prefix: '',
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    region: 'us-east-1',
    forcePathStyle: true,
    timeout: 20_000,
  })
  t.teardown(async () => {
    await store.close()
    server.close()
    server.closeAllConnections()
  })
  return { store, calls: () => n }
}

process.env.AWS_ACCESS_KEY_ID ??= 'any'
process.env.AWS_SECRET_ACCESS_KEY ??= 'any'

const object = (key: string) =>
  `<Contents><Key>${key}</Key><Size>1</Size><LastModified>2024-03-20T10:30:00.000Z</LastModified></Contents>`
const more = (token?: string) =>
  `<IsTruncated>true</IsTruncated>${token ? `<NextContinuationToken>${token}</NextContinuationToken>` : ''}`
const end = '<IsTruncated>false</IsTruncated>'

t.test('a server that repeats a page is an error, not an endless list', async (t) => {
  const { store } = await openListing(t, () => object('a') + object('b') + more('again'))
  await t.rejects(listKeys(store), StoreFailure)
})

t.test('a server that says that there is more, but neither what nor where, is an error', async (t) => {
  const { store } = await openListing(t, () => more())
  await t.rejects(listKeys(store), StoreFailure)
})

t.test('a server that always gives the same token and no key is an error', async (t) => {
  const { store, calls } = await openListing(t, (_query, n) => (n < 20 ? more('same') : end))
  await t.rejects(listKeys(store), StoreFailure)
  t.ok(calls() < 20)
})

t.test('a server that gives no token is asked for what comes after the last key', async (t) => {
  const { store } = await openListing(t, (query) =>
    query.get('start-after') === 'b' ? object('c') + end : object('a') + object('b') + more(),
  )
  t.same(await listKeys(store), ['a', 'b', 'c'])
})

t.test('an empty page in the middle is passed over', async (t) => {
  const { store } = await openListing(t, (query) => {
    const token = query.get('continuation-token')
    if (token === null) return object('a') + more('1')
    return token === '1' ? more('2') : object('b') + end
  })
  t.same(
    (await listPages(store, { prefix: '' })).map((page) => page.map(({ key }) => key)),
    [['a'], ['b']],
  )
})

t.test('keys out of order are an error, also inside a page', async (t) => {
  const { store } = await openListing(t, () => object('b') + object('a') + object('c') + end)
  await t.rejects(listKeys(store), StoreFailure)
})

t.test('keys come as they are when the server does not encode them, and decoded when it does', async (t) => {
  const plain = await openListing(t, () => object('a%20b+c') + object('b&amp;c') + end)
  t.same(await listKeys(plain.store), ['a%20b+c', 'b&c'])
  const encoded = await openListing(t, () => `<EncodingType>url</EncodingType>${object('a%20b%2Bc+d/%C3%A9')}${end}`)
  t.same(await listKeys(encoded.store), ['a b+c d/é'])
})

t.test('an answer that is no list is an error, not an empty list', async (t) => {
  const { store } = await openListing(t, () => '')
  await t.rejects(listKeys(store), StoreFailure)
})

t.test('pages of any size make the same list, with each page asked for when it is wanted', async (t) => {
  const standIn = await startStandIn(t, { pageSize: 7 })
  const store = await openOnStandIn(t, standIn)
  const keys = Array.from({ length: 50 }, (_, i) => `k/${i}`).sort()
  for (const key of keys) standIn.place(key, 'x')
  t.same(await listKeys(store), keys)
  t.same(
    await listKeys(store, { prefix: 'k/', after: 'k/2', before: 'k/40' }),
    keys.filter((k) => k > 'k/2' && k < 'k/40'),
  )
  const before = standIn.calls.length
  for await (const page of store.list({ prefix: '' })) {
    t.equal(page.length, 7)
    t.equal(standIn.calls.length, before + 1)
    break
  }
  t.equal(standIn.calls.length, before + 1)
  for await (const page of store.list({ prefix: '', before: keys[3] as string })) t.equal(page.length, 3)
  t.equal(standIn.calls.length, before + 2, 'nothing is asked for above the end')
})

t.test('a page that fails in the middle of a list is an error after the pages before it', async (t) => {
  const standIn = await startStandIn(t, { pageSize: 5 })
  const store = await openOnStandIn(t, standIn)
  for (let i = 0; i < 10; i++) standIn.place(`k/${i}`, 'x')
  standIn.fail({ operation: 'ListObjectsV2', nth: 2 }, 'status-503', 4)
  let pages = 0
  const error = await (async () => {
    for await (const page of store.list({ prefix: '' })) pages += page.length
  })().catch((error) => error)
  t.equal(pages, 5)
  t.type(error, StoreUnavailable)
})

t.test('a list whose response stalls ends in time, also when garbage is collected meanwhile', async (t) => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const standIn = await startStandIn(t)
  const store = await openOnStandIn(t, standIn, { timeout: 200 })
  standIn.fail({ operation: 'ListObjectsV2' }, 'stall-mid-body')
  const timer = setInterval(collect, 20)
  t.teardown(() => clearInterval(timer))
  await t.rejects(listPages(store, { prefix: '', signal: new AbortController().signal }), StoreUnavailable)
})
