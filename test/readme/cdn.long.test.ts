import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import { connectRaw, eventually, filePart, multipart, smallImage, startApp } from '../support/app.ts'
import { examplesOf, isInstalled, run } from '../support/examples.ts'
import { freePort, openShell, startRecorder } from './shell.ts'

/** The configuration of nginx, the purge commands and the CloudFront function of docs/cdn.md and docs/deployment.md. */
const cdn = await examplesOf('docs/cdn.md')
const deployment = await examplesOf('docs/deployment.md')
const noNginx = !isInstalled('nginx') && 'nginx is not installed (apt-get install nginx-light)'
const STORY = '01a205ad-87f4-77cd-a8d8-f60e2cbf53b1'

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
  const environment = { PATH: `${process.env.PATH}:/usr/sbin:/usr/local/sbin` }
  const tested = await run('nginx', [...program, '-t'], { env: environment })
  t.equal(tested.code, 0, tested.stderr)
  const child = spawn('nginx', program, { env: environment, stdio: 'ignore' })
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGTERM')
    await exited
  })
  const isUp = () =>
    fetch(`http://127.0.0.1:${port}/livez`).then(
      ({ ok }) => ok,
      () => false,
    )
  t.ok(await eventually(isUp), 'nginx passes on')
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

t.test('nginx of docs/cdn.md caches images, and forgets a story that is purged', { skip: noNginx }, async (t) => {
  const server = await startApp(t)
  const port = await freePort()
  const folder = folderOf(t)
  const cache = join(folder, 'cache')
  const changes = {
    '127.0.0.1:8000': `127.0.0.1:${server.port}`,
    'listen 80;': `listen 127.0.0.1:${port};`,
    '/var/cache/nginx/stories': cache,
  }
  await startNginx(t, folder, cdn('nginx', changes), port)
  const url = `http://127.0.0.1:${port}`
  const { story_id: id, image_paths: paths } = await upload(t, url)
  const other = await upload(t, url)
  const get = async (path = '', accept = '*/*') => {
    const answer = await fetch(url + path, { headers: { accept } })
    await answer.arrayBuffer()
    return `${answer.status} ${answer.headers.get('x-cache')}`
  }
  t.equal(await get(paths[0]), '200 MISS')
  t.equal(await get(paths[0]), '200 HIT')
  t.equal(await get(paths[0], 'image/avif,image/webp,*/*;q=0.8'), '200 MISS', 'another format is another version')
  t.equal(await get(paths[0], 'text/html,image/avif'), '200 HIT', 'another text that comes to the same is not')
  t.equal(await get(other.image_paths[0]), '200 MISS')
  t.match(await get('/api/v1/images'), '200 null', 'lists are no images')
  const formatFor = async (accept: string) => {
    const answer = await fetch(`${url}${paths[1]}?w=160`, { headers: { accept } })
    await answer.arrayBuffer()
    return `${answer.headers.get('content-type')} ${answer.headers.get('x-cache')}`
  }
  t.equal(await formatFor('image/avif,image/webp,*/*'), 'image/avif MISS')
  t.equal(await formatFor('image/webp,*/*'), 'image/webp MISS')
  t.equal(await formatFor('text/html,image/avif;q=0.9'), 'image/avif HIT')

  const shell = openShell(t, url, { accessKeyId: 'any', secretAccessKey: 'any' })
  const purge = cdn('nginx-purge', { '/var/cache/nginx/stories': cache })
  shell.command('purge', `STORY=$1\n${purge}`)
  const gone = await shell.run(cdn('delete-and-purge', { 'http://localhost:8000': url }), { STORY: id })
  t.equal(gone.code, 0, gone.stderr)
  t.equal(await get(paths[0]), '404 MISS')
  t.equal(await get(other.image_paths[0]), '200 HIT', 'another story stays')
})

t.test('the purge commands ask for the story of that id', async (t) => {
  const recorder = await startRecorder(t, '{"success": true}')
  const shell = openShell(t, recorder.url, { accessKeyId: 'any', secretAccessKey: 'any' })

  const cloudflare = cdn('cloudflare', { 'https://api.cloudflare.com': recorder.url })
  const sent = await shell.run(cloudflare, { STORY, ZONE: 'zone1', CLOUDFLARE_TOKEN: 'token1' })
  t.equal(sent.code, 0, sent.stderr)
  t.match(recorder.requests.at(-1), { method: 'POST', path: '/client/v4/zones/zone1/purge_cache' })
  t.same(JSON.parse(recorder.requests.at(-1)?.body ?? ''), { tags: [STORY] })

  const fastly = cdn('fastly', { 'https://api.fastly.com': recorder.url })
  t.equal((await shell.run(fastly, { STORY, SERVICE: 'service1', FASTLY_TOKEN: 'token1' })).code, 0)
  t.match(recorder.requests.at(-1), { method: 'POST', path: `/service/service1/purge/${STORY}` })
  t.equal(recorder.requests.at(-1)?.headers['fastly-key'], 'token1')
})

t.test('CloudFront: the AWS command line asks for the tag', { skip: !isInstalled('aws') && 'no aws' }, async (t) => {
  const recorder = await startRecorder(t, '<Invalidation><Id>I1</Id></Invalidation>')
  const shell = openShell(t, recorder.url, { accessKeyId: 'any', secretAccessKey: 'any' })
  const sent = await shell.run(cdn('cloudfront'), { STORY })
  t.equal(sent.code, 0, sent.stderr)
  t.match(recorder.requests.at(-1)?.path, '/distribution/E1EXAMPLE/invalidation')
  t.match(recorder.requests.at(-1)?.body, `<Path>#${STORY}</Path>`)
})

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
