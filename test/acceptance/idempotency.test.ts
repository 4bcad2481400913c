import t from 'tap'
import { startServer } from '../support/server-process.ts'
import {
  get,
  IMAGES,
  isError,
  listImages,
  MULTIPART,
  multipart,
  remove,
  send,
  someImages,
  UPLOAD,
  type Uploaded,
} from './client.ts'
import { openers } from './stores.ts'

const [first, second] = (await someImages(2)) as [Buffer, Buffer]

for (const [name, open] of openers) {
  t.test(`an upload that is sent again with its Idempotency-Key makes one story: ${name}`, async (t) => {
    const store = await open(t)
    let server = await startServer(store.environment)
    t.teardown(() => server.kill())
    const upload = (key: string, ...images: Buffer[]) =>
      send(server, 'POST', UPLOAD, {
        headers: { ...MULTIPART, 'idempotency-key': key },
        body: multipart(images.map((body) => ({ body }))),
      })

    const answer = await upload('story-1', first, second)
    t.equal(answer.status, 200)
    t.equal(answer.headers['idempotent-replayed'], undefined)
    const again = await upload('story-1', first, second)
    t.equal(again.status, 200)
    t.equal(again.headers['idempotent-replayed'], 'true')
    t.same(again.json(), answer.json())
    t.equal((await listImages(server)).length, 2)

    isError(t, await upload('story-1', second), 422, /Idempotency-Key was used for an upload with other images/)
    t.equal((await upload('"story-1"', second)).status, 200, 'another key')
    for (const key of ['', 'two words', 'ü', 'x'.repeat(256)]) {
      isError(t, await upload(Buffer.from(key).toString('latin1'), first), 400, /1 to 255 visible ASCII characters/)
    }

    const { story_id } = answer.json<Uploaded>()
    t.equal((await remove(server, `${IMAGES}/${story_id}`)).status, 200)
    await server.kill()
    server = await startServer(store.environment)
    t.same((await upload('story-1', first, second)).json(), answer.json(), 'any server remembers, and for deleted ones')
    t.equal((await get(server, `${IMAGES}/${story_id}`)).status, 404)
    t.equal((await listImages(server)).length, 1)

    const both = await Promise.all([upload('at-once', first), upload('at-once', first), upload('at-once', first)])
    for (const { status, headers } of both) {
      t.ok(status === 200 || (status === 409 && headers['retry-after']), `status ${status}`)
    }
    t.equal((await upload('at-once', first)).status, 200)
    t.equal((await listImages(server)).length, 2)
  })
}
