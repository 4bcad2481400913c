import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { runInNewContext } from 'node:vm'
import { PutBucketPolicyCommand } from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import { readConfig } from '../../src/config.ts'
import { storyStore } from '../../src/stories/story-store.ts'
import { putTombstone } from '../../src/stories/tombstone.ts'
import { uploadStory } from '../../src/stories/upload.ts'
import { connectRaw, eventually, filePart, multipart, smallImage, startApp } from '../support/app.ts'
import { inChunks, listKeys } from '../support/bodies.ts'
import { engines, makeBucket } from '../support/engines.ts'
import { examplesOf, isInstalled, run } from '../support/examples.ts'
import { bigImage } from '../support/images.ts'
import { openOnEngine } from '../support/stores.ts'
import { freePort, startRecorder } from './shell.ts'

/** The configurations of nginx and Varnish, the settings, the bucket policy and the CloudFront function of docs/cdn.md and docs/deployment.md. */
const cdn = await examplesOf('docs/cdn.md')
const deployment = await examplesOf('docs/deployment.md')
const noNginx = !isInstalled('nginx') && 'nginx is not installed (apt-get install nginx-light)'
const noVarnish = !isInstalled('varnishd') && 'Varnish is not installed (apt-get install varnish)'
const STORY = '01a205ad-87f4-77cd-a8d8-f60e2cbf53b1'

const PATH = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`

const isUp = (port: number) =>
  fetch(`http://127.0.0.1:${port}/livez`).then(
    ({ ok }) => ok,
    () => false,
  )

/** A configuration as an nginx takes it that is not the system's. */
async function startNginx(t: Test, folder: string, http: string, port: number): Promise<void> {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  writeFileSync(
    join(folder, 'nginx.conf'),
    `${process.getuid?.() === 0 ? 'user root;' : ''}
    daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log ${folder}/error.log; events {}
    http { access_log off; ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')} ${http} }`,
  )
  const program = ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error.log')]
  const environment = { PATH }
  const tested = await run('nginx', [...program, '-t'], { env: environment })
  t.equal(tested.code, 0, tested.stderr)
  const child = spawn('nginx', program, { env: environment, stdio: 'ignore' })
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGTERM')
    await exited
  })
  t.ok(await eventually(() => isUp(port)), 'nginx passes on')
}

async function upload(t: Test, url: string): Promise<{ story_id: string; image_paths: string[] }> {
  const image = await smallImage()
  const answer = await fetch(`${url}/api/v1/images/upload`, {
    method: 'POST',
    headers: { 'content-type': 'multipart/form-data; boundary=XX' },
    body: Uint8Array.from(multipart([filePart(image), filePart(image)])),
  })
  t.equal(answer.status, 200)
  return (await answer.json()) as { story_id: string; image_paths: string[] }
}

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'story-images-nginx-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}

t.test('nginx of docs/deployment.md passes uploads and images on', { skip: noNginx }, async (t) => {
  const server = await startApp(t)
  const port = await freePort()
  const changes = { '127.0.0.1:8000': `127.0.0.1:${server.port}`, 'listen 80;': `listen 127.0.0.1:${port};` }
  await startNginx(t, folderOf(t), deployment('nginx', changes), port)
  const url = `http://127.0.0.1:${port}`
  const { image_paths } = await upload(t, url)
  t.equal((await fetch(`${url}${image_paths[0]}`)).status, 200)
  const named = await startApp(t, { ALLOWED_HOSTS: 'images.example.org' })
  const front = await freePort()
  const there = { '127.0.0.1:8000': `127.0.0.1:${named.port}`, 'listen 80;': `listen 127.0.0.1:${front};` }
  await startNginx(t, folderOf(t), deployment('nginx', there), front)
  const client = await connectRaw(front)
  const deletes = async (host: string, origin: string) => {
    await client.write(`DELETE /api/v1/images HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${origin}\r\n\r\n`)
    return (await client.answer()).status
  }
  t.equal(await deletes('images.example.org', 'https://images.example.org'), 200, 'a page of a public name')
  t.equal(await deletes('images.example.org', 'https://evil.example'), 403)
  t.equal(await deletes('evil.example', 'http://evil.example'), 421)
  client.socket.destroy()
})

