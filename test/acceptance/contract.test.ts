import { randomUUID } from 'node:crypto'
import { makeImage } from '../support/images.ts'
import {
  get,
  IMAGES,
  type ListedImage,
  listImages,
  MULTIPART,
  multipart,
  post,
  remove,
  STORY_IDS,
  send,
  someImages,
  UPLOAD,
  type Uploaded,
  upload,
} from './client.ts'
import { onEachStore } from './stores.ts'

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const JSON_TYPE = 'application/json; charset=utf-8'
const DELETED = { success: true, message: 'Images deleted successfully' }
const ALL_DELETED = { success: true, message: 'All images deleted successfully' }

onEachStore('an empty store has empty lists, and deleting all of nothing is a success', async (t, server, store) => {
  for (const path of [IMAGES, STORY_IDS]) {
    const answer = await get(server, path)
    t.equal(answer.status, 200)
    t.equal(answer.body.toString(), '[]')
    t.equal(answer.headers['content-type'], JSON_TYPE)
  }
  for (let time = 1; time <= 2; time++) {
    const answer = await remove(server, IMAGES)
    t.equal(answer.status, 200)
    t.same(answer.json(), ALL_DELETED)
    t.equal(answer.headers['content-type'], JSON_TYPE)
  }
  t.same(await store.content(), [])
})

