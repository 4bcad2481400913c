import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startServer } from '../support/server-process.ts'
import { get, IMAGES, listImages, post, remove, STORY_IDS, type Uploaded } from './client.ts'
import { diskStore } from './stores.ts'
import { threeImages, wholeStories } from './whole-stories.ts'

t.test('a server that writes to disk and is killed, now or later, leaves whole stories only', async (t) => {
  const store = await diskStore(t)
  const images = await threeImages()
  const parts = images.map((body) => ({ body }))
  const acknowledged = new Set<string>()
  let server = await startServer(store.environment)
  t.teardown(() => server.kill())
  const begin = performance.now()
  acknowledged.add((await post(server, parts)).json<Uploaded>().story_id)
  // Up to a little more than an upload takes, which depends on the disk
  const step = Math.max(1, (performance.now() - begin) * 1.3) / 30
  for (let kill = 0; kill < 30; kill++) {
    const uploading = post(server, parts).then(
      (answer) => acknowledged.add(answer.json<Uploaded>().story_id),
      () => {},
    )
    await sleep(kill * step)
    await server.kill()
    await uploading
    server = await startServer(store.environment)
    const ids = (await get(server, STORY_IDS)).json<string[]>()
    t.same(
      [...acknowledged].filter((id) => !ids.includes(id)),
      [],
      `kill ${kill}: what was acknowledged is there`,
    )
  }
  const ids = await wholeStories(t, server, images, 'after 30 kills')
  t.comment(
    `${ids.length} stories are there, ${acknowledged.size} were acknowledged; a kill every ${step.toFixed(1)} ms`,
  )

  for (let kill = 0; kill < 5; kill++) {
    const deleting = remove(server, IMAGES).catch(() => {})
    await sleep(kill)
    await server.kill()
    await deleting
    server = await startServer(store.environment)
    await wholeStories(t, server, images, `delete ${kill}`)
  }
  t.equal((await remove(server, IMAGES)).status, 200)
  t.same(await listImages(server), [])
})
