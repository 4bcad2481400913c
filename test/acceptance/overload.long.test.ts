import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { bigImage } from '../support/images.ts'
import type { ServerProcess } from '../support/server-process.ts'
import { get, IMAGES, listImages, MULTIPART, multipart, post, STORY_IDS, someImages, UPLOAD, upload } from './client.ts'
import { diskStore, serverOn } from './stores.ts'

const MIB = 1024 * 1024

interface Outcome {
  readonly status: number
  readonly ms: number
  readonly retryAfter: string | undefined
  readonly body: string
}

/** One request, its body sent in pieces with a pause between them. */
async function ask(server: ServerProcess, path: string, pieces: readonly Buffer[] = [], pause = 0): Promise<Outcome> {
  const start = performance.now()
  const length = pieces.reduce((sum, { length }) => sum + length, 0)
  const request = httpRequest({
    host: '127.0.0.1',
    port: server.port,
    path,
    ...(length > 0 && { method: 'POST', headers: { ...MULTIPART, 'content-length': length } }),
  })
  const answered = once(request, 'response') as Promise<[IncomingMessage]>
  let response: IncomingMessage | undefined
  request.once('response', (answer) => {
    response = answer
  })
  for (const piece of pieces) {
    if (response) break
    if (!request.write(piece)) await Promise.race([once(request, 'drain'), answered])
    if (pause > 0) await sleep(pause)
  }
  request.end()
  const [answer] = await answered
  let body = ''
  for await (const chunk of answer.setEncoding('utf8')) body += chunk
  const ms = Math.round(performance.now() - start)
  return { status: answer.statusCode ?? 0, ms, retryAfter: answer.headers['retry-after'], body }
}

function summary(outcomes: readonly Outcome[]) {
  const times = (status: number) => outcomes.filter((outcome) => outcome.status === status).map(({ ms }) => ms)
  const at = (list: number[], share: number) => list.toSorted((a, b) => a - b)[Math.floor((list.length - 1) * share)]
  const [done, refused] = [times(200), times(503)]
  return {
    done: done.length,
    refused: refused.length,
    medianRefusal: at(refused, 0.5) ?? 0,
    text: `${done.length} finished (median ${at(done, 0.5)} ms), ${refused.length} refused (median ${at(refused, 0.5)} ms, most ${at(refused, 1)} ms)`,
  }
}

t.test('under more uploads and lists than there is room for, each one finishes or reads a 503', async (t) => {
  const UPLOAD_MEMORY = 64 * MIB
  // Six large uploads run and some of the others get their turn, and 64 lists run and the others wait
  const server = await serverOn(t, await diskStore(t), {
    UPLOAD_MEMORY: `${UPLOAD_MEMORY}`,
    UPLOAD_WAIT: '2s',
    // On a busy machine a body that waits for its turn would be refused as too slow
    CLIENT_TIMEOUT: '10m',
  })
  for (let n = 0; n < 40; n++) await upload(server, await someImages(20))
  const image = await bigImage(12 * MIB)
  const body = multipart([{ body: image }])
  const pieces = Array.from({ length: 24 }, (_, n) =>
    body.subarray((n * body.length) / 24, ((n + 1) * body.length) / 24),
  )
  const before = await server.peakMemory()
  const [uploads, lists] = await Promise.all([
    Promise.all(Array.from({ length: 64 }, () => ask(server, UPLOAD, pieces, 20))),
    Promise.all(Array.from({ length: 300 }, (_, n) => ask(server, n % 2 ? IMAGES : `${STORY_IDS}?limit=1000`))),
  ])
  const peak = await server.peakMemory()
  for (const [what, outcomes] of Object.entries({ uploads, lists })) {
    const { done, refused, text } = summary(outcomes)
    t.comment(`${what}: ${text}`)
    const others = outcomes.filter(({ status }) => status !== 200 && status !== 503)
    t.same(others, [], `${what}: each one finishes or is refused`)
    t.ok(done > 0, `${what}: who is let in finishes`)
    if (what === 'uploads') t.ok(refused > 0, 'uploads: the others are refused')
    for (const { status, retryAfter, body } of outcomes) {
      if (status !== 503) continue
      t.equal(retryAfter, '5')
      t.match(JSON.parse(body), { detail: /try again in a few seconds$/ })
    }
  }
  t.ok(summary(uploads).medianRefusal >= 2000, 'not before UPLOAD_WAIT')
  const listed = await listImages(server)
  t.equal(listed.length, 40 * 20 + summary(uploads).done, 'what was acknowledged is there')
  // Sockets, the heap's slack and the copies of the operating system's buffers on top
  const rise = peak - before
  t.ok(rise < UPLOAD_MEMORY + 100 * MIB, `memory rose by ${Math.round(rise / MIB)} MiB`)
  t.comment(`memory: ${Math.round(before / MIB)} MiB before, ${Math.round(peak / MIB)} MiB at most`)
})

t.test('senders that open uploads and drip by the thousand do not keep the others out', async (t) => {
  // On a busy machine this takes longer than a minute, and a byte a second is below the least rate
  const server = await serverOn(t, await diskStore(t), {
    UPLOAD_WAIT: '5s',
    CLIENT_TIMEOUT: '10m',
  })
  const images = await someImages(2)
  const timed = async () => {
    const start = performance.now()
    const { status } = await post(
      server,
      images.map((body) => ({ body })),
    )
    t.equal(status, 200)
    return performance.now() - start
  }
  const p99 = async () => {
    const times: number[] = []
    for (let n = 0; n < 100; n++) times.push(await timed())
    return times.toSorted((a, b) => a - b)[98] ?? 0
  }
  await p99()
  const idle = await p99()
  const slow: Socket[] = []
  t.teardown(() => {
    for (const socket of slow) socket.destroy()
  })
  const head = `POST ${UPLOAD} HTTP/1.1\r\nHost: x\r\nContent-Type: ${MULTIPART['content-type']}\r\nContent-Length: 4000000\r\n\r\n`
  const bytes = multipart(images.map((body) => ({ body })))
  while (slow.length < 2000) {
    const socket = connect(server.port, '127.0.0.1').on('error', () => {})
    socket.resume()
    await once(socket, 'connect')
    socket.write(head)
    slow.push(socket)
  }
  let sent = 0
  const drip = setInterval(() => {
    const byte = bytes.subarray(sent, ++sent)
    for (const socket of slow) socket.write(byte)
  }, 1000)
  t.teardown(() => clearInterval(drip))
  await sleep(1000)
  const busy = await p99()
  t.equal(slow.filter(({ destroyed }) => destroyed).length, 0, 'they are all there')
  t.comment(`p99 of an upload: ${idle.toFixed(1)} ms, with 2,000 slow ones ${busy.toFixed(1)} ms`)
  t.ok(busy < Math.max(10 * idle, 1000), 'the others are served')
  t.equal((await get(server, IMAGES)).status, 200)
})