onEachStore('a story of 12 images goes through all six endpoints as the contract says', async (t, server, store) => {
  const images = await someImages(12, ['jpg', 'png', 'gif', 'webp', 'avif'])
  const before = Math.floor(Date.now() / 1000) * 1000
  const answer = await post(
    server,
    images.map((body) => ({ body })),
  )
  const after = Date.now()
  t.equal(answer.status, 200)
  t.equal(answer.headers['content-type'], JSON_TYPE)
  const uploaded = answer.json<Uploaded>()
  const id = uploaded.story_id
  t.match(id, UUID_V7)
  const extensions = ['jpg', 'png', 'gif', 'webp', 'avif']
  const paths = images.map((_, index) => `/images/stories/${id}/${index + 1}.${extensions[index % 5]}`)
  t.strictSame(uploaded, { story_id: id, image_paths: paths, image_count: 12 })
  t.same(Object.keys(uploaded), ['story_id', 'image_paths', 'image_count'])

  const listed = await get(server, `${IMAGES}/${id}`)
  t.equal(listed.status, 200)
  t.equal(listed.headers['content-type'], JSON_TYPE)
  const story = listed.json<ListedImage[]>()
  const created = story[0]?.created_at ?? ''
  t.match(created, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  t.ok(Date.parse(created) >= before && Date.parse(created) <= after, 'created_at is the time of the upload')
  const expected = paths.map((path, index) => ({ id: String(index + 1), story_id: id, path, created_at: created }))
  t.strictSame(story, expected)
  for (const image of story) t.same(Object.keys(image), ['id', 'story_id', 'path', 'created_at'])

  t.strictSame(await listImages(server), expected)
  t.strictSame((await get(server, STORY_IDS)).json(), [id])
  for (const [index, path] of paths.entries()) {
    t.ok((await get(server, path)).body.equals(images[index] ?? Buffer.alloc(0)), `${path} is what was sent`)
  }

  const deleted = await remove(server, `${IMAGES}/${id}`)
  t.equal(deleted.status, 200)
  t.equal(deleted.headers['content-type'], JSON_TYPE)
  t.strictSame(deleted.json(), DELETED)
  t.equal((await get(server, `${IMAGES}/${id}`)).status, 404)
  t.equal((await get(server, paths[0] ?? '')).status, 404)
  t.same(await listImages(server), [])
  t.same(await store.content(), [])
})

onEachStore('lists show stories in the order of upload, and delete-all removes every one', async (t, server, store) => {
  const images = await someImages(3)
  const stories: Uploaded[] = []
  for (let count = 1; count <= 3; count++) stories.push(await upload(server, images.slice(0, count)))
  const ids = stories.map(({ story_id }) => story_id)
  t.same(ids, [...ids].sort())
  t.same((await get(server, STORY_IDS)).json(), ids)
  t.same(
    (await listImages(server)).map(({ path }) => path),
    stories.flatMap(({ image_paths }) => image_paths),
  )
  const answer = await remove(server, IMAGES)
  t.equal(answer.status, 200)
  t.strictSame(answer.json(), ALL_DELETED)
  t.same(await listImages(server), [])
  t.same((await get(server, STORY_IDS)).json(), [])
  t.same(await store.content(), [])
})

onEachStore('the bytes decide what an image is, not its name and type', async (t, server) => {
  const jpg = await makeImage({ type: 'jpg' })
  const png = await makeImage({ type: 'png' })
  const answer = await post(server, [
    { filename: 'picture.png', type: 'text/plain', body: jpg },
    { filename: '../../etc/passwd', type: 'image/jpeg', body: png },
    { filename: '', type: 'application/octet-stream', body: jpg },
  ])
  t.equal(answer.status, 200, answer.body.toString())
  const { image_paths } = answer.json<Uploaded>()
  t.same(
    image_paths.map((path) => path.split('/').at(-1)),
    ['1.jpg', '2.png', '3.jpg'],
  )
  t.equal((await get(server, image_paths[0] ?? '')).headers['content-type'], 'image/jpeg')
  t.equal((await get(server, image_paths[1] ?? '')).headers['content-type'], 'image/png')
})

onEachStore('text fields beside the images are fine, and so is a chunked body', async (t, server) => {
  const body = await makeImage({ type: 'png' })
  const parts = [
    { name: 'title', filename: null, body: 'A story' },
    { body },
    { name: 'author', filename: null, body: 'x'.repeat(1024) },
  ]
  const sized = await post(server, parts)
  t.equal(sized.status, 200, sized.body.toString())
  t.equal(sized.json<Uploaded>().image_count, 1)
  const chunked = await send(server, 'POST', UPLOAD, {
    headers: { ...MULTIPART, 'transfer-encoding': 'chunked' },
    body: multipart(parts),
  })
  t.equal(chunked.status, 200, chunked.body.toString())
  t.equal(chunked.json<Uploaded>().image_count, 1)
})

onEachStore('a DELETE that says JSON and has no body is fine', async (t, server, store) => {
  const headers = { 'content-type': 'application/json' }
  const { story_id } = await upload(server, await someImages(1))
  await upload(server, await someImages(2))
  const one = await send(server, 'DELETE', `${IMAGES}/${story_id}`, { headers })
  t.equal(one.status, 200, one.body.toString())
  t.strictSame(one.json(), DELETED)
  const all = await send(server, 'DELETE', IMAGES, { headers: { ...headers, 'content-length': '0' } })
  t.equal(all.status, 200, all.body.toString())
  t.strictSame(all.json(), ALL_DELETED)
  t.same(await store.content(), [])
})

onEachStore('a story that was never there can not be deleted, and nothing else is', async (t, server) => {
  const { story_id } = await upload(server, await someImages(1))
  for (const id of [randomUUID(), story_id.replace(/.$/, (last) => (last === '0' ? '1' : '0')), 'no-uuid']) {
    t.equal((await remove(server, `${IMAGES}/${id}`)).status, 404)
  }
  t.same((await get(server, STORY_IDS)).json(), [story_id])
})

onEachStore('a deletion can be undone where it says so, and nowhere else', async (t, server) => {
  const images = await someImages(3)
  const made = []
  for (let n = 0; n < 3; n++) made.push(await upload(server, images))
  const { story_id: id = '', image_paths: paths = [] } = made[1] ?? {}
  const before = await listImages(server)
  const { headers } = await remove(server, `${IMAGES}/${id}`)
  const isRestorable = headers['restorable-until'] !== undefined
  const answer = await send(server, 'POST', `${IMAGES}/${id}/restore`)
  t.equal(answer.status, isRestorable ? 200 : 404)
  t.same(
    await listImages(server),
    before.filter(({ story_id }) => isRestorable || story_id !== id),
  )
  for (const [at, path] of paths.entries()) {
    const { status, body } = await get(server, path)
    t.equal(status, isRestorable ? 200 : 404)
    if (isRestorable) t.ok(body.equals(images[at] as Buffer), `${path}, byte for byte`)
  }
})
