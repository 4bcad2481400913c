import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import t from 'tap'
import {
  connectRaw,
  eventually,
  filePart,
  multipart,
  placeStory,
  smallImage,
  startApp,
  storyId,
  type Teardown,
} from '../support/app.ts'
import { bigImage } from '../support/images.ts'
import { startS3StandIn } from '../support/s3-stand-in.ts'

/**
 * A real nginx in front of the server, as it comes: HTTP/1.0 to the server, buffering on; and with a cache.
 *
 * The tests of this project need nothing but Node. On a machine without nginx these are left out, unless CI or TEST_NGINX=1
 * says that they have to run.
 */
const nginx = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  .map((folder) => join(folder, 'nginx'))
  .find((path) => existsSync(path))

if (nginx) run(nginx)
else if (process.env.CI || process.env.TEST_NGINX === '1') {
  t.fail('nginx is not installed; on Debian and Ubuntu "apt-get install nginx-light" does it')
} else t.plan(0, 'nginx is not installed (apt-get install nginx-light)')

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function startNginx(t: Teardown, binary: string, upstream: number, version: '1.0' | '1.1'): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'nginx-'))
  const port = await freePort()
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  writeFileSync(
    join(folder, 'nginx.conf'),
    `
    ${process.getuid?.() === 0 ? 'user root;' : ''}
    daemon off;
    worker_processes 1;
    pid ${folder}/nginx.pid;
    error_log ${folder}/error.log;
    events {}
    http {
      access_log off;
      ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n')}
      proxy_cache_path ${folder}/cache keys_zone=all:1m;
      server {
        listen 127.0.0.1:${port};
        client_max_body_size 0;
        location / {
          proxy_pass http://127.0.0.1:${upstream};
          ${version === '1.1' ? 'proxy_http_version 1.1; proxy_set_header Connection "";' : ''}
          proxy_cache all;
          add_header X-Cache $upstream_cache_status always;
        }
      }
    }`,
  )
  const child = spawn(binary, ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error.log')], {
    stdio: 'ignore',
  })
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGTERM')
    await exited
    rmSync(folder, { recursive: true })
  })
  const isUp = await eventually(() =>
    fetch(`http://127.0.0.1:${port}/livez`).then(
      (response) => response.ok,
      () => false,
    ),
  )
  if (!isUp) throw new Error(`nginx does not start: ${readFileSync(join(folder, 'error.log'), 'utf8')}`)
  return port
}

