import t from 'tap'
import { filePart, multipart, smallImage, startApp, uploadHead } from '../support/app.ts'
import { MIB } from '../support/bodies.ts'

t.test('an image that comes in 300,000 chunks of one byte holds little memory, and comes back', async (t) => {
  const server = await startApp(t)
  const image = Buffer.concat([await smallImage(), Buffer.alloc(300_000, 'x')])
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
  t.ok(peak - before < 40 * MIB, `${Math.round((peak - before) / MIB)} MiB`)
  t.comment(`${((peak - before) / MIB).toFixed(1)} MiB`)
})
