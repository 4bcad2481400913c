import { randomUUID } from 'node:crypto'
import { get, IMAGES, isError, type ListedImage, listImages, remove, STORY_IDS, someImages, upload } from './client.ts'
import { onEachStore } from './stores.ts'

const NEXT = /^<(\?order=newest&limit=\d+&cursor=[0-9a-f-]{36})>; rel="next"$/

onEachStore('pages of the newest first hold every image once, and lead to each other', async (t, server, store) => {
  const images = await someImages(3)
  for (let n = 0; n < 5; n++) await upload(server, images.slice(0, 1 + (n % 3)))
  const imported = `2${randomUUID().slice(1)}`
  await store.place(`stories/${imported}/1.jpg`, images[0] as Buffer)
  const ids = (await get(server, STORY_IDS)).json<string[]>()
  const expected = [...ids.filter((id) => id !== imported).reverse(), imported]
  const all = await listImages(server)
  for (const limit of [1, 2, 6, 1000]) {
    const found: ListedImage[] = []
    for (let path: string | undefined = `${IMAGES}?order=newest&limit=${limit}`; path !== undefined; ) {
      const answer = await get(server, path)
      t.equal(answer.status, 200)
      t.equal(answer.headers['cache-control'], 'no-store')
      found.push(...answer.json<ListedImage[]>())
      const next = NEXT.exec(String(answer.headers.link))?.[1]
      t.equal('link' in answer.headers, next !== undefined)
      path = next && IMAGES + next
    }
    t.same(
      found,
      expected.flatMap((id) => all.filter(({ story_id }) => story_id === id)),
      `${limit} a page`,
    )
  }
})

onEachStore(
  'a page of the newest ends well when its cursor is deleted, and new stories change no page',
  async (t, server) => {
    const images = await someImages(1)
    for (let n = 0; n < 4; n++) await upload(server, images)
    const ids = (await get(server, STORY_IDS)).json<string[]>().reverse()
    const first = await get(server, `${IMAGES}?order=newest&limit=2`)
    await upload(server, images)
    await remove(server, `${IMAGES}/${ids[1]}`)
    const second = await get(server, IMAGES + NEXT.exec(String(first.headers.link))?.[1])
    t.same(
      second.json<ListedImage[]>().map(({ story_id }) => story_id),
      ids.slice(2),
    )
    t.notOk('link' in second.headers)
  },
)

onEachStore('an order that is not understood is refused by name', async (t, server) => {
  isError(t, await get(server, `${IMAGES}?order=newest`), 400, /"limit" must be given with "order"/)
  for (const order of ['oldest', '', 'NEWEST', 'newest&order=newest']) {
    isError(t, await get(server, `${IMAGES}?limit=1&order=${order}`), 400, /"order" must be "newest"/, `order=${order}`)
  }
})
