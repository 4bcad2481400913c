import { connect } from 'node:net'
import { ALL, sample } from '../support/extent.ts'
import { bigImage } from '../support/images.ts'
import type { ServerProcess } from '../support/server-process.ts'
import {
  get,
  IMAGES,
  listImages,
  MULTIPART,
  multipart,
  remove,
  STORY_IDS,
  someImages,
  UPLOAD,
  until,
  upload,
  usedCapacity,
} from './client.ts'
import { onEachStore } from './stores.ts'

const MIB = 1024 * 1024

type End = 'in order' | 'with a reset'

/** Sends a request's head and the first bytes of its body, and goes away. */
async function sendAndLeave(server: ServerProcess, body: Buffer, bytes: number, end: End, wait: number): Promise<void> {
  const socket = connect(server.port, '127.0.0.1')
  socket.on('error', () => {})
  const closed = new Promise((resolve) => socket.once('close', resolve))
  const type = `Content-Type: ${MULTIPART['content-type']}\r\n`
  socket.write(`POST ${UPLOAD} HTTP/1.1\r\nHost: x\r\n${type}Content-Length: ${body.length}\r\n\r\n`)
  await new Promise((resolve) => socket.write(body.subarray(0, bytes), resolve))
  await new Promise((resolve) => setTimeout(resolve, wait))
  if (end === 'with a reset') socket.resetAndDestroy()
  else socket.destroy()
  await closed
}

onEachStore('a client that goes away in the middle of its upload leaves nothing', async (t, server, store) => {
  const small = await someImages(2)
  const big = await bigImage(12 * MIB)
  const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = small
  const body = multipart([{ body: first }, { body: second }, { body: big }])
  const startOf = (image: Buffer) => body.indexOf(image)
  const points: Record<string, number> = {
    'before the body': 0,
    'after a byte': 1,
    'in the headers of a part': 50,
    'in the first image': startOf(first) + 100,
    'at the end of the first image': startOf(first) + first.length,
    'in the headers of the second part': startOf(second) - 10,
    'after two images': startOf(big) - 1,
    'in a part of the third image': startOf(big) + MIB,
    'after a part of the third image': startOf(big) + 6 * MIB,
    'late in the third image': startOf(big) + 11 * MIB,
    'in front of the last boundary': startOf(big) + big.length,
    'in the last boundary': body.length - 3,
  }
  const gone = () => server.log().filter(({ msg }) => msg.startsWith('the connection closed before')).length
  for (const [end, wait] of sample(
    [
      ['in order', 60],
      ['in order', 0],
      ['with a reset', 60],
      ['with a reset', 0],
    ] as const,
    2,
  )) {
    const before = gone()
    await Promise.all(Object.values(points).map((bytes) => sendAndLeave(server, body, bytes, end, wait)))
    // A reset can overtake what was sent: then the server has not seen a request at all
    const seen = end === 'in order' && wait > 0 ? Object.keys(points).length : 0
    await until('the server has seen them go', () => gone() - before >= seen)
    let empty = 0
    await until('the store is empty and stays so', async () => {
      const isEmpty = (await store.content()).length === 0 && (await usedCapacity(server)).length === 0
      empty = isEmpty ? empty + 1 : 0
      return empty === 10
    })
    t.same((await get(server, STORY_IDS)).json(), [], `${end}, after ${wait} ms: nothing is listed`)
  }
})

onEachStore(
  'an upload whose client does not wait for the answer is there whole or not at all',
  async (t, server, store) => {
    const images = await someImages(3)
    const body = multipart(images.map((image) => ({ body: image })))
    for (const missing of [0, 1, 2]) {
      for (const wait of [0, 1, 5, 50]) await sendAndLeave(server, body, body.length - missing, 'in order', wait)
    }
    let last = ''
    let same = 0
    await until('the uploads have come to their ends', async () => {
      const now = (await store.content()).join()
      same = now === last && (await usedCapacity(server)).length === 0 ? same + 1 : 0
      last = now
      return same === 10
    })
    const counts = new Map<string, number>()
    for (const { story_id } of await listImages(server)) counts.set(story_id, (counts.get(story_id) ?? 0) + 1)
    t.ok(
      [...counts.values()].every((count) => count === 3),
      'whole stories only',
    )
    await remove(server, IMAGES)
    t.same(await store.content(), [], 'what is not listed is not there')
  },
)

onEachStore('clients that go away while they read do no harm', async (t, server) => {
  const { image_paths } = await upload(server, [await bigImage(20 * MIB)])
  const path = image_paths[0] ?? ''
  for (let time = 0; time < (ALL ? 20 : 5); time++) {
    const socket = connect(server.port, '127.0.0.1')
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
    await new Promise((resolve) => socket.once('data', resolve))
    socket.resetAndDestroy()
  }
  t.equal((await get(server, path)).body.length, Number((await get(server, path)).headers['content-length']))
})
