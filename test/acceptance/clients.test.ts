import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { ALL, sample } from '../support/extent.ts'
import { bigImage, makeImage, paddedPng } from '../support/images.ts'
import { get, IMAGES, type ListedImage, remove, someImages, UPLOAD, type Uploaded } from './client.ts'
import { pythonWithRequests } from './python.ts'
import { onEachStore } from './stores.ts'

const MIB = 1024 * 1024
const LARGE = ALL ? 40_000_000 : 12_000_000
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

onEachStore('the Python example of the contract works as it is written', async (t, server) => {
  const { python, environment } = await pythonWithRequests(t)
  const folder = await mkdtemp(join(tmpdir(), 'story-images-client-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const images = await someImages(2)
  for (const [index, image] of images.entries()) await writeFile(join(folder, `image${index + 1}.jpg`), image)
  const program = `
import hashlib, json, requests, sys
server = sys.argv[1]
files = [
    ('files', ('image1.jpg', open('image1.jpg', 'rb'), 'image/jpeg')),
    ('files', ('image2.jpg', open('image2.jpg', 'rb'), 'image/jpeg')),
]
response = requests.post(f'{server}/api/v1/images/upload', files=files)
response.raise_for_status()
story_id = response.json()['story_id']
images = requests.get(f'{server}/api/v1/images/{story_id}').json()
digests = [hashlib.sha256(requests.get(server + image['path']).content).hexdigest() for image in images]
ids = requests.get(f'{server}/api/v1/images/story-ids').json()
deleted = requests.delete(f'{server}/api/v1/images/{story_id}').json()
print(json.dumps([response.json(), images, digests, ids, deleted]))
`
  const { stdout } = await promisify(execFile)(python, ['-c', program, server.url], { cwd: folder, env: environment })
  const [uploaded, listed, digests, ids, deleted] = JSON.parse(stdout) as [Uploaded, ListedImage[], ...unknown[]]
  t.equal(uploaded.image_count, 2)
  t.same(
    listed.map(({ path }) => path),
    uploaded.image_paths,
  )
  t.same(digests, images.map(sha256))
  t.same(ids, [uploaded.story_id])
  t.strictSame(deleted, { success: true, message: 'Images deleted successfully' })
})

/** Uploads with `fetch` and a `FormData`, as a browser does, then checks every byte. */
async function roundTrip(t: Test, url: string, images: readonly Buffer[]): Promise<Uploaded> {
  const form = new FormData()
  for (const [index, image] of images.entries()) {
    form.append('files', new Blob([new Uint8Array(image)], { type: 'image/jpeg' }), `picture ${index} é.jpg`)
  }
  const response = await fetch(url + UPLOAD, { method: 'POST', body: form })
  const uploaded = (await response.json()) as Uploaded
  t.equal(response.status, 200, JSON.stringify(uploaded).slice(0, 200))
  t.equal(uploaded.image_count, images.length)
  t.equal(uploaded.image_paths.length, images.length)
  const listed = (await (await fetch(`${url}${IMAGES}/${uploaded.story_id}`)).json()) as ListedImage[]
  t.same(
    listed.map(({ id, path }) => [id, path]),
    uploaded.image_paths.map((path, index) => [String(index + 1), path]),
  )
  const read = await Promise.all(
    uploaded.image_paths.map(async (path) => sha256(new Uint8Array(await (await fetch(url + path)).arrayBuffer()))),
  )
  t.same(read, images.map(sha256), 'every byte comes back')
  return uploaded
}

onEachStore('fetch and FormData upload one image, two, and a hundred', async (t, server, store) => {
  for (const count of [1, 2, 100]) {
    const { story_id } = await roundTrip(t, server.url, await someImages(count, ['jpg', 'png', 'webp']))
    t.equal((await remove(server, `${IMAGES}/${story_id}`)).status, 200)
  }
  t.same(await store.content(), [])
})

onEachStore('images of every type and kind come back as they were sent', async (t, server) => {
  await roundTrip(
    t,
    server.url,
    await Promise.all([
      makeImage({ type: 'jpg', progressive: true }),
      makeImage({ type: 'jpg', orientation: 8, profileBytes: 300_000 }),
      makeImage({ type: 'png' }),
      makeImage({ type: 'gif', animated: true }),
      makeImage({ type: 'webp', animated: true }),
      makeImage({ type: 'webp', lossless: true }),
      makeImage({ type: 'avif' }),
    ]),
  )
})

onEachStore('images around the size of a part of S3, and a large one, come back whole', async (t, server, store) => {
  const png = await makeImage({ type: 'png' })
  const sized = (bytes: number) => paddedPng(png, bytes)
  const small = await someImages(2)
  const sizes = sample([5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 10 * MIB, 10 * MIB + 1], 2).map(sized)
  await roundTrip(t, server.url, [...small, ...sizes, ...small])
  const { story_id, image_paths } = await roundTrip(t, server.url, [await bigImage(LARGE), ...small])
  t.ok(Number((await get(server, image_paths[0] ?? '')).headers['content-length']) >= LARGE)
  t.equal((await remove(server, `${IMAGES}/${story_id}`)).status, 200)
  await remove(server, IMAGES)
  t.same(await store.content(), [])
})

onEachStore('several clients at once each get their own story', async (t, server) => {
  const images = await someImages(6)
  const stories = await Promise.all(
    images.map((image, index) => roundTrip(t, server.url, images.slice(0, index).concat(image))),
  )
  t.equal(new Set(stories.map(({ story_id }) => story_id)).size, stories.length)
})
