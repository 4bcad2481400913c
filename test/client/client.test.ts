import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { openAsBlob } from 'node:fs'
import { truncate, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ApiError, createClient, ImageReadError, type UploadProgress } from '../../packages/client/src/index.ts'
import { listImages, someImages } from '../acceptance/client.ts'
import { startApp } from '../support/app.ts'

const KEY = 'a-key-of-the-client'
const IMAGE_FILES = ['image1.jpg', 'image2.png'].map((name) => new URL(`../../docs/images/${name}`, import.meta.url))

const blobs = async (count: number) => (await someImages(count)).map((image) => new Blob([new Uint8Array(image)]))

/** Starts a proxy of uploads to a server that responds with the status which `fail` returns, and loses the second response. */
async function between(t: Test, url: string, fail: (request: IncomingMessage, tries: number) => number | undefined) {
  const tries: (string | undefined)[] = []
  const listener = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    tries.push(request.headers['idempotency-key'] as string | undefined)
    const status = fail(request, tries.length)
    if (status) return response.writeHead(status, { 'retry-after': '0' }).end('{"detail":"Not now"}')
    const { 'content-type': type = '', 'idempotency-key': key = '' } = request.headers as Record<string, string>
    const upstream = await fetch(url + request.url, {
      method: 'POST',
      headers: { 'content-type': type, 'idempotency-key': key },
      body: Buffer.concat(chunks),
    })
    const body = await upstream.text()
    // The story is there, and nobody was told
    if (tries.length === 2) request.socket.destroy()
    else response.writeHead(upstream.status, { 'content-type': 'application/json' }).end(body)
  }
  const proxy = createServer((request, response) => {
    // A client may go away in the middle
    listener(request, response).catch(() => request.destroy())
  })
  t.teardown(() => proxy.close())
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, tries }
}

t.test('the URL of an image is that of the server or of the CDN, of a variant too', (t) => {
  const path = '/images/stories/2acfa514-2915-4a9d-8a3a-338d52bd0d9e/1.jpg'
  const { imageUrl } = createClient({ baseUrl: 'https://api.example.org/app/' })
  t.equal(imageUrl(path), `https://api.example.org/app${path}`)
  t.equal(createClient({ baseUrl: '' }).imageUrl(path), path)
  const cdn = createClient({ baseUrl: '', imageUrl: 'https://img.example.org' })
  t.equal(cdn.imageUrl(path), `https://img.example.org${path}`)
  t.equal(cdn.imageUrl(path, { width: 320 }), `https://img.example.org${path}?w=320&format=auto`)
  const signed = `https://img.example.org${path}?expires=1&signature=a`
  t.equal(cdn.imageUrl(signed), signed)
  t.equal(cdn.imageUrl(path, { width: 320, height: 240 }), `https://img.example.org${path}?w=320&h=240&format=auto`)
  t.equal(cdn.imageUrl(signed, { width: 640, format: 'webp' }), `${signed}&w=640&format=webp`)
  t.equal(
    cdn.imageUrl(`${path}?expires=1`, { width: 320 }),
    `https://img.example.org${path}?expires=1&w=320&format=auto`,
  )
  t.end()
})

t.test('an upload of files makes one story, and reports the progress of each', async (t) => {
  const server = await startApp(t)
  const client = createClient({ baseUrl: `${server.url}/` })
  const files = await Promise.all(IMAGE_FILES.map((url) => openAsBlob(url)))
  const seen: UploadProgress[] = []
  const story = await client.upload(files, { onProgress: (progress) => void seen.push(progress) })
  t.equal(story.image_count, 2)
  t.match(seen[0], { loaded: 0, images: [0, 0] })
  t.same(
    seen,
    [...seen].sort((a, b) => a.loaded - b.loaded),
    'it only grows',
  )
  const sizes = files.map(({ size }) => size)
  t.ok(
    seen.some(({ images }) => images[0] === sizes[0] && images[1] === 0),
    'one image after the other',
  )
  const { loaded, total, images } = seen.at(-1) ?? { loaded: 0, total: 1 }
  t.equal(loaded, total, 'and ends with all of it')
  t.same(images, sizes)
  const sent = Buffer.from(await (files[1] as Blob).arrayBuffer())
  const stored = await fetch(server.url + story.image_paths[1])
  t.ok(Buffer.from(await stored.arrayBuffer()).equals(sent), 'the bytes are those of the file')
  t.equal((await client.upload(files)).image_count, 2, 'also without progress')
})

