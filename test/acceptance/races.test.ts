import { ALL } from '../support/extent.ts'
import { get, IMAGES, type ListedImage, remove, STORY_IDS, someImages, type Uploaded, upload } from './client.ts'
import { onEachStore } from './stores.ts'

onEachStore('deleting a story twice is a 200 and then a 404', async (t, server, store) => {
  const { story_id } = await upload(server, await someImages(5))
  t.equal((await remove(server, `${IMAGES}/${story_id}`)).status, 200)
  t.equal((await remove(server, `${IMAGES}/${story_id}`)).status, 404)
  t.same(await store.content(), [])
})

onEachStore('two deletes at once do no harm, of a story or of all', async (t, server, store) => {
  const images = await someImages(5)
  const other = await upload(server, images.slice(0, 2))
  for (let time = 1; time <= 10; time++) {
    const { story_id } = await upload(server, images)
    const answers = await Promise.all([1, 2, 3].map(() => remove(server, `${IMAGES}/${story_id}`)))
    const statuses = answers.map(({ status }) => status)
    t.ok(statuses.includes(200), `one of them at least deleted it: ${statuses}`)
    t.ok(
      statuses.every((status) => status === 200 || status === 404),
      `and no other fails: ${statuses}`,
    )
    t.equal((await get(server, `${IMAGES}/${story_id}`)).status, 404)
  }
  t.same((await get(server, STORY_IDS)).json(), [other.story_id], 'no other story is touched')
  for (let n = 0; n < 5; n++) await upload(server, images)
  const all = await Promise.all([1, 2, 3].map(() => remove(server, IMAGES)))
  t.same(
    all.map(({ status }) => status),
    [200, 200, 200],
  )
  t.same(await store.content(), [])
})

onEachStore(
  'every list shows whole stories only, whatever is uploaded and deleted meanwhile',
  async (t, server, store) => {
    const images = await someImages(7)
    const end = Date.now() + (ALL ? 4000 : 1000)
    const sizes = new Map<string, number>()
    const listed: ListedImage[][] = []
    const seenAlone: [string, number][] = []
    const lasting = await upload(server, images.slice(0, 4))
    let deleted = 0
    let failures = 0
    const goesOn = () => Date.now() < end || listed.length <= 10 || deleted <= 3

    const writer = async (seed: number) => {
      const own: Uploaded[] = []
      for (let n = seed; goesOn(); n++) {
        own.push(await upload(server, images.slice(0, 1 + (n % 7))))
        const victim = n % 3 === 0 ? own.shift() : undefined
        for (const { story_id, image_count } of own) sizes.set(story_id, image_count)
        if (!victim) continue
        sizes.set(victim.story_id, victim.image_count)
        if ((await remove(server, `${IMAGES}/${victim.story_id}`)).status !== 200) failures++
        deleted++
      }
    }
    const reader = async (path: string) => {
      while (goesOn()) {
        const answer = await get(server, path)
        if (answer.status !== 200) failures++
        listed.push(answer.json<ListedImage[]>())
      }
    }
    const readerOfOne = async () => {
      while (goesOn()) {
        const id = (await get(server, STORY_IDS)).json<string[]>().at(-1)
        const answer = await get(server, `${IMAGES}/${id}`)
        if (answer.status === 200) seenAlone.push([id ?? '', answer.json<ListedImage[]>().length])
        else if (answer.status !== 404) failures++
      }
    }
    await Promise.all([writer(0), writer(1), writer(2), reader(IMAGES), reader(`${IMAGES}?limit=1000`), readerOfOne()])
    for (const image of await get(server, IMAGES).then((answer) => answer.json<ListedImage[]>())) {
      t.ok(sizes.has(image.story_id) || image.story_id === lasting.story_id)
    }
    sizes.set(lasting.story_id, lasting.image_count)

    t.equal(failures, 0, 'no request failed')
    t.ok(listed.length > 10 && deleted > 3, `${listed.length} lists, ${deleted} deletes, ${sizes.size} uploads`)
    const torn: string[] = []
    for (const list of listed) {
      const counts = new Map<string, number>()
      for (const { story_id } of list) counts.set(story_id, (counts.get(story_id) ?? 0) + 1)
      for (const [id, count] of counts) if (count !== sizes.get(id)) torn.push(`${id}: ${count} of ${sizes.get(id)}`)
      if (!counts.has(lasting.story_id)) torn.push('the story that was there all the time is missing')
    }
    for (const [id, count] of seenAlone) if (count !== sizes.get(id)) torn.push(`${id}: ${count} of ${sizes.get(id)}`)
    t.same(torn, [])
    t.equal((await remove(server, IMAGES)).status, 200)
    t.same(await store.content(), [])
  },
)

onEachStore('a delete-all beside running uploads takes whole stories or leaves them', async (t, server) => {
  const images = await someImages(6)
  for (let time = 1; time <= 5; time++) {
    const uploads = Promise.all(Array.from({ length: 6 }, () => upload(server, images)))
    await new Promise((resolve) => setTimeout(resolve, time * 10))
    t.equal((await remove(server, IMAGES)).status, 200)
    await uploads
    const counts = new Map<string, number>()
    for (const { story_id } of (await get(server, IMAGES)).json<ListedImage[]>()) {
      counts.set(story_id, (counts.get(story_id) ?? 0) + 1)
    }
    t.same(
      [...counts.values()].filter((count) => count !== 6),
      [],
    )
  }
})