interface Cache {
  readonly url: string
  /** Whether the cache had the response already: `HIT`, `MISS`, or another word of nginx. */
  readonly stateOf: (response: Response) => string
}

async function startVarnish(t: Test, upstream: number): Promise<Cache> {
  const folder = folderOf(t)
  const port = await freePort()
  const path = join(folder, 'default.vcl')
  writeFileSync(path, cdn('varnish', { '"8000"': `"${upstream}"` }))
  // Without its processes of other users
  const program = [
    '-F',
    '-f',
    path,
    '-n',
    join(folder, 'run'),
    '-a',
    `127.0.0.1:${port}`,
    '-s',
    'malloc,16m',
    '-j',
    'none',
  ]
  const child = spawn('varnishd', [...program, '-T', 'none'], { env: { PATH, HOME: folder }, stdio: 'ignore' })
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGTERM')
    await exited
  })
  t.ok(await eventually(() => isUp(port)), 'Varnish passes on')
  return {
    url: `http://127.0.0.1:${port}`,
    // The request that has fetched the object comes second
    stateOf: ({ headers }) => (headers.get('x-varnish')?.includes(' ') ? 'HIT' : 'MISS'),
  }
}

async function startCachingNginx(t: Test, upstream: number): Promise<Cache> {
  const port = await freePort()
  const folder = folderOf(t)
  const changes = {
    '127.0.0.1:8000': `127.0.0.1:${upstream}`,
    'listen 80;': `listen 127.0.0.1:${port};`,
    '/var/cache/nginx/stories': join(folder, 'cache'),
  }
  await startNginx(t, folder, cdn('nginx', changes), port)
  return { url: `http://127.0.0.1:${port}`, stateOf: ({ headers }) => headers.get('x-cache') ?? '' }
}

for (const [name, skip, start] of [
  ['nginx', noNginx, startCachingNginx],
  ['Varnish', noVarnish, startVarnish],
] as const) {
  t.test(`${name} of docs/cdn.md caches images, their ranges and variants, and nothing else`, { skip }, async (t) => {
    const server = await startApp(t)
    const { url, stateOf } = await start(t, server.port)
    const { image_paths: paths } = await upload(t, url)
    const get = async (path = '', headers: Record<string, string> = {}) => {
      const response = await fetch(url + path, { headers: { accept: '*/*', ...headers } })
      return { response, state: stateOf(response), body: Buffer.from(await response.arrayBuffer()) }
    }
    const { response, state, body } = await get(paths[0])
    t.equal(`${response.status} ${state}`, '200 MISS')
    const tag = response.headers.get('etag') ?? ''
    t.same([(await get(paths[0])).state, (await get(paths[0])).state], ['HIT', 'HIT'])
    await get(paths[0], { accept: 'image/avif,image/webp,*/*;q=0.8' })
    t.equal((await get(paths[0], { accept: 'text/html,image/avif' })).state, 'HIT', 'texts that come to the same')

    const range = await get(paths[0], { range: 'bytes=2-9' })
    t.equal(`${range.response.status} ${range.state}`, '206 HIT')
    t.same(range.body, body.subarray(2, 10))
    t.equal(range.response.headers.get('content-range'), `bytes 2-9/${body.length}`)
    t.equal((await get(paths[0], { 'if-none-match': tag })).response.status, 304)
    t.equal((await get(paths[1], { range: 'bytes=0-0' })).body.length, 1)
    t.equal((await get(paths[1])).body.length, body.length, 'a range that comes first does not stand for the image')

    const formatFor = async (accept: string) => {
      const { response, state } = await get(`${paths[1]}?w=160`, { accept })
      return `${response.headers.get('content-type')} ${state}`
    }
    t.equal(await formatFor('image/avif,image/webp,*/*'), 'image/avif MISS')
    t.equal(await formatFor('image/webp,*/*'), 'image/webp MISS')
    t.equal(await formatFor('text/html,image/avif;q=0.9'), 'image/avif HIT')
    t.equal(await formatFor('image/webp'), 'image/webp HIT')

    for (const path of ['/api/v1/images', `/images/stories/${STORY}/1.png`, '/nowhere'])
      for (const again of [false, true]) t.not((await get(path)).state, 'HIT', `${path} ${again}`)
  })

  t.test(`${name} asks for an old image, and gets no bytes while it is there`, { skip }, async (t) => {
    const server = await startApp(t, { CACHE_CONTROL: 'public, max-age=86400, s-maxage=1' })
    const { url } = await start(t, server.port)
    const { story_id: id, image_paths: paths } = await upload(t, url)
    const get = async () => (await fetch(url + paths[0])).status
    const revalidations = async () =>
      Number(/requests_total\{operation="getImage",status="304"\} (\d+)/.exec(await metricsOf(server.url))?.[1] ?? 0)
    const sent = async () => /^story_images_images_sent_total (\d+)$/m.exec(await metricsOf(server.url))?.[1]
    t.equal(await get(), 200)
    t.ok(await eventually(async () => (await get()) === 200 && (await revalidations()) > 0))
    t.equal(await sent(), '1')
    t.equal((await fetch(`${server.url}/api/v1/images/${id}`, { method: 'DELETE' })).status, 200)
    t.ok(await eventually(async () => (await get()) === 404), 'a deleted one is gone without a purge')
  })
}