t.test('calls are those of the API, and show errors as values', async (t) => {
  const server = await startApp(t, { API_KEYS: `client:read+write:${createHash('sha256').update(KEY).digest('hex')}` })
  const client = createClient({ baseUrl: server.url, key: KEY })
  const { story_id } = await client.upload(await blobs(1))
  const found = await client.GET('/api/v1/images/{story_id}', { params: { path: { story_id } } })
  t.equal(found.data?.[0]?.id, '1')
  const refused = await client.DELETE('/api/v1/images/{story_id}', { params: { path: { story_id } } })
  t.equal(refused.response.status, 403)
  t.match(refused.error?.detail, /does not have the scope "delete"/)
  const stranger = createClient({ baseUrl: server.url })
  await t.rejects(stranger.upload(await blobs(1)), { name: 'ApiError', status: 401, retryAfter: undefined })
  await t.rejects(stranger.listStories().next(), ApiError)
})

t.test('a ticket uploads one story without a key', async (t) => {
  const server = await startApp(t, {
    API_KEYS: `issuer:read+write:${createHash('sha256').update(KEY).digest('hex')}`,
    SIGNING_SECRETS: 'a-secret-of-more-than-32-characters',
  })
  const issuer = createClient({ baseUrl: server.url, key: KEY })
  const { data: ticket } = await issuer.POST('/api/v1/tickets', { body: { files: 2 } })
  const uploadUrl = ticket?.upload_url ?? ''
  const page = createClient({ baseUrl: server.url })
  const images = await blobs(2)
  const story = await page.upload(images, { uploadUrl })
  t.equal(story.image_count, 2)
  t.same(await page.upload(images, { uploadUrl }), story, 'the same one when it is sent again')
  await t.rejects(page.upload(await blobs(3), { uploadUrl }), { name: 'ApiError', status: 413 })
})

t.test('a refused upload fails at once, with the reason', async (t) => {
  const server = await startApp(t)
  const { tries, url } = await between(t, server.url, () => undefined)
  const client = createClient({ baseUrl: url })
  await t.rejects(client.upload([new Blob(['no image'])]), {
    name: 'ApiError',
    status: 415,
    detail: 'File 1 is not a JPEG, PNG, GIF, WebP or AVIF image',
  })
  t.equal(tries.length, 1)
})

t.test('a story is read and deleted, and a page of a list leads to the next one', async (t) => {
  const server = await startApp(t, { PRIVATE_IMAGES: 'true', SIGNING_SECRETS: 'a-secret-of-more-than-32-characters' })
  const client = createClient({ baseUrl: server.url })
  const images = await blobs(2)
  const first = await client.upload(images)
  const second = await client.upload(images)
  const third = await client.upload(images)
  const one = await client.getStory(first.story_id)
  t.match(one, { story_id: first.story_id, images: [{ id: '1' }, { id: '2' }] })
  const [url] = await client.signUrls(first.image_paths, { expiresIn: 60 })
  t.equal((await fetch(server.url + url)).status, 200)
  const page = await client.listPage({ limit: 2 })
  t.same(page.stories[0], one)
  const { stories, cursor } = await client.listPage({ limit: 2, cursor: page.cursor })
  t.equal(page.stories.length + stories.length, 3)
  t.equal(cursor, undefined)
  const deletion = await client.deleteStory(second.story_id)
  t.ok(deletion.isRestorable)
  t.ok(Number(deletion.restorableUntil) > Date.now())
  await t.rejects(client.deleteStory(second.story_id), { name: 'ApiError', status: 404, isTemporary: false })
  await client.restoreStory(second.story_id)
  t.same((await client.listPage({ limit: 2 })).stories, page.stories)
  await t.rejects(client.restoreStory('1'), { name: 'ApiError', status: 404 })
  t.ok((await client.deleteAllStories()).isRestorable)
  await t.rejects(client.getStory(third.story_id), { name: 'ApiError', status: 404 })
  const stop = AbortSignal.abort(new Error('enough'))
  await t.rejects(client.getStory('1', { signal: stop }), /enough/)
})

