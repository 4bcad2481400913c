import t, { type Test } from 'tap'
import { IMAGES, remove } from '../acceptance/client.ts'
import { eventually, placeStory, smallImage, startApp, storyId } from '../support/app.ts'
import { startStandIn } from '../support/stores.ts'

/** A server on a bucket with a story, and a way to hold the calls of the bucket. */
async function serverOf(t: Test) {
  const standIn = await startStandIn(t)
  placeStory(standIn, storyId(1), await smallImage())
  const server = await startApp(t, {}, standIn)
  const hold = () => {
    let go = () => {}
    const gate = new Promise<void>((resolve) => {
      go = resolve
    })
    standIn.onCall = () => gate
    return go
  }
  return { ...server, standIn, hold }
}

for (const path of [IMAGES, `${IMAGES}/${storyId(1)}`]) {
  t.test(`a deletion goes on when its client has left: ${path}`, async (t) => {
    const server = await serverOf(t)
    const go = server.hold()
    const client = await server.connect()
    await client.write(`DELETE ${path} HTTP/1.1\r\nHost: test\r\n\r\n`)
    t.ok(await eventually(() => server.standIn.runningRequests > 0))
    client.socket.resetAndDestroy()
    t.ok(await eventually(() => server.app.connections.size === 0), 'the server knows that it has left')
    go()
    t.ok(await eventually(() => server.standIn.objects.size === 0), 'the story is gone')
  })
}

t.test('deletions of every story that are asked for while one runs are one', async (t) => {
  const server = await serverOf(t)
  const { standIn } = server
  t.equal((await remove(server, IMAGES)).status, 200)
  const first = standIn.calls.length
  t.equal((await remove(server, IMAGES)).status, 200)
  const calls = standIn.calls.length - first
  const go = server.hold()
  const client = await server.connect()
  await client.write(`DELETE ${IMAGES} HTTP/1.1\r\nHost: test\r\n\r\n`.repeat(50))
  t.ok(await eventually(() => [...server.app.connections.values()][0]?.size === 50))
  placeStory(standIn, storyId(2), await smallImage())
  go()
  for (let n = 0; n < 50; n++) t.equal((await client.answer()).status, 200)
  const more = standIn.calls.length - first - calls
  // Two that delete something, and not fifty
  t.ok(more <= 8 * calls, `${more} calls, ${calls} when there is nothing to delete`)
  t.equal(standIn.objects.size, 0, 'what was there before they were asked for is gone')
})
