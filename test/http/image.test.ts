import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { eventually, isDetail, placeStory, smallImage, startApp, storyId, type Teardown } from '../support/app.ts'
import { bigImage } from '../support/images.ts'
import { startS3StandIn } from '../support/s3-stand-in.ts'

const small = await smallImage()
const path = `/images/stories/${storyId(1)}/1.png`

async function serve(t: Teardown, image: Buffer, options: Record<string, string> = {}) {
  const standIn = await startS3StandIn()
  t.teardown(() => standIn.close())
  placeStory(standIn, storyId(1), image)
  return { standIn, server: await startApp(t, options, standIn) }
}

t.test(
  'public images in a bucket say how long to cache them and by what tag; private ones and records do not',
  async (t) => {
    for (const [options, expected] of [
      [{}, 'public, max-age=86400, immutable'],
      [{ CACHE_CONTROL: 'public, max-age=300, s-maxage=86400' }, 'public, max-age=300, s-maxage=86400'],
      [{ PRIVATE_IMAGES: 'true', SIGNING_SECRETS: 'x'.repeat(32) }, undefined],
      [{ PRIVATE_IMAGES: 'true', SIGNING_SECRETS: 'x'.repeat(32), CACHE_CONTROL: 'public, max-age=1' }, undefined],
    ] as const) {
      const { standIn, server } = await serve(t, small, options)
      standIn.objects.clear()
      const form = new FormData()
      // Larger than a part too
      for (const bytes of [small, await bigImage(6_000_000)]) form.append('files', new Blob([Uint8Array.from(bytes)]))
      const uploaded = await fetch(`${server.url}/api/v1/images/upload`, { method: 'POST', body: form })
      const { story_id: id } = (await uploaded.json()) as { story_id: string }
      const found = [...standIn.objects].map(([key, { cacheControl, metadata }]) => [
        key.slice(key.lastIndexOf('/') + 1),
        cacheControl,
        metadata['cache-tag'],
      ])
      const tag = expected === undefined ? undefined : id
      t.same(
        found.sort(),
        [
          ['0.2.json', undefined, undefined],
          ['1.png', expected, tag],
          ['2.png', expected, tag],
        ],
        JSON.stringify(options),
      )
    }
  },
)

t.test('HEAD reads no body from the store, and says what GET says', async (t) => {
  const { standIn, server } = await serve(t, small)
  const head = await fetch(server.url + path, { method: 'HEAD' })
  t.equal(head.status, 200)
  t.same(
    standIn.calls.map(({ operation }) => operation),
    ['HeadObject'],
  )
  const get = await fetch(server.url + path)
  t.ok(Buffer.from(await get.arrayBuffer()).equals(small))
  const told = (response: Response) =>
    Object.fromEntries(
      [...response.headers].filter(([name]) => !['date', 'x-request-id', 'connection', 'keep-alive'].includes(name)),
    )
  t.same(told(head), told(get))
  t.equal(head.headers.get('content-length'), String(small.length))
})

t.test('a precondition that does not hold is a 412, with and without a range, and stops nobody else', async (t) => {
  const { server } = await serve(t, small)
  const { headers } = await fetch(server.url + path, { method: 'HEAD' })
  const etag = headers.get('etag') ?? ''
  const modified = headers.get('last-modified') ?? ''
  const long = 'Sunday, 06-Nov-94 08:49:37 GMT'
  const cases: [Record<string, string>, boolean][] = [
    [{ 'if-match': etag }, true],
    [{ 'if-match': '*' }, true],
    [{ 'if-match': `"other, with a comma", W/"weak" ,${etag}` }, true],
    [{ 'if-match': '"other"' }, false],
    [{ 'if-match': `W/${etag}` }, false],
    [{ 'if-match': etag.slice(1, -1) }, false],
    [{ 'if-unmodified-since': modified }, true],
    [{ 'if-unmodified-since': 'Fri, 31 Dec 2100 23:59:59 GMT' }, true],
    [{ 'if-unmodified-since': 'Sun, 06 Nov 1994 08:49:37 GMT' }, false],
    [{ 'if-unmodified-since': long }, false],
    [{ 'if-unmodified-since': 'Sun Nov  6 08:49:37 1994' }, false],
    // No HTTP-dates, however old they look
    [{ 'if-unmodified-since': '1994-11-06' }, true],
    [{ 'if-unmodified-since': 'Sun, 06 Nov 1994 08:49:37 CET' }, true],
    [{ 'if-unmodified-since': 'Sun, 99 Nov 1994 08:49:37 GMT' }, true],
    [{ 'if-unmodified-since': '0' }, true],
    // If-Match comes first
    [{ 'if-match': etag, 'if-unmodified-since': long }, true],
    [{ 'if-match': '"other"', 'if-none-match': etag }, false],
  ]
  for (const [condition, holds] of cases) {
    const what = JSON.stringify(condition)
    const get = await fetch(server.url + path, { headers: condition })
    t.equal(get.status, holds ? 200 : 412, what)
    if (holds) t.ok(Buffer.from(await get.arrayBuffer()).equals(small), what)
    else t.ok(isDetail(await get.text()), what)
    const part = await fetch(server.url + path, { headers: { ...condition, range: 'bytes=0-9' } })
    t.equal(part.status, holds ? 206 : 412, `${what}, a range`)
    await part.arrayBuffer()
    t.equal(
      (await fetch(server.url + path, { headers: condition, method: 'HEAD' })).status,
      holds ? 200 : 412,
      `${what}, HEAD`,
    )
  }
  for (const since of ['2100-01-01', 'Fri, 31 Dec 2100 23:59:59 CET', 'tomorrow']) {
    const { status } = await fetch(server.url + path, { method: 'HEAD', headers: { 'if-modified-since': since } })
    t.equal(status, 200, `If-Modified-Since: ${since} is no HTTP-date`)
  }
})