const metricsOf = async (url: string) => (await fetch(`${url}/metrics`)).text()

/** The lines of an example of docs/cdn.md, as settings. */
const settings = (name: string, changes?: Record<string, string>) =>
  parseEnv(cdn(name, changes)) as Record<string, string>

t.test('Varnish forgets a story that is deleted, and no other', { skip: noVarnish }, async (t) => {
  const front = await freePort()
  const server = await startApp(t, settings('varnish-purge', { 'varnish:80': `127.0.0.1:${front}` }))
  const { url, stateOf } = await startVarnish(t, server.port)
  // The server has to know the port of Varnish, which has to know that of the server
  const relay = createServer(async ({ method = '', url: path = '' }, response) => {
    const { status } = await fetch(url + path, { method })
    response.writeHead(status).end()
  }).listen(front, '127.0.0.1')
  t.teardown(() => {
    relay.closeAllConnections()
    relay.close()
  })
  const { story_id: id, image_paths: paths } = await upload(t, url)
  const other = await upload(t, url)
  const get = async (path = '') => {
    const response = await fetch(url + path, { headers: { accept: 'image/webp' } })
    await response.arrayBuffer()
    return `${response.status} ${stateOf(response)}`
  }
  const mine = [...paths, `${paths[0]}?w=160`]
  for (const path of [...mine, ...other.image_paths]) t.equal(await get(path), '200 MISS')
  for (const path of [...mine, ...other.image_paths]) t.equal(await get(path), '200 HIT')
  t.equal((await fetch(`${url}/api/v1/images/${id}`, { method: 'DELETE' })).status, 200)
  t.ok(await eventually(async () => /purged_stories_total\{outcome="ok"\} 1$/m.test(await metricsOf(server.url))))
  for (const path of mine) t.match(await get(path), /^404 /, path)
  for (const path of other.image_paths) t.equal(await get(path), '200 HIT', 'another story stays')
  t.equal((await fetch(`${url}/purge/${other.story_id}`)).status, 404, 'only POST purges')
})

