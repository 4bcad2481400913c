import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { eventually, startApp } from '../support/app.ts'
import { filled, GET } from './long-lists.ts'

t.test('a list of 20,000 stories needs no more memory than its pages', async (t) => {
  const standIn = await filled(t, 20_000, 1000)
  const server = await startApp(t, {}, standIn)
  let peak = 0
  for (let n = 0; n < 2; n++) {
    global.gc?.()
    const before = process.memoryUsage().arrayBuffers
    const response = await fetch(`${server.url}/api/v1/images`)
    let bytes = 0
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length
      peak = Math.max(peak, process.memoryUsage().arrayBuffers - before)
    }
    t.ok(bytes > 20_000 * 150, `${bytes} bytes`)
  }
  t.ok(peak < 64 * 1024 * 1024, `${Math.round(peak / 1024 / 1024)} MiB of buffers`)
})

t.test('a reader who stops reading stops the calls to the store', async (t) => {
  const standIn = await filled(t, 36_000, 1000)
  const server = await startApp(t, {}, standIn)
  const client = await server.connect()
  client.socket.pause()
  await client.write(GET)
  let last = -1
  const stands = await eventually(async () => {
    const before = standIn.calls.length
    await sleep(500)
    last = standIn.calls.length
    return last === before && last > 0
  })
  t.ok(stands, 'no more are asked for')
  t.ok(last < 66, `${last} of 72 pages are read ahead`)
  client.socket.resume()
  t.equal(JSON.parse((await client.answer()).body).length, 36_000, 'and goes on when the reader does')
})
