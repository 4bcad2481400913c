import { makeImage } from '../support/images.ts'
import { get, IMAGES, listImages, remove, STORY_IDS, someImages, upload } from './client.ts'
import { onEachStore } from './stores.ts'

const IMPORTED = '2acfa514-2915-4a9d-8a3a-338d52bd0d9e'

onEachStore('a story that was copied in by hand is a story like any other', async (t, server, store) => {
  const jpg = await makeImage({ type: 'jpg' })
  const png = await makeImage({ type: 'png' })
  const names = ['1.jpg', '2.png', '3.jpeg', '10.webp', '12.gif']
  const begin = Math.floor(Date.now() / 1000) * 1000
  for (const name of names) {
    await store.place(`stories/${IMPORTED}/${name}`, name.endsWith('png') ? png : jpg, 'application/octet-stream')
  }
  const own = await upload(server, await someImages(1))

  const story = await listImages(server, `${IMAGES}/${IMPORTED}`)
  t.same(
    story.map(({ id, path }) => [id, path]),
    [1, 2, 3, 10, 12].map((id, index) => [String(id), `/images/stories/${IMPORTED}/${names[index]}`]),
  )
  for (const { path, created_at } of story) {
    t.match(created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    t.ok(Date.parse(created_at) >= begin - 1000 && Date.parse(created_at) <= Date.now() + 1000, 'when it was copied in')
    const modified = (await get(server, path)).headers['last-modified'] ?? ''
    t.equal(Date.parse(created_at), Date.parse(modified), 'created_at is Last-Modified')
  }
  t.same((await get(server, STORY_IDS)).json(), [own.story_id, IMPORTED].sort())
  t.same((await listImages(server)).length, 6)

  for (const name of names) {
    const answer = await get(server, `/images/stories/${IMPORTED}/${name}`)
    t.equal(answer.status, 200)
    t.ok(answer.body.equals(name.endsWith('png') ? png : jpg))
    const type = { jpg: 'image/jpeg', jpeg: 'image/jpeg', png: 'image/png', webp: 'image/webp', gif: 'image/gif' }
    t.equal(answer.headers['content-type'], type[name.split('.')[1] as keyof typeof type], 'the name tells the type')
    t.notOk('x-image-width' in answer.headers)
  }

  t.equal((await remove(server, `${IMAGES}/${IMPORTED}`)).status, 200)
  t.equal((await remove(server, `${IMAGES}/${IMPORTED}`)).status, 404)
  t.same((await get(server, STORY_IDS)).json(), [own.story_id])
})

onEachStore('delete-all takes stories that were copied in, and no other files', async (t, server, store) => {
  const jpg = await makeImage({ type: 'jpg' })
  const strangers = [
    'stories/README.txt',
    `stories/${IMPORTED}/notes.txt`,
    `stories/${IMPORTED}/01.jpg`,
    'stories/not-a-uuid/1.jpg',
    'other/1.jpg',
  ]
  for (const key of strangers) await store.place(key, jpg)
  t.same(await listImages(server), [], 'what is not of our layout is not listed')
  t.equal((await get(server, `${IMAGES}/${IMPORTED}`)).status, 404)
  t.equal((await get(server, `/images/stories/${IMPORTED}/notes.txt`)).status, 404)
  await store.place(`stories/${IMPORTED}/1.jpg`, jpg)
  t.equal((await listImages(server)).length, 1)
  t.equal((await remove(server, IMAGES)).status, 200)
  t.same(await listImages(server), [])
  t.same(
    (await store.content()).filter((key) => !key.endsWith('/')),
    [...strangers].sort(),
  )
})

onEachStore('images with an id of ours but without their record are no story', async (t, server, store) => {
  const jpg = await makeImage({ type: 'jpg' })
  const id = '01900000-0000-7000-8000-000000000000'
  for (const name of ['1.jpg', '2.jpg']) await store.place(`stories/${id}/${name}`, jpg)
  const isHidden = async (what: string) => {
    t.same(await listImages(server), [], what)
    t.equal((await get(server, `${IMAGES}/${id}`)).status, 404, what)
  }
  await isHidden('no record')
  await store.place(`stories/${id}/0.3.json`, Buffer.from('{}'))
  await isHidden('a record of more images than there are')
  t.equal((await remove(server, `${IMAGES}/${id}`)).status, 200, 'a delete removes what is left')
  t.same(await store.content(), [])
})
