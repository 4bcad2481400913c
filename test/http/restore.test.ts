import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { get, IMAGES, listImages, remove, STORY_IDS, send, someImages, upload } from '../acceptance/client.ts'
import { eventually, isDetail, startApp, storyId } from '../support/app.ts'
import { PATIENCE } from '../support/patience.ts'
import { mount, whyNoMount } from '../support/small-disk.ts'
import { startStandIn } from '../support/stores.ts'

const WEEK_MS = 7 * 24 * 3_600_000
const HTTP_DATE = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/
const RESTORED = '{"success":true,"message":"Images restored successfully"}'

const restore = (at: { readonly port: number }, id: string) => send(at, 'POST', `${IMAGES}/${id}/restore`)

/** A server on disk with stories of two images. */
async function serverOf(t: Test, stories: number, options: Record<string, string> = {}) {
  const server = await startApp(t, options)
  const images = await someImages(2)
  const made = []
  for (let n = 0; n < stories; n++) made.push(await upload(server, images))
  return { ...server, images, made }
}

t.test('a deleted story is restored, with the same images, headers and place in the lists', async (t) => {
  const server = await serverOf(t, 3)
  const [, { story_id: id, image_paths: paths } = { story_id: '', image_paths: [] }] = server.made
  const [before, listed] = [await get(server, paths[0] ?? ''), await listImages(server)]
  t.equal((await get(server, `${paths[0]}?w=320`)).status, 200)
  t.equal((await remove(server, `${IMAGES}/${id}`)).status, 200)
  for (const path of [paths[0] ?? '', `${paths[0]}?w=320`, `${IMAGES}/${id}`]) {
    const { status, headers } = await get(server, path)
    t.same([status, headers['cache-control']], [404, 'no-store'], `no cache keeps the 404 of ${path}`)
  }
  const answer = await restore(server, id)
  t.equal(answer.status, 200)
  t.equal(answer.body.toString(), RESTORED)
  t.same(await listImages(server), listed)
  t.same(
    (await get(server, STORY_IDS)).json(),
    server.made.map(({ story_id }) => story_id),
  )
  const after = await get(server, paths[0] ?? '')
  t.same(after.body, before.body)
  for (const name of ['etag', 'last-modified', 'content-type', 'x-image-width'])
    t.equal(after.headers[name], before.headers[name], name)
  t.equal((await get(server, `${paths[0]}?w=320`)).status, 200)
  t.equal((await restore(server, id)).status, 200, 'a story that is there is a success')
  t.equal((await remove(server, `${IMAGES}/${id}`)).status, 200)
  t.equal((await restore(server, id)).status, 200, 'and so is a second time')
  t.same(await listImages(server), listed)
})

t.test('a deletion says until when it can be undone', async (t) => {
  const server = await serverOf(t, 2)
  const begun = Date.now()
  const [{ story_id: id } = { story_id: '' }] = server.made
  for (const path of [`${IMAGES}/${id}`, IMAGES]) {
    const until = String((await remove(server, path)).headers['restorable-until'])
    t.match(until, HTTP_DATE)
    const kept = Date.parse(until) - begun
    t.ok(kept >= WEEK_MS - 1000 && kept <= WEEK_MS + Date.now() - begun, `${until} is a week later`)
  }
  for (const { story_id } of server.made) t.equal((await restore(server, story_id)).status, 200)
  t.equal((await listImages(server)).length, 4, 'the deletion of all is undone story by story')
  const { headers } = await remove(server, `${IMAGES}/${storyId(1)}`)
  t.equal(headers['restorable-until'], undefined, 'where nothing was deleted there is nothing to restore')
})

t.test('a story that never was, and what is no id, can not be restored', async (t) => {
  const server = await serverOf(t, 1)
  for (const id of [storyId(1), 'no-story', 'upload', '%2e%2e']) {
    const { status, body } = await restore(server, id)
    t.equal(status, 404, id)
    t.ok(isDetail(body.toString()))
    t.match(body.toString(), /There is no story/)
  }
})

t.test('where nothing is kept a deletion does not promise anything, and a restore is refused', async (t) => {
  const server = await serverOf(t, 1, { TRASH_RETENTION: '0s' })
  const [{ story_id: id } = { story_id: '' }] = server.made
  const { status, headers } = await remove(server, `${IMAGES}/${id}`)
  t.same([status, headers['restorable-until']], [200, undefined])
  const answer = await restore(server, id)
  t.equal(answer.status, 404)
  t.match(answer.json(), { detail: /keeps nothing of deleted stories/ })
})

t.test('a deletion does not promise what the store could not keep', { skip: whyNoMount() }, async (t) => {
  const server = await serverOf(t, 2)
  // Another file system, into which nothing can be moved
  const trash = join(server.folder ?? '', '.trash')
  await mkdir(trash)
  mount(t, ['-t', 'tmpfs', 'tmpfs', trash])
  for (const path of [`${IMAGES}/${server.made[0]?.story_id}`, IMAGES]) {
    const { status, headers } = await remove(server, path)
    t.same([status, headers['restorable-until']], [200, undefined])
  }
  for (const { story_id } of server.made) t.equal((await restore(server, story_id)).status, 404)
})