t.test('an image that changes while it is sent fails by its place, and is not sent again', async (t) => {
  const server = await startApp(t)
  const client = createClient({ baseUrl: server.url })
  const [image] = await blobs(1)
  const path = join(t.testdir({}), 'a.bin')
  await writeFile(path, Buffer.alloc(100_000))
  const file = await openAsBlob(path)
  await truncate(path, 10)
  const onRetry = () => t.fail('it is not sent again')
  for (const onProgress of [undefined, () => {}])
    await t.rejects(client.upload([image as Blob, file], { onProgress, onRetry }), { name: 'ImageReadError', index: 1 })
  const bytes = new Uint8Array(await (image as Blob).arrayBuffer())
  const source = (size: number) => ({
    size,
    stream: async function* () {
      yield bytes
    },
  })
  t.equal((await client.upload([source(bytes.length), image as Blob])).image_count, 2)
  for (const [size, change] of [
    [bytes.length + 1, 'shorter'],
    [bytes.length - 1, 'longer'],
  ] as const) {
    const error = await client.upload([source(size)], { onRetry }).catch((error) => error)
    t.ok(error instanceof ImageReadError)
    t.match(error, {
      message: "File 1 can't be read",
      index: 0,
      cause: { message: `it became ${change} while it was sent` },
    })
  }
})

t.test('an upload that is refused is not sent again, however large it is', async (t) => {
  const server = await startApp(t, { MAX_FILE_SIZE: '1MiB' })
  let count = 0
  server.app.server.on('request', () => count++)
  const [image] = await blobs(1)
  const large = new Blob([image as Blob, Buffer.alloc(40 * 1024 * 1024)])
  for (const onProgress of [undefined, () => {}]) {
    await t.rejects(createClient({ baseUrl: server.url }).upload([large], { onProgress }), {
      name: 'ApiError',
      status: 413,
      detail: 'File 1 is larger than 1 MiB, the limit for one file',
    })
  }
  t.equal(count, 2)
})

t.test(
  'a try that failed, or whose response was lost, is repeated with the same key: there is one story',
  async (t) => {
    const server = await startApp(t)
    const { tries, url } = await between(t, server.url, (_request, count) => (count === 1 ? 503 : undefined))
    const story = await createClient({ baseUrl: url }).upload(await blobs(2), { onProgress: () => {} })
    t.equal(tries.length, 3)
    t.equal(new Set(tries).size, 1)
    t.match(tries[0], /^[0-9a-f]{32}$/)
    const listed = await listImages(server)
    t.same(
      listed.map(({ path }) => path),
      story.image_paths,
    )
  },
)

t.test('a response that is not from the server is an ApiError too', async (t) => {
  const responses: [status: number, body: string, detail: string | RegExp][] = [
    [502, '', 'The server responded with status 502'],
    [502, '<h1>Bad gateway</h1>', 'The server responded with status 502'],
    [413, 'null', 'The server responded with status 413'],
    [200, '<h1>Log in first</h1>', 'The response is not from story-images'],
    [200, '', 'The response is not from story-images'],
  ]
  let [status, body] = [307, '']
  let count = 0
  const other = createServer((request, response) => {
    if (request.headers['content-length'] !== '0') count += 1
    request.resume().on('end', () => response.writeHead(status, { location: '/elsewhere' }).end(body))
  })
  t.teardown(() => other.close())
  other.listen(0, '127.0.0.1')
  await once(other, 'listening')
  const client = createClient({ baseUrl: `http://127.0.0.1:${(other.address() as AddressInfo).port}` })
  const images = await blobs(1)
  for (const onProgress of [undefined, () => {}]) {
    await t.rejects(client.upload(images, { onProgress }), { name: 'ApiError', status: 307, detail: /redirect/ })
  }
  t.equal(count, 2, 'each image was sent once')
  for (const [asked, text, detail] of responses) {
    status = asked
    body = text
    await t.rejects(client.upload(images, { retries: 0 }), { name: 'ApiError', status, detail })
    await t.rejects(client.listStories().next(), { name: 'ApiError', status, detail })
  }
  ;[status, body] = [200, '{}']
  const calls: (() => Promise<unknown>)[] = [
    () => client.listPage(),
    () => client.deleteStory('1'),
    () => client.deleteAllStories(),
    () => client.restoreStory('1'),
    () => client.signUrls(['/1.jpg']),
  ]
  for (const call of calls)
    await t.rejects(call(), { name: 'ApiError', status: 200, detail: 'The response is not from story-images' })
  status = 301
  await t.rejects(client.getStory('1'), {
    name: 'ApiError',
    status,
    detail: 'The server responded with a redirect to /elsewhere',
  })
})

t.test('what can never be sent fails at once, and shows no key', async (t) => {
  const images = await blobs(1)
  await t.rejects(createClient({ baseUrl: 'nonsense' }).upload(images), TypeError)
  t.throws(() => createClient({ baseUrl: '', key: `${KEY}\n` }), { name: 'TypeError', message: /^(?!.*a-key-of)/ })
})