function run(binary: string): void {
  for (const version of ['1.0', '1.1'] as const) {
    t.test(`over HTTP/${version} to the server`, async (t) => {
      const image = await smallImage()
      const standIn = await startS3StandIn({ pageSize: 100 })
      t.teardown(() => standIn.close())
      const server = await startApp(t, {}, standIn)
      const port = await startNginx(t, binary, server.port, version)
      const url = `http://127.0.0.1:${port}`

      await t.test('a list that fails in the middle never looks like a whole one', async (t) => {
        // Less and more than what nginx buffers
        for (const stories of [150, 3000]) {
          standIn.objects.clear()
          for (let n = 1; n <= stories; n++) placeStory(standIn, storyId(n), image)
          const pages = (2 * stories) / 100
          for (const path of ['/api/v1/images', '/api/v1/images/story-ids']) {
            for (const page of [2, pages]) {
              standIn.fail({ operation: 'ListObjectsV2', nth: page }, 'access-denied', Number.POSITIVE_INFINITY)
              const what = `${path}, ${stories} stories, page ${page} of ${pages}`
              await t.rejects(
                fetch(url + path).then((response) => response.text()),
                what,
              )
              standIn.clearFaults()

              standIn.fail({ operation: 'ListObjectsV2', nth: page }, 'access-denied', Number.POSITIVE_INFINITY)
              const client = await connectRaw(port)
              await client.write(`GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`)
              await client.end()
              t.notOk(client.received.endsWith('\r\n0\r\n\r\n'), `${what}: has no last chunk`)
              standIn.clearFaults()
            }
            const response = await fetch(url + path)
            t.equal(((await response.json()) as unknown[]).length, stories, `${path}: the next one is whole`)
            t.not(response.headers.get('x-cache'), 'HIT')
          }
        }
      })

      await t.test('no list and no error is ever cached', async (t) => {
        for (const path of ['/api/v1/images', '/api/v1/images/story-ids', `/api/v1/images/${storyId(1)}`, '/nowhere']) {
          for (let n = 0; n < 3; n++) {
            const response = await fetch(url + path)
            await response.arrayBuffer()
            t.equal(response.headers.get('x-cache'), 'MISS', path)
          }
        }
        standIn.fail({ operation: 'ListObjectsV2' }, 'access-denied')
        const failed = await fetch(`${url}/api/v1/images`)
        t.equal(failed.status, 500)
        t.same(Object.keys((await failed.json()) as object), ['detail'])
        standIn.clearFaults()
        t.equal((await fetch(`${url}/api/v1/images?limit=1`)).status, 200)
      })

      await t.test('an image comes from the cache from the second time on, and so do its ranges', async (t) => {
        const large = await bigImage(300_000)
        for (const [id, bytes] of [
          [storyId(4001), image],
          [storyId(4002), large],
        ] as const) {
          placeStory(standIn, id, bytes)
          const path = `/images/stories/${id}/1.png`
          const missing = await fetch(`${url}/images/stories/${id}/2.png`)
          t.equal(missing.status, 404)
          await missing.arrayBuffer()
          for (const expected of ['MISS', 'HIT', 'HIT']) {
            const response = await fetch(url + path)
            t.ok(Buffer.from(await response.arrayBuffer()).equals(bytes))
            t.equal(response.headers.get('x-cache'), expected)
            t.equal(response.headers.get('content-type'), 'image/png')
            t.equal(response.headers.get('x-image-width'), '8')
          }
          const before = standIn.calls.length
          const range = await fetch(url + path, { headers: { range: 'bytes=10-59' } })
          t.equal(range.status, 206)
          t.equal(range.headers.get('content-range'), `bytes 10-59/${bytes.length}`)
          t.ok(Buffer.from(await range.arrayBuffer()).equals(bytes.subarray(10, 60)))
          const etag = range.headers.get('etag') ?? ''
          const same = await fetch(url + path, { headers: { 'if-none-match': etag } })
          t.equal(same.status, 304)
          t.equal(standIn.calls.length, before, 'without a call to the store')
        }
      })

      await t.test('an image that breaks off in the store is neither whole nor cached', async (t) => {
        const bytes = await bigImage(500_000)
        placeStory(standIn, storyId(4003), bytes)
        const path = `/images/stories/${storyId(4003)}/1.png`
        for (const fault of ['reset-mid-response-body', 'stall-mid-body'] as const) {
          standIn.fail({ operation: 'GetObject' }, fault)
          await t.rejects(
            fetch(url + path).then((response) => response.arrayBuffer()),
            fault,
          )
          standIn.clearFaults()
        }
        const response = await fetch(url + path)
        t.equal(response.headers.get('x-cache'), 'MISS')
        t.ok(Buffer.from(await response.arrayBuffer()).equals(bytes))
      })

      await t.test('an upload is stored, and a refused one is answered with the reason', async (t) => {
        const send = (body: Buffer) =>
          fetch(`${url}/api/v1/images/upload`, {
            method: 'POST',
            headers: { 'content-type': 'multipart/form-data; boundary=XX' },
            body: Uint8Array.from(body),
          })
        const stored = await send(multipart([filePart(await bigImage(3_000_000)), filePart(image)]))
        t.equal(stored.status, 200)
        t.match(await stored.json(), { image_count: 2 })
        const refused = await send(multipart([filePart('no image'), filePart(Buffer.alloc(8_000_000))]))
        t.equal(refused.status, 415)
        t.match(await refused.json(), { detail: /File 1 is not/ })
      })
    })
  }
}
