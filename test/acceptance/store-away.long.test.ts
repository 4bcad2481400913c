import t from 'tap'
import { makeImage } from '../support/images.ts'
import { startS3StandIn } from '../support/s3-stand-in.ts'
import {
  get,
  IMAGES,
  isError,
  type ListedImage,
  listImages,
  post,
  remove,
  STORY_IDS,
  send,
  someImages,
  type Uploaded,
  until,
  upload,
} from './client.ts'
import { serverOn, standInEnvironment, standInStore } from './stores.ts'

t.test('a server whose store is out of reach says so, and recovers by itself once the store comes', async (t) => {
  const store = await standInStore(t)
  const { standIn } = store
  await standIn.stop()
  const server = await serverOn(t, store)
  const body = await makeImage({ type: 'jpg' })
  const story = '01900000-0000-7000-8000-000000000000'

  const unavailable = async () => {
    const answers = {
      'the list': await get(server, IMAGES),
      'a page': await get(server, `${IMAGES}?limit=1`),
      'the ids': await get(server, STORY_IDS),
      'a story': await get(server, `${IMAGES}/${story}`),
      'an image': await get(server, `/images/stories/${story}/1.jpg`),
      'an upload': await post(server, [{ body }, { body }]),
      'a delete': await remove(server, `${IMAGES}/${story}`),
      'a delete-all': await remove(server, IMAGES),
    }
    for (const [what, answer] of Object.entries(answers)) {
      isError(t, answer, 503, /^The image store cannot be reached; try again/, what)
      t.match(answer.headers['retry-after'], /^[1-9]\d*$/, `${what}: when to try again`)
      t.equal(answer.headers['cache-control'], 'no-store', `${what}: is not cached`)
      t.notMatch(answer.body.toString(), /127\.0\.0\.1|ECONN|images"|stand-in/, `${what}: tells nothing of the inside`)
    }
    t.equal((await send(server, 'HEAD', `/images/stories/${story}/1.jpg`)).status, 503)
    t.equal((await get(server, '/livez')).status, 200)
    isError(t, await get(server, `${IMAGES}/no-uuid`), 404, /no story/, 'what needs no store works')
  }
  await unavailable()
  isError(t, await get(server, '/readyz'), 503, /^The image store cannot be reached; try again/, '/readyz')

  await standIn.start()
  await until('it is ready', async () => (await get(server, '/readyz')).status === 200)
  for (const path of ['/livez', '/readyz']) {
    const answer = await get(server, path)
    t.equal(answer.status, 200)
    t.equal(answer.headers['cache-control'], 'no-store')
  }
  t.same(await listImages(server), [])
  const { story_id } = await upload(server, [body])
  t.same(
    (await listImages(server)).map((image) => image.story_id),
    [story_id],
  )

  await standIn.stop()
  await unavailable()
  await standIn.start()
  t.equal((await listImages(server)).length, 1)
  t.equal((await remove(server, `${IMAGES}/${story_id}`)).status, 200)
  t.same(await store.content(), [])
})

t.test('a bucket that is not there or not ours is a 500 without its name', async (t) => {
  const standIn = await startS3StandIn()
  t.teardown(() => standIn.close())
  const missing = { name: 'x', environment: { ...standInEnvironment(standIn), S3_BUCKET: 'missing-bucket' } }
  const server = await serverOn(t, { ...missing, content: async () => [], place: async () => {} })
  const answer = await get(server, IMAGES)
  isError(t, answer, 500, /^The image store failed to do this/)
  t.notMatch(answer.body.toString(), /missing-bucket/)
  t.notOk((await get(server, '/readyz')).status === 200, 'and the server is not ready')
})

t.test('an upload that the store refuses is answered and leaves nothing', async (t) => {
  const store = await standInStore(t)
  const { standIn } = store
  const server = await serverOn(t, store)
  const images = await someImages(3)
  const parts = images.map((body) => ({ body }))
  standIn.fail({ operation: 'PutObject', key: /\/2\./ }, 'storage-full')
  const full = await post(server, parts)
  isError(t, full, 507, /store is full/)
  t.match(full.headers['retry-after'], /^\d+$/)
  t.same(await listImages(server), [])
  t.same(await store.content(), [])

  standIn.clearFaults()
  standIn.fail({ operation: 'PutObject', key: /\/0\.3\.json/ }, 'status-500')
  const noRecord = await post(server, parts)
  isError(t, noRecord, 503, /./, 'no record')
  t.same(await listImages(server), [])
  t.same(await store.content(), [])

  standIn.clearFaults()
  standIn.fail({ operation: 'PutObject', key: /\/0\.3\.json/ }, 'answer-lost', 3)
  const lost = await post(server, parts)
  t.equal(lost.status, 200, 'a record whose answers got lost is found: the upload succeeded')
  t.equal((await listImages(server, `${IMAGES}/${lost.json<Uploaded>().story_id}`)).length, 3)
})

t.test('an upload that may or may not be there says so, and then is entirely there or not at all', async (t) => {
  const store = await standInStore(t)
  const { standIn } = store
  const server = await serverOn(t, store)
  standIn.onCall = async ({ operation, key }) => {
    if (operation === 'PutObject' && key.includes('/0.')) void standIn.stop()
  }
  const answer = await post(
    server,
    (await someImages(3)).map((body) => ({ body })),
  )
  standIn.onCall = undefined
  isError(t, answer, 503, /outcome is unknown.*either completely or not at all/)
  t.match(answer.headers['retry-after'], /^\d+$/)
  await standIn.start()
  const listed: ListedImage[] = await listImages(server)
  t.ok([0, 3].includes(listed.length), `${listed.length} images are listed`)
})