t.test('the settings of Cloudflare and Fastly purge the story that is deleted', async (t) => {
  const recorder = await startRecorder(t, '{"success": true}')
  for (const [name, origin, expected, bodyOf] of [
    [
      'cloudflare',
      'https://api.cloudflare.com',
      {
        path: '/client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/purge_cache',
        headers: { authorization: 'Bearer the-token-of-cloudflare', 'content-type': 'application/json' },
      },
      (id: string) => ({ tags: [id] }),
    ],
    [
      'fastly',
      'https://api.fastly.com',
      { path: '/service/SU1Z0isxPaozGVKXdv0eY/purge', headers: { 'fastly-key': 'the-token-of-fastly' } },
      (id: string) => ({ surrogate_keys: [id] }),
    ],
  ] as const) {
    const server = await startApp(t, settings(name, { [origin]: recorder.url }))
    const { story_id: id } = await upload(t, server.url)
    const before = recorder.requests.length
    t.equal((await fetch(`${server.url}/api/v1/images/${id}`, { method: 'DELETE' })).status, 200)
    t.ok(await eventually(() => recorder.requests.length > before), name)
    t.match(recorder.requests.at(-1), { method: 'POST', ...expected }, name)
    t.same(JSON.parse(recorder.requests.at(-1)?.body ?? ''), bodyOf(id), name)
  }
})

t.test('the settings for CloudFront are settings of the server', (t) => {
  for (const name of ['settings', 'cloudfront'])
    t.match(readConfig(settings(name)).PURGE_URL, 'cloudfront-tags:E1EXAMPLE')
  t.end()
})

for (const engine of engines.filter(({ name }) => name === 'MinIO')) {
  t.test('the bucket policy shows images with their headers, and neither records nor tombstones', async (t) => {
    const { Bucket, client } = await makeBucket(t, engine)
    const store = storyStore(await openOnEngine(t, engine, Bucket, 'images/'), 3_600_000)
    const png = await smallImage()
    const large = await bigImage(6_000_000)
    async function* bodies() {
      for (const image of [png, large]) yield inChunks(image, 65_536)
    }
    const story = await uploadStory(store, bodies(), {
      maxPixels: 1_000_000_000,
      readAhead: true,
      signal: new AbortController().signal,
      onDebris: (error) => t.fail('there is debris', { error }),
      cacheControl: 'public, max-age=86400, immutable',
    })
    await putTombstone(store, story.id)
    const policy = JSON.parse(cdn('bucket-policy', { 'my-stories': Bucket }))
    // MinIO has neither services nor distributions
    Object.assign(policy.Statement[0], { Principal: '*', Condition: undefined })
    await client.send(new PutBucketPolicyCommand({ Bucket, Policy: JSON.stringify(policy) }))
    const get = (key: string) => fetch(`${engine.endpoint}/${Bucket}/images/${key}`)
    for (const key of story.keys) {
      const response = await get(key)
      await response.arrayBuffer()
      t.equal(response.status, 200, key)
      t.equal(response.headers.get('cache-control'), 'public, max-age=86400, immutable')
      t.equal(response.headers.get('x-amz-meta-cache-tag'), story.id)
      t.equal(response.headers.get('content-type'), 'image/png')
    }
    const keys = await listKeys(store)
    const hidden = keys.filter((key) => !story.keys.includes(key))
    t.equal(hidden.length, 2, 'a record and a tombstone')
    for (const key of [...hidden, '']) t.equal((await get(key)).status, 403, key)
  })
}

t.test('CloudFront: the function leaves three kinds of Accept', async (t) => {
  const cut = (accept?: string) => {
    const headers = accept === undefined ? {} : { accept: { value: accept } }
    const context = { event: { request: { uri: '/', headers } } }
    return runInNewContext(`${cdn('cloudfront-function')}\nhandler(event).headers.accept.value`, context)
  }
  t.equal(cut('image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8'), 'image/avif,image/webp')
  t.equal(cut('image/webp,*/*'), 'image/webp')
  t.equal(cut('image/png,*/*'), '*/*')
  t.equal(cut(), '*/*')
})
