import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { Sweeper } from '../../src/stories/sweep.ts'
import { filePart, multipart, placeStory, smallImage, startApp, storyId } from '../support/app.ts'
import { until } from '../support/bodies.ts'
import { startStandIn } from '../support/stores.ts'

const image = await smallImage()

/** A CDN that records the tags that it is to purge, and answers by `answer`. */
async function startCdn(t: Test, answer: (response: ServerResponse) => void = (response) => response.end('{}')) {
  const tags: string[] = []
  const server = createServer(async (request, response) => {
    const { tags: purged } = JSON.parse((await request.toArray()).join('')) as { tags: string[] }
    tags.push(...purged)
    answer(response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { options: { PURGE_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` }, tags }
}

const metric = async (url: string, name: string) =>
  Number(
    new RegExp(`^story_images_${name.replace(/[{}]/g, '\\$&')} (\\d+)$`, 'm').exec(
      await (await fetch(`${url}/metrics`)).text(),
    )?.[1],
  )

async function setUp(t: Test, answer?: (response: ServerResponse) => void) {
  const cdn = await startCdn(t, answer)
  const standIn = await startStandIn(t)
  const server = await startApp(t, cdn.options, standIn)
  const remove = async (path = '') => (await fetch(`${server.url}/api/v1/images${path}`, { method: 'DELETE' })).status
  return { cdn, standIn, server, remove }
}

t.test('the CDN is told of a deleted story, and of one that was deleted before', async (t) => {
  const { cdn, standIn, server, remove } = await setUp(t)
  placeStory(standIn, storyId(1), image)
  t.equal(await remove(`/${storyId(1)}`), 200)
  await until(async () => cdn.tags.length === 1)
  t.equal(await remove(`/${storyId(1)}`), 404)
  await until(async () => cdn.tags.length === 2)
  t.same(cdn.tags, [storyId(1), storyId(1)])
  t.equal(await remove('/no-story'), 404)
  await until(async () => (await metric(server.url, 'purged_stories_total{outcome="ok"}')) === 2)
  t.equal(await metric(server.url, 'purge_waiting_stories'), 0)
})

t.test('the CDN is told of all stories, imported ones and interrupted deletions among them', async (t) => {
  const { cdn, standIn, remove } = await setUp(t)
  const imported = 'fa0d7b3c-1111-4222-8333-444455556666'
  const stories = [1, 2, 3].map(storyId)
  for (const id of stories) placeStory(standIn, id, image)
  placeStory(standIn, storyId(4), image)
  for (const key of [...standIn.objects.keys()]) if (key.includes(`${storyId(4)}/0.`)) standIn.objects.delete(key)
  standIn.place(`stories/${imported}/1.png`, image)
  t.equal(await remove(), 200)
  await until(async () => cdn.tags.length === 5)
  t.same(cdn.tags.sort(), [...stories, storyId(4), imported].sort())
})

t.test('a deletion that fails after its first image tells the CDN too', async (t) => {
  const { cdn, standIn, remove } = await setUp(t)
  placeStory(standIn, storyId(1), image)
  standIn.fail({ operation: 'DeleteObjects', nth: 2 }, 'status-503', Number.POSITIVE_INFINITY)
  t.equal(await remove(`/${storyId(1)}`), 503)
  await until(async () => cdn.tags.length === 1)
  t.same(cdn.tags, [storyId(1)])
})

t.test('a sweep tells the CDN of what it removes, and a dry run does not', async (t) => {
  const { cdn, standIn, server } = await setUp(t)
  placeStory(standIn, storyId(1), image)
  placeStory(standIn, storyId(2), image)
  for (const key of [...standIn.objects.keys()]) if (key.includes(`${storyId(1)}/0.`)) standIn.objects.delete(key)
  for (const object of standIn.objects.values()) object.lastModified = new Date(0)
  const later = new Sweeper(server.app.store, () => Date.now() + 100 * 3_600_000)
  await later.sweep({ dryRun: true })
  t.equal(server.app.purger?.waiting, 0)
  t.match(await later.sweep(), { stories: 1 })
  await until(async () => cdn.tags.length === 1)
  t.same(cdn.tags, [storyId(1)])
})

t.test('an upload that fails tells the CDN nothing', async (t) => {
  const { standIn, server } = await setUp(t)
  const { status } = await fetch(`${server.url}/api/v1/images/upload`, {
    method: 'POST',
    headers: { 'content-type': 'multipart/form-data; boundary=XX' },
    body: Uint8Array.from(multipart([filePart(image), filePart('no image')])),
  })
  t.equal(status, 415)
  t.equal(standIn.objects.size, 0)
  t.equal(server.app.purger?.waiting, 0)
})

t.test('a deletion does not wait for a CDN that is silent or fails, and the metrics show what waits', async (t) => {
  const silent: ServerResponse[] = []
  const { cdn, standIn, server, remove } = await setUp(t, (response) => void silent.push(response))
  for (const number of [1, 2]) placeStory(standIn, storyId(number), image)
  t.equal(await remove(`/${storyId(1)}`), 200)
  await until(async () => silent.length === 1)
  t.equal(await remove(`/${storyId(2)}`), 200)
  t.equal(await metric(server.url, 'purge_waiting_stories'), 2)
  silent.shift()?.writeHead(503).end()
  await until(async () => (await metric(server.url, 'purge_failures_total')) === 1)
  t.equal(await metric(server.url, 'purge_waiting_stories'), 2)
  const closed = server.close()
  await until(async () => silent.length === 1)
  silent.shift()?.end()
  await until(async () => silent.length === 1)
  silent.shift()?.end()
  await closed
  t.same(cdn.tags, [storyId(1), storyId(1), storyId(2)])
})

t.test('without PURGE_URL nobody is told', async (t) => {
  const server = await startApp(t)
  t.equal(server.app.purger, undefined)
})
