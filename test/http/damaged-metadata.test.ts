import { readFile, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { buildApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { openDiskStore } from '../../src/store/disk/disk-store.ts'
import type { ObjectStore } from '../../src/store/object-store.ts'
import { placeStory, smallImage, startApp, storyId } from '../support/app.ts'
import { sample } from '../support/extent.ts'
import { PATIENCE } from '../support/patience.ts'
import { startS3StandIn } from '../support/s3-stand-in.ts'
import { makeFolder } from '../support/stores.ts'

const image = await smallImage()

/** A server over a disk store, of which some methods may be others, with a story of one image. */
async function serve(t: Test, change: (store: ObjectStore) => Partial<ObjectStore> = () => ({})) {
  const folder = await makeFolder(t)
  const disk = await openDiskStore(folder)
  const app = await buildApp(readConfig({ LOG_LEVEL: 'silent', MAX_EVENT_LOOP_DELAY: '1m' }), {
    ...disk,
    ...change(disk),
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => {
    const closed = app.close()
    app.server.closeAllConnections()
    return closed
  })
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  const form = new FormData()
  form.append('files', new Blob([new Uint8Array(image)]), 'a.png')
  const response = await fetch(`${url}/api/v1/images/upload`, { method: 'POST', body: form })
  const { story_id: id, image_paths: paths } = (await response.json()) as { story_id: string; image_paths: string[] }
  return { folder, url, id, path: paths[0] ?? '' }
}

async function ask(url: string, method = 'GET', headers: Record<string, string> = {}) {
  const response = await fetch(url, { method, headers, signal: AbortSignal.timeout(PATIENCE) })
  return { status: response.status, headers: response.headers, body: Buffer.from(await response.arrayBuffer()) }
}

/** Looks at an image in every way there is. */
async function isServed(t: Test, url: string, what: string) {
  const got = await ask(url)
  t.equal(got.status, 200, `${what}: GET`)
  t.ok(got.body.equals(image), `${what}: its bytes`)
  t.equal((await ask(url, 'HEAD')).status, 200, `${what}: HEAD`)
  t.equal((await ask(url, 'GET', { range: 'bytes=0-9' })).status, 206, `${what}: a range`)
  t.equal((await ask(url, 'GET', { 'if-none-match': '"x"' })).status, 200, `${what}: a condition`)
  const variant = await ask(`${url}?w=160&format=webp`)
  t.equal(variant.status, 200, `${what}: a variant`)
  t.equal(variant.headers.get('content-type'), 'image/webp', what)
  return got.headers
}

const DAMAGED = [
  '',
  '{',
  'null',
  '5',
  '"text"',
  '[]',
  '{}',
  '\0\0\0\0\0\0\0\0',
  '{"id":5,"contentType":"image/png","metadata":{}}',
  '{"id":"a","contentType":5,"metadata":{}}',
  '{"id":"a","contentType":"image/png","metadata":null}',
  '{"id":"a","contentType":"image/png","metadata":{"width":["8"],"height":{}}}',
  '{"id":"a\\r\\nX-Evil: 1","contentType":"image/png","metadata":{"width":"8","height":"8"}}',
  '{"id":"a\\"b","contentType":"image/png","metadata":{"width":"8","height":"8"}}',
]

t.test('an image whose hidden file is damaged is served without what that would say', async (t) => {
  const { folder, url, id, path } = await serve(t)
  const sidecar = join(folder, 'stories', id, '.1.png.json')
  const good = await readFile(sidecar, 'utf8')
  for (const text of sample(DAMAGED, 4)) {
    await writeFile(sidecar, text)
    const headers = await isServed(t, url + path, text)
    t.equal(headers.get('x-image-width'), null, `${text}: no width`)
    t.match(headers.get('etag'), /^"[\da-f]+-[\da-f]+-"$/, `${text}: an ETag`)
    t.equal(headers.get('x-evil'), null)
  }
  await writeFile(sidecar, good)
  t.equal((await isServed(t, url + path, 'good again')).get('x-image-width'), '8')
  await writeFile(sidecar, '{')
  t.equal((await ask(`${url}/api/v1/images`)).status, 200, 'it is listed')
  t.equal((await ask(`${url}/api/v1/images`, 'DELETE')).status, 200)
  t.equal((await ask(url + path)).status, 404, 'and it can be deleted')
})

t.test('a width and height that are not numbers are left out', async (t) => {
  const { folder, url, id, path } = await serve(t)
  const sidecar = join(folder, 'stories', id, '.1.png.json')
  const good = JSON.parse(await readFile(sidecar, 'utf8'))
  for (const side of sample(
    ['8\r\nX-Evil: 1', '８', '\0', '', ' 8', '-8', '0', '8.0', '1e3', '9'.repeat(100), '☃'.repeat(1000)],
    3,
  )) {
    for (const metadata of [
      { width: side, height: '8' },
      { width: '8', height: side },
      { width: side, height: side },
    ]) {
      await writeFile(sidecar, JSON.stringify({ ...good, metadata: { ...good.metadata, ...metadata } }))
      const headers = await isServed(t, url + path, JSON.stringify(metadata).slice(0, 60))
      t.equal(headers.get('x-image-width') ?? headers.get('x-image-height'), null)
      t.equal(headers.get('x-evil'), null)
    }
  }
})

const DAMAGED_TYPES = ['', 'text/html', 'image/☃', 'image/png\r\nX-Evil: 1', 'image/svg+xml', '__proto__']

t.test('a variant whose type is damaged comes with the type that was asked for', async (t) => {
  const { folder, url, id, path } = await serve(t)
  for (const [format, type] of [
    ['webp', 'image/webp'],
    ['avif', 'image/avif'],
    ['jpeg', 'image/jpeg'],
    ['auto', 'image/png'],
  ]) {
    const variant = `${url + path}?w=160&format=${format}`
    const made = await ask(variant)
    const file = join(folder, 'variants', id, `.1.png.160.${format === 'auto' ? 'plain' : format}.json`)
    const good = JSON.parse(await readFile(file, 'utf8'))
    for (const contentType of sample(DAMAGED_TYPES, 2)) {
      await writeFile(file, JSON.stringify({ ...good, contentType }))
      for (const method of ['GET', 'HEAD']) {
        const got = await ask(variant, method)
        t.equal(got.status, 200, `${format} ${contentType} ${method}`)
        t.equal(got.headers.get('content-type'), type)
        if (method === 'GET') t.ok(got.body.equals(made.body))
      }
    }
  }
})

t.test('what an S3 server says of an object that can not be sent on is left out', async (t) => {
  const standIn = await startS3StandIn()
  t.teardown(() => standIn.close())
  const { url } = await startApp(t, {}, standIn)
  const [key = ''] = placeStory(standIn, storyId(1), image)
  // As bytes of UTF-8
  const wide = Buffer.from('８').toString('latin1')
  for (const metadata of [
    { width: wide, height: wide },
    { width: 'x', height: '8' },
  ]) {
    standIn.place(key, image, { contentType: 'image/png', metadata: { 'written-by': 'story-images', ...metadata } })
    const headers = await isServed(t, `${url}/images/${key}`, JSON.stringify(metadata))
    t.equal(headers.get('x-image-width'), null)
  }
})

t.test('a date or an ETag that is none is left out', async (t) => {
  const damage = { etag: '"☃"', lastModified: new Date(Number.NaN) }
  const { url, path } = await serve(t, (disk) => ({
    get: async (...args) => ({ ...(await disk.get(...args)), ...damage }),
    head: async (...args) => ({ ...(await disk.head(...args)), ...damage }),
  }))
  for (const method of ['GET', 'HEAD']) {
    for (const condition of [{}, { 'if-modified-since': new Date().toUTCString() }, { 'if-none-match': '"x"' }]) {
      const got = await ask(url + path, method, condition as Record<string, string>)
      t.equal(got.status, 200)
      t.equal(got.headers.get('etag') ?? got.headers.get('last-modified'), null)
    }
  }
})
