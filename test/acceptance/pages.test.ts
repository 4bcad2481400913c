import t from 'tap'
import { sample } from '../support/extent.ts'
import type { S3StandIn } from '../support/s3-stand-in.ts'
import { get, IMAGES, isError, type ListedImage, listImages, remove, STORY_IDS, someImages, upload } from './client.ts'
import { onEachStore, serverOn, standInStore } from './stores.ts'

/** Follows the Link header to the end. */
async function pages<Item>(server: { port: number }, first: string): Promise<Item[][]> {
  const found: Item[][] = []
  for (let path: string | undefined = first; path !== undefined; ) {
    const answer = await get(server, path)
    if (answer.status !== 200) throw new Error(`${path} was answered ${answer.status} ${answer.body}`)
    found.push(answer.json<Item[]>())
    const link = answer.headers.link as string | undefined
    if (link === undefined) break
    const [, target] = /^<([^>]*)>; rel="next"$/.exec(link) ?? []
    if (target === undefined) throw new Error(`Not a link to the next page: ${link}`)
    const { pathname, search } = new URL(target, new URL(path, 'http://localhost'))
    path = pathname + search
  }
  return found
}

onEachStore('pages hold whole stories, and together they are the list without pages', async (t, server) => {
  const images = await someImages(3)
  for (let n = 0; n < 7; n++) await upload(server, images.slice(0, 1 + (n % 3)))
  const ids = (await get(server, STORY_IDS)).json<string[]>()
  const all = await listImages(server)
  t.equal(ids.length, 7)
  for (const limit of [1, 2, 3, 6, 7, 8, 1000]) {
    const idPages = await pages<string>(server, `${STORY_IDS}?limit=${limit}`)
    t.same(idPages.flat(), ids, `limit ${limit}: every id once`)
    t.equal(idPages.length, Math.ceil(7 / limit), `limit ${limit}: no page too many`)
    const imagePages = await pages<ListedImage>(server, `${IMAGES}?limit=${limit}`)
    t.same(imagePages.flat(), all, `limit ${limit}: every image once`)
    t.same(
      imagePages.map((page) => [...new Set(page.map(({ story_id }) => story_id))]),
      idPages,
      `limit ${limit}: the same stories on each page`,
    )
  }
  const unpaged = await get(server, IMAGES)
  t.notOk('link' in unpaged.headers, 'a list without limit is whole')
  t.same(
    (await get(server, `${STORY_IDS}?cursor=${ids[4]}`)).json(),
    ids.slice(5),
    'a cursor alone skips what was seen',
  )
})

onEachStore('a cursor stays good when its story and the next one are deleted', async (t, server) => {
  const images = await someImages(1)
  for (let n = 0; n < 4; n++) await upload(server, images)
  const ids = (await get(server, STORY_IDS)).json<string[]>()
  const first = await get(server, `${STORY_IDS}?limit=2`)
  t.same(first.json(), ids.slice(0, 2))
  for (const id of ids.slice(1, 3)) await remove(server, `${IMAGES}/${id}`)
  const link = /^<([^>]*)>/.exec(String(first.headers.link))?.[1] ?? ''
  const second = await get(server, STORY_IDS + link)
  t.same(second.json(), ids.slice(3))
  t.notOk('link' in second.headers)
})

onEachStore('a limit or cursor that makes no sense is refused by name', async (t, server) => {
  for (const path of [IMAGES, STORY_IDS]) {
    for (const limit of ['0', '1001', 'abc', '', '1.5', '-1', 'null']) {
      isError(t, await get(server, `${path}?limit=${limit}`), 400, /"limit" must be .*1 to 1000/, `limit=${limit}`)
    }
    isError(t, await get(server, `${path}?limit=1&limit=2`), 400, /"limit"/, 'two limits')
    for (const cursor of ['x', '', '2ACFA514-2915-4A9D-8A3A-338D52BD0D9E', '../..', '2acfa514']) {
      isError(t, await get(server, `${path}?cursor=${cursor}`), 400, /"cursor" must be/, `cursor=${cursor}`)
    }
    t.equal((await get(server, `${path}?limit=1000&unknown=x`)).status, 200, 'other parameters do no harm')
  }
})

/** Stories with 3 images each, as an upload stores them. */
function placeStories(standIn: S3StandIn, count: number): string[] {
  const ids = Array.from({ length: count }, (_, n) => `0190000${String(n).padStart(5, '0')}70008000000000000001`).map(
    (hex) => hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'),
  )
  for (const id of ids) {
    standIn.place(`stories/${id}/0.3.json`, '{}')
    for (const n of [1, 2, 3]) standIn.place(`stories/${id}/${n}.jpg`, 'x')
  }
  return ids
}

t.test('a list whose pages a delete falls between shows each story whole or not at all', async (t) => {
  const store = await standInStore(t)
  const server = await serverOn(t, store)
  const { standIn } = store
  const ids = placeStories(standIn, 1000)
  // 4 objects each, 1,000 in a page: the first page ends with story 250
  for (const cut of sample([1, 2, 3], 1)) {
    standIn.place(`stories/${ids[0]?.slice(0, -cut)}${'0'.repeat(cut)}/stray-${cut}`, '')
    for (const path of [IMAGES, STORY_IDS]) {
      const begin = standIn.calls.filter(({ operation }) => operation === 'ListObjectsV2').length
      const victims = path === IMAGES ? ids.splice(249, 2) : ids.splice(245, 9)
      let deleted: Promise<unknown> | undefined
      standIn.onCall = async ({ operation, key, n }) => {
        if (operation !== 'ListObjectsV2' || key !== 'stories/' || n !== begin + 2) return
        deleted = Promise.all(victims.map((id) => remove(server, `${IMAGES}/${id}`)))
        await deleted
      }
      const listed = (await get(server, path)).json<(ListedImage | string)[]>()
      standIn.onCall = undefined
      t.ok(deleted, 'the delete fell between two pages')
      const counts = new Map<string, number>()
      for (const item of listed) {
        const id = typeof item === 'string' ? item : item.story_id
        counts.set(id, (counts.get(id) ?? 0) + 1)
      }
      t.same(
        [...new Set(counts.values())],
        [path === IMAGES ? 3 : 1],
        `${path}, cut at ${cut}: whole stories only, each once`,
      )
      t.same(
        ids.filter((id) => !counts.has(id)),
        [],
        'a story that nobody deleted is not missed',
      )
    }
  }
})