t.test('whoever has the image gets a 304 for HeadObject alone', async (t) => {
  const { standIn, server } = await serve(t, small)
  const { headers } = await fetch(server.url + path, { method: 'HEAD' })
  const etag = headers.get('etag') ?? ''
  const modified = headers.get('last-modified') ?? ''
  for (const condition of [
    { 'if-none-match': etag },
    { 'if-none-match': `W/${etag}` },
    { 'if-none-match': `"other", ${etag}` },
    { 'if-none-match': '*' },
    { 'if-modified-since': modified },
    { 'if-none-match': etag, 'if-modified-since': 'Thu, 01 Jan 1970 00:00:00 GMT' },
    { 'if-none-match': etag, 'cache-control': 'no-cache' },
  ]) {
    for (const method of ['GET', 'HEAD']) {
      const before = standIn.calls.length
      const response = await fetch(server.url + path, { method, headers: condition as Record<string, string> })
      const what = `${method} ${JSON.stringify(condition)}`
      t.equal(response.status, 304, what)
      t.equal(await response.text(), '', what)
      t.equal(response.headers.get('etag'), etag, what)
      t.ok(response.headers.get('cache-control'), what)
      t.equal(response.headers.get('content-length'), null, what)
      t.same(
        standIn.calls.slice(before).map(({ operation }) => operation),
        ['HeadObject'],
        what,
      )
    }
  }
  const changed = await fetch(server.url + path, { headers: { 'if-none-match': '"other"' } })
  t.equal(changed.status, 200)
  t.ok(Buffer.from(await changed.arrayBuffer()).equals(small))
})

t.test('what is no name of an image asks nothing of the store', async (t) => {
  const { standIn, server } = await serve(t, small)
  for (const name of ['0.1.json', '0.png', '01.png', '1.PNG', '1.svg', '1', '..%2f1.png', '%2e%2e', '1.png%00']) {
    for (const method of ['GET', 'HEAD']) {
      const response = await fetch(`${server.url}/images/stories/${storyId(1)}/${name}`, { method })
      t.equal(response.status, 404, name)
      await response.arrayBuffer()
    }
  }
  t.same(standIn.calls, [])
})

t.test('a client that goes away in the middle of an image frees the connection to the store', async (t) => {
  const { standIn, server } = await serve(t, await bigImage(12 * 1024 * 1024))
  for (let n = 0; n < 5; n++) {
    const client = await server.connect()
    await client.write(`GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`)
    t.ok(await eventually(() => client.received.length > 0))
    client.socket.resetAndDestroy()
  }
  t.ok(await eventually(() => standIn.runningRequests === 0), 'no request is left running')
  // undici connects again for a request that was aborted; what is idle it uses again, or lets go of after a while
  t.ok(standIn.openConnections <= 5, `${standIn.openConnections} connections are open`)
  t.equal((await fetch(server.url + path, { method: 'HEAD' })).status, 200)
})

t.test('a client that goes away before the store answers frees the connection to the store', async (t) => {
  const { standIn, server } = await serve(t, small)
  standIn.fail({ operation: 'GetObject' }, 'stall')
  const client = await server.connect()
  await client.write(`GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`)
  t.ok(await eventually(() => standIn.runningRequests === 1))
  client.socket.resetAndDestroy()
  t.ok(await eventually(() => standIn.runningRequests === 0))
})

t.test('a slow reader gets the whole image, however short S3_TIMEOUT is', async (t) => {
  const image = await bigImage(24 * 1024 * 1024)
  const { server } = await serve(t, image, { S3_TIMEOUT: '500ms' })
  const response = await fetch(server.url + path)
  const chunks: Uint8Array[] = []
  let next = 8 * 1024 * 1024
  let size = 0
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk)
    size += chunk.length
    if (size < next) continue
    next += 8 * 1024 * 1024
    await sleep(2500)
  }
  t.ok(Buffer.concat(chunks).equals(image))
})

t.test('an image that breaks off in the store breaks off at the client', async (t) => {
  const { standIn, server } = await serve(t, await bigImage(1024 * 1024), { S3_TIMEOUT: '300ms' })
  for (const fault of ['reset-mid-response-body', 'stall-mid-body'] as const) {
    standIn.fail({ operation: 'GetObject' }, fault)
    await t.rejects(
      fetch(server.url + path).then((response) => response.arrayBuffer()),
      fault,
    )
    standIn.clearFaults()
  }
  t.ok(await eventually(() => standIn.runningRequests === 0))
})
