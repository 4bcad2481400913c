import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { forEach, until } from '../support/bodies.ts'
import { sample } from '../support/extent.ts'
import { makeImage } from '../support/images.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'
import { get, IMAGES, remove, type Uploaded, upload } from './client.ts'
import { diskStore, onEachStore } from './stores.ts'

const photo = await makeImage({ type: 'jpg', width: 2000, height: 1500, orientation: 6 })
const animation = await makeImage({ type: 'gif', width: 400, height: 300, animated: true })

const uploaded = (server: ServerProcess, ...images: Buffer[]): Promise<Uploaded> => upload(server, images)

/** Returns the ids of a server's workers (Linux, proc(5)). */
function workersOf({ pid }: Pick<ServerProcess, 'pid'>): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
}

onEachStore(
  'a variant is made once, kept outside of the stories, and deleted with its story',
  async (t, server, store) => {
    const { story_id: id, image_paths: paths } = await uploaded(server, photo, animation)
    const [still = '', moving = ''] = paths
    const accept = { accept: 'image/avif,image/webp,*/*' }
    const before = await store.content()
    const first = await get(server, `${still}?w=320`, accept)
    t.equal(first.status, 200)
    t.match(first.headers, {
      'content-type': 'image/avif',
      'x-image-width': '320',
      'x-image-height': '427',
      vary: 'Accept',
    })
    t.equal(first.headers['content-length'], String(first.body.length))
    const animated = await get(server, `${moving}?w=160&format=webp`)
    t.match(animated.headers, { 'content-type': 'image/webp', 'x-image-width': '160' })
    const kept = (await store.content()).filter(
      (key) => !before.includes(key) && !key.endsWith('.json') && !key.endsWith('/'),
    )
    t.same(kept, [`variants/${id}/1.jpg.320.avif`, `variants/${id}/2.gif.160.webp`])
    const again = await get(server, `${still}?w=320`, { ...accept, 'if-none-match': first.headers.etag })
    t.equal(again.status, 304)
    t.ok((await get(server, `${still}?w=320`, accept)).body.equals(first.body))
    t.equal((await get(server, `/api/v1/images/${id}`)).json<unknown[]>().length, 2)
    t.equal((await remove(server, `/api/v1/images/${id}`)).status, 200)
    t.same(await store.content(), [])
    t.equal((await get(server, `${still}?w=320`, accept)).status, 404)
  },
)

onEachStore('deleting every story deletes every variant', async (t, server, store) => {
  const paths = await Promise.all([photo, animation, photo].map((image) => uploaded(server, image)))
  await forEach(paths, async ({ image_paths: [path] }) => {
    t.equal((await get(server, `${path}?w=160`)).status, 200)
  })
  t.equal((await remove(server, IMAGES)).status, 200)
  t.same(await store.content(), [])
})

t.test('when a server is killed its workers end, even in the middle of a job', async (t) => {
  for (const isBusy of sample([true, false], 1)) {
    const server = await startServer((await diskStore(t)).environment)
    t.teardown(() => server.kill())
    const { image_paths: paths } = await uploaded(server, photo)
    t.equal((await get(server, `${paths[0]}?w=160`)).status, 200)
    const [worker] = workersOf(server)
    t.ok(worker)
    const cut = isBusy ? t.rejects(get(server, `${paths[0]}?w=1920&format=avif`)) : undefined
    await server.kill()
    await cut
    await until(() => !existsSync(`/proc/${worker}`))
  }
})