t.test('a bucket with versioning restores too, and does not say until when; it is asked for it once', async (t) => {
  const standIn = await startStandIn(t, { dialect: { versioning: 'Enabled' } })
  const server = await startApp(t, {}, standIn)
  const { story_id: id, image_paths: paths } = await upload(server, await someImages(2))
  const before = await get(server, paths[1] ?? '')
  for (let n = 0; n < 2; n++) {
    t.equal((await remove(server, `${IMAGES}/${id}`)).headers['restorable-until'], 'unknown')
    t.equal((await get(server, paths[1] ?? '')).status, 404)
    t.equal((await restore(server, id)).body.toString(), RESTORED)
  }
  t.same((await get(server, paths[1] ?? '')).body, before.body)
  t.equal(standIn.calls.filter(({ operation }) => operation === 'GetBucketVersioning').length, 1)
  const lists = standIn.calls.filter(({ operation }) => operation === 'ListObjectVersions').map(({ key }) => key)
  const ofStory = `stories/${id}/`
  t.same(lists, ['', ofStory, ofStory], 'and its versions are tried once')
  const plain = await startApp(t, {}, await startStandIn(t))
  const other = await upload(plain, await someImages(1))
  t.equal((await remove(plain, `${IMAGES}/${other.story_id}`)).headers['restorable-until'], undefined)
  t.equal((await restore(plain, other.story_id)).status, 404)
})

t.test('a deletion promises no restore to a server that may not list versions', async (t) => {
  for (const [fault, until, calls] of [
    ['access-denied', undefined, 1],
    [{ status: 501, code: 'NotImplemented' }, undefined, 1],
    ['status-503', 'unknown', 3],
  ] as const) {
    const standIn = await startStandIn(t, { dialect: { versioning: 'Enabled' } })
    const server = await startApp(t, {}, standIn)
    const { story_id: id } = await upload(server, await someImages(1))
    standIn.fail({ operation: 'ListObjectVersions' }, fault, Number.POSITIVE_INFINITY)
    const { status, headers } = await remove(server, `${IMAGES}/${id}`)
    t.same([status, headers['restorable-until']], [200, until], JSON.stringify(fault))
    const lists = standIn.calls.filter(({ operation }) => operation === 'ListObjectVersions')
    t.equal(lists.length, calls, 'asked once for records and images, with the tries of the SDK')
  }
})

t.test('whatever call of a restore fails, the story is in no list or whole, and another try restores it', async (t) => {
  const standIn = await startStandIn(t, { dialect: { versioning: 'Enabled' } })
  const server = await startApp(t, {}, standIn)
  const { story_id: id } = await upload(server, await someImages(3))
  const listed = await listImages(server)
  for (const [match, fault, status] of [
    [{ operation: 'ListObjectsV2' }, 'status-503', 503],
    [{ operation: 'ListObjectVersions' }, 'status-503', 503],
    [{ operation: 'ListObjectVersions' }, 'reset', 503],
    [{ operation: 'ListObjectVersions' }, 'access-denied', 500],
    [{ operation: 'PutObject' }, 'status-503', 503],
    [{ operation: 'PutObject' }, 'storage-full', 507],
    [{ operation: 'DeleteObjects', key: /\.(jpg|png)$/ }, 'access-denied', 500],
    [{ operation: 'DeleteObjects', key: /\.json$/ }, 'access-denied', 500],
    [{ operation: 'DeleteObjects', key: /\.json$/ }, 'status-503', 503],
    [{ operation: 'DeleteObjects', key: /\.restore$/ }, 'status-503', 503],
    [{ operation: 'DeleteObjects', key: /\.restore$/ }, 'per-key-error', 500],
  ] as const) {
    t.equal((await remove(server, `${IMAGES}/${id}`)).status, 200)
    standIn.fail(match, fault, Number.POSITIVE_INFINITY)
    const what = `${match.operation}: ${fault}`
    const answer = await restore(server, id)
    t.equal(answer.status, status, what)
    t.ok(isDetail(answer.body.toString()), what)
    t.equal(answer.headers['retry-after'] !== undefined, status === 503 || status === 507, what)
    standIn.clearFaults()
    // Its tombstone is the last that a restore deletes
    const isWhole = 'key' in match && match.key.test('.restore')
    t.same(await listImages(server), isWhole ? listed : [], what)
    t.equal((await restore(server, id)).status, 200, what)
    t.same(await listImages(server), listed, what)
  }
})

t.test('a body is not looked at', async (t) => {
  const server = await serverOf(t, 1)
  const [{ story_id: id } = { story_id: '' }] = server.made
  await remove(server, `${IMAGES}/${id}`)
  const headers = { 'content-type': 'application/json' }
  const answer = await send(server, 'POST', `${IMAGES}/${id}/restore`, { headers, body: '{"a":' })
  t.equal(answer.status, 200)
  t.equal((await get(server, `${IMAGES}/${id}`)).status, 200)
})

t.test('a restore goes on when its client has left', async (t) => {
  const server = await serverOf(t, 1)
  const [{ story_id: id } = { story_id: '' }] = server.made
  await remove(server, `${IMAGES}/${id}`)
  const { deleted } = server.store
  if (!deleted) throw new Error('The store on disk keeps deleted objects')
  let begin = () => {}
  let go = () => {}
  const begun = new Promise<void>((resolve) => {
    begin = resolve
  })
  const gate = new Promise<void>((resolve) => {
    go = resolve
  })
  const { restore: restoreObjects } = deleted
  Object.assign(deleted, {
    async restore(...args: Parameters<typeof restoreObjects>) {
      begin()
      await gate
      return restoreObjects.apply(deleted, args)
    },
  })
  const client = await server.connect()
  await client.write(`POST ${IMAGES}/${id}/restore HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n`)
  await begun
  client.socket.resetAndDestroy()
  t.ok(await eventually(() => server.app.connections.size === 0, PATIENCE), 'the server knows that it has left')
  go()
  t.ok(
    await eventually(async () => (await get(server, `${IMAGES}/${id}`)).status === 200, PATIENCE),
    'the story is there',
  )
})