t.test('tries have an end', async (t) => {
  const { tries, url } = await between(t, 'http://127.0.0.1:2', () => 503)
  const client = createClient({ baseUrl: url })
  await t.rejects(client.upload(await blobs(1), { retries: 2, idempotencyKey: 'mine' }), {
    name: 'ApiError',
    status: 503,
    detail: 'Not now',
    retryAfter: 0,
  })
  t.same(tries, ['mine', 'mine', 'mine'])
  const gone = createClient({ baseUrl: 'http://127.0.0.1:2' })
  await t.rejects(gone.upload(await blobs(1), { retries: 0 }), TypeError)
})

t.test('a caller hears of each retry, and can begin it at once or give up', async (t) => {
  const server = await startApp(t)
  const statuses = [507, 507, 503]
  const full: typeof fetch = async (...args) => {
    const status = statuses.shift()
    if (status === undefined) return fetch(...args)
    return new Response('{"detail":"Not now"}', { status, headers: { 'retry-after': '300' } })
  }
  const client = createClient({ baseUrl: server.url, fetch: full })
  const images = await blobs(1)
  await t.rejects(
    client.upload(images),
    { name: 'ApiError', status: 507, retryAfter: 300, isTemporary: true },
    'too long to wait for',
  )
  const retries: { retry: number; delay: number }[] = []
  await client.upload(images, {
    maxRetryAfter: 300,
    onRetry({ error, retry, delay, retryNow }) {
      t.match(error, { name: 'ApiError', detail: 'Not now' })
      retries.push({ retry, delay })
      retryNow()
    },
  })
  t.same(retries, [
    { retry: 1, delay: 300_000 },
    { retry: 2, delay: 300_000 },
  ])
  const gone = createClient({ baseUrl: 'http://127.0.0.1:2' })
  const onRetry = ({ error }: { error: Error }) => {
    throw new Error('nobody is there', { cause: error })
  }
  await t.rejects(gone.upload(images, { onRetry }), { message: 'nobody is there', cause: TypeError })
})

t.test('a signal ends an upload, and the wait for another try', async (t) => {
  const server = await startApp(t)
  const client = createClient({ baseUrl: server.url })
  const stop = new AbortController()
  const big = new Blob([...(await blobs(1)), new Uint8Array(30_000_000)])
  const why = new Error('changed my mind')
  await t.rejects(client.upload([big], { signal: stop.signal, onProgress: () => stop.abort(why) }), why)
  const { url } = await between(t, server.url, () => 503)
  const waiting = new AbortController()
  const busy: typeof fetch = async (...args) => {
    setTimeout(() => waiting.abort(why), 20)
    const { status } = await fetch(...args)
    return new Response('{"detail":"Later"}', { status, headers: { 'retry-after': '30' } })
  }
  const begin = performance.now()
  await t.rejects(createClient({ baseUrl: url, fetch: busy }).upload(await blobs(1), { signal: waiting.signal }), why)
  t.ok(performance.now() - begin < 29_000, 'not after Retry-After')
})

t.test('the stories of all pages come one by one', async (t) => {
  const server = await startApp(t)
  const client = createClient({ baseUrl: server.url })
  const uploaded: string[] = []
  for (let n = 0; n < 5; n++) uploaded.push((await client.upload(await blobs(2))).story_id)
  const requests: string[] = []
  const watched = createClient({
    baseUrl: server.url,
    fetch: (input, init) => {
      requests.push((input as Request).url)
      return fetch(input, init)
    },
  })
  const listed: string[] = []
  for await (const { story_id, images } of watched.listStories({ limit: 2 })) {
    listed.push(story_id)
    t.same(
      images.map(({ id }) => id),
      ['1', '2'],
    )
  }
  t.same(listed, uploaded)
  t.equal(requests.length, 3)
  const newest: string[] = []
  for await (const { story_id } of client.listStories({ limit: 2, order: 'newest' })) newest.push(story_id)
  t.same(newest, [...uploaded].reverse())
  for await (const { story_id } of watched.listStories({ limit: 1 })) {
    t.equal(story_id, uploaded[0])
    break
  }
  t.equal(requests.length, 4, 'a loop that ends early reads no further page')
  await createClient({ baseUrl: server.url }).DELETE('/api/v1/images')
  t.same(await client.listStories().next(), { done: true, value: undefined })
})
