import { once } from 'node:events'
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { makeImage } from '../support/images.ts'
import type { ServerProcess } from '../support/server-process.ts'
import { BOUNDARY, get, IMAGES, listImages, MULTIPART, remove, send, UPLOAD, type Uploaded, until } from './client.ts'
import { openers, serverOn, standInStore } from './stores.ts'

const MIB = 1024 * 1024
const inMib = (bytes: number) => Math.round(bytes / MIB)

/** The head of a real PNG up to its pixels, whatever comes then. */
/** The start of a PNG up to its pixels, which take 2 GiB by their header: what comes after the end of an image is not stored. */
async function pngHead(): Promise<Buffer> {
  const png = await makeImage({ type: 'png', width: 100, height: 100 })
  const pixels = png.indexOf('IDAT')
  png.writeUInt32BE(2 ** 31 - 1, pixels - 4)
  return png.subarray(0, pixels + 4)
}

/** Sends chunks as fast as they are taken. What was answered, if anything was. */
async function stream(
  server: ServerProcess,
  chunks: Iterable<string | Uint8Array>,
): Promise<{ status?: number; body: string }> {
  const request: ClientRequest = httpRequest({
    host: '127.0.0.1',
    port: server.port,
    method: 'POST',
    path: UPLOAD,
    headers: MULTIPART,
  })
  const answer = new Promise<IncomingMessage | undefined>((resolve) => {
    request.once('response', resolve)
    request.once('close', () => resolve(undefined))
    request.on('error', () => resolve(undefined))
  })
  let isAnswered = false
  void answer.then(() => {
    isAnswered = true
  })
  for (const chunk of chunks) {
    if (isAnswered || request.destroyed || request.errored) break
    if (!request.write(chunk)) await Promise.race([once(request, 'drain'), answer])
  }
  request.end()
  const response = await answer
  if (!response) return { body: '' }
  let body = ''
  for await (const chunk of response.setEncoding('utf8')) body += chunk
  return { status: response.statusCode ?? 0, body }
}

const part = (about: string) => `--${BOUNDARY}\r\nContent-Disposition: form-data; ${about}\r\n\r\n`
const END = `\r\n--${BOUNDARY}--\r\n`

if (process.platform !== 'linux') t.comment('memory is measured on Linux only')
else {
  for (const [name, open] of openers) {
    // The stand-in holds in memory what it stores
    if (name === 'the stand-in') continue
    t.test(`a file of 1 GiB takes less than 300 MB of memory (${name})`, async (t) => {
      const server = await serverOn(t, await open(t), { MAX_FILE_SIZE: '2GiB' })
      const head = await pngHead()
      const zeros = Buffer.alloc(MIB)
      function* chunks() {
        yield part('name="files"; filename="large.png"')
        yield head
        for (let n = 0; n < 1024; n++) yield zeros
        yield END
      }
      const begin = Date.now()
      const answer = await stream(server, chunks())
      t.equal(answer.status, 200, answer.body)
      const seconds = (Date.now() - begin) / 1000
      const { image_paths } = JSON.parse(answer.body) as Uploaded
      const stored = await send(server, 'HEAD', image_paths[0] ?? '')
      t.equal(stored.headers['content-length'], String(head.length + 1024 * MIB))
      const peak = await server.peakMemory()
      t.ok(peak < 300e6, `the peak is ${inMib(peak)} MiB`)
      t.comment(`1 GiB in ${seconds.toFixed(1)} s; the server's peak is ${inMib(peak)} MiB`)
      t.equal((await remove(server, IMAGES)).status, 200)
    })
  }

  t.test(
    '16 files of 45 MiB at once take less than 420 MB of memory, when the store takes 400 ms for a part',
    async (t) => {
      const store = await standInStore(t)
      const { standIn } = store
      standIn.onCall = async ({ operation }) => {
        if (operation === 'UploadPart') await sleep(400)
      }
      const server = await serverOn(t, store)
      const head = await pngHead()
      const zeros = Buffer.alloc(MIB)
      function* chunks() {
        yield part('name="files"; filename="large.png"')
        yield head
        for (let n = 0; n < 45; n++) yield zeros
        yield END
      }
      const begin = Date.now()
      const answers = await Promise.all(Array.from({ length: 16 }, () => stream(server, chunks())))
      const seconds = (Date.now() - begin) / 1000
      for (const { status, body } of answers) t.equal(status, 200, body)
      const peak = await server.peakMemory()
      t.ok(peak < 420e6, `the peak is ${inMib(peak)} MiB`)
      t.comment(`16 × 45 MiB in ${seconds.toFixed(1)} s; the server's peak is ${inMib(peak)} MiB`)
    },
  )

  const [disk] = openers
  t.test('a request of 1,000 text fields of 1 MiB is refused and takes next to no memory', async (t) => {
    if (!disk) throw new Error('no disk')
    const server = await serverOn(t, await disk[1](t))
    await get(server, IMAGES)
    const before = await server.peakMemory()
    const field = Buffer.alloc(MIB, 'x')
    function* chunks() {
      for (let n = 0; n < 1000; n++) {
        yield part(`name="field-${n}"`)
        yield field
        yield '\r\n'
      }
      yield END
    }
    const answer = await stream(server, chunks())
    await until('it is answered', () => server.log().some(({ operation }) => operation === 'uploadStory'))
    const logged = server.log().find(({ operation }) => operation === 'uploadStory')
    t.equal(logged?.status, 413)
    if (answer.status !== undefined) t.match(JSON.parse(answer.body), { detail: /text field/ })
    const rise = (await server.peakMemory()) - before
    t.ok(rise < 50e6, `memory rose by ${inMib(rise)} MiB`)
    t.comment(`memory rose by ${inMib(rise)} MiB; the client read ${answer.status ?? 'no answer'}`)
    t.same(await listImages(server), [])
  })
}
