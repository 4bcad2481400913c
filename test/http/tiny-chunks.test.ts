import type { IncomingMessage } from 'node:http'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { eventually, filePart, multipart, smallImage, startApp, storyId, uploadHead } from '../support/app.ts'
import { MIB } from '../support/bodies.ts'
import { ALL } from '../support/extent.ts'
import { paddedPng } from '../support/images.ts'

const CHUNKS = ALL ? 300_000 : 60_000

t.test(`an image that comes in ${CHUNKS} chunks of one byte holds little memory, and comes back`, async (t) => {
  const server = await startApp(t)
  const image = paddedPng(await smallImage(), CHUNKS)
  const body = multipart([filePart(image)])
  const client = await server.connect()
  await client.write(uploadHead('chunked'))
  const before = process.memoryUsage().arrayBuffers
  let peak = before
  for (let at = 0; at < body.length; at += 2000) {
    const chunks = Array.from(body.subarray(at, at + 2000), (byte) => Buffer.from([0x31, 13, 10, byte, 13, 10]))
    await client.write(Buffer.concat(chunks))
    peak = Math.max(peak, process.memoryUsage().arrayBuffers)
  }
  await client.write('0\r\n\r\n')
  const answer = await client.answer()
  t.equal(answer.status, 200, answer.body)
  const [path] = JSON.parse(answer.body).image_paths
  const stored = await fetch(server.url + path)
  t.ok(Buffer.from(await stored.arrayBuffer()).equals(image))
  t.ok(peak - before < (CHUNKS / 300_000) * 40 * MIB, `${Math.round((peak - before) / MIB)} MiB`)
  t.comment(`${((peak - before) / MIB).toFixed(1)} MiB`)
})

// So few that even a busy machine reads them within the ten seconds that a body of JSON may take
t.test('a body of JSON that comes in 60,000 chunks of one byte holds little more than its bytes', async (t) => {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const held = () => {
    collect()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    return heapUsed + arrayBuffers
  }
  const server = await startApp(t, { PRIVATE_IMAGES: 'true', SIGNING_SECRETS: 's'.repeat(32) })
  let request: IncomingMessage | undefined
  server.app.server.on('request', (incoming) => {
    request = incoming
  })
  const client = await server.connect()
  const type = 'Content-Type: application/json\r\nTransfer-Encoding: chunked'
  await client.write(`POST /api/v1/signed-urls HTTP/1.1\r\nHost: localhost\r\n${type}\r\n\r\n`)
  const before = held()
  const spaces = Buffer.from('1\r\n \r\n'.repeat(10_000))
  for (let count = 0; count < 6; count++) await client.write(spaces)
  const isRead = () => (request?.socket.bytesRead ?? 0) >= 6 * spaces.length && request?.readableLength === 0
  t.ok(await eventually(isRead), 'the server has read them')
  const more = held() - before
  const json = JSON.stringify({ paths: [`/images/stories/${storyId(1)}/1.png`] })
  await client.write(`${json.length.toString(16)}\r\n${json}\r\n0\r\n\r\n`)
  t.equal((await client.answer()).status, 200)
  // A list of the chunks would take 10 MiB
  t.ok(more < 5 * MIB, `${(more / MIB).toFixed(1)} MiB`)
})
