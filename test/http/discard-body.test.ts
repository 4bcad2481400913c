import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import {
  eventually,
  filePart,
  isDetail,
  multipart,
  smallImage,
  startApp as startTestApp,
  type TestApp,
  uploadHead,
} from '../support/app.ts'
import { ALL, sample } from '../support/extent.ts'

const MIB = 1024 * 1024
const KEY = 'the-key-of-this-test'
const API_KEYS = `all:read+write+delete-all+metrics:${createHash('sha256').update(KEY).digest('hex')}`
const WITH_KEY = `X-API-Key: ${KEY}`
const DELETE_ALL = `DELETE /api/v1/images HTTP/1.1\r\nHost: test\r\n${WITH_KEY}\r\n\r\n`

const startApp = (t: Test, options: Record<string, string> = {}) =>
  startTestApp(t, { API_KEYS, MAX_FILE_SIZE: '1MiB', MAX_FILES: '50', ...options })

const image = await smallImage()

interface Refused {
  readonly what: string
  readonly status: number
  readonly headers: string[]
  readonly body: Buffer
}

/** Uploads of a bit more than a number of bytes, all of them refused. */
function refusedUploads(bytes: number): Refused[] {
  const large = Buffer.alloc(bytes, 'x')
  const form = (...bodies: (string | Buffer)[]) => multipart(bodies.map((body) => filePart(body)))
  const tooMany = Array<Buffer>(51).fill(image)
  return [
    { what: 'too large a file', status: 413, headers: [WITH_KEY], body: form(Buffer.concat([image, large])) },
    { what: 'no image', status: 415, headers: [WITH_KEY], body: form('no image', large) },
    { what: 'too many files', status: 413, headers: [WITH_KEY], body: form(...tooMany, large) },
    { what: 'a wrong key', status: 401, headers: ['X-API-Key: a-wrong-one'], body: form(large) },
  ]
}

const LARGE = refusedUploads(40 * MIB)
/** Longer than what is discarded without an end of the connection. */
const LONG = refusedUploads(4 * MIB)

/** A client that keeps its side open when the server closes its own. */
async function halfOpen({ port }: Pick<TestApp, 'port'>): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.setEncoding('latin1')
  await once(socket, 'connect')
  return socket
}

/** Everything that the server sends until its FIN; rejects with ECONNRESET when there is a reset instead. */
async function readToEnd(socket: Socket): Promise<string> {
  let text = ''
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) text += chunk
  return text
}

function isOneError(t: Test, text: string, status: number): void {
  const [head = '', body = ''] = text.split('\r\n\r\n')
  t.match(head, new RegExp(`^HTTP/1\\.1 ${status} `))
  t.match(head, /^connection: close$/im)
  t.ok(isDetail(body), `an error and nothing else: ${body}`)
}

function chunked(body: Buffer): Buffer {
  const pieces = Array.from({ length: Math.ceil(body.length / MIB) }, (_, n) => body.subarray(n * MIB, (n + 1) * MIB))
  return Buffer.concat(
    [...pieces.flatMap((piece) => [`${piece.length.toString(16)}\r\n`, piece, '\r\n']), '0\r\n\r\n'].map(Buffer.from),
  )
}

const FRAMINGS = {
  'Content-Length': (headers: string[], body: Buffer) => [uploadHead(body.length, { more: headers }), body],
  chunks: (headers: string[], body: Buffer) => [uploadHead('chunked', { more: headers }), chunked(body)],
  'HTTP/1.0': (headers: string[], body: Buffer) => [
    uploadHead(body.length, { more: headers }).replace('HTTP/1.1', 'HTTP/1.0'),
    body,
  ],
} as const

for (const [framing, form] of sample(Object.entries(FRAMINGS), 1)) {
  t.test(`a client that sends all of 40 MiB before it reads gets the refusal, then a FIN (${framing})`, async (t) => {
    const server = await startApp(t)
    for (const { what, status, headers, body } of LARGE) {
      await t.test(what, async (t) => {
        const socket = await halfOpen(server)
        const [head = '', bytes = ''] = form([...headers, 'Connection: close'], body)
        socket.write(head)
        await new Promise<void>((resolve, reject) =>
          socket.write(bytes, (error) => (error ? reject(error) : resolve())),
        )
        isOneError(t, await readToEnd(socket), status)
        socket.end()
        await once(socket, 'close')
      })
    }
  })
}

for (const [framing, form] of Object.entries(FRAMINGS)) {
  t.test(`a client that reads early gets the refusal, and no request after it is processed (${framing})`, async (t) => {
    const server = await startApp(t)
    const good = multipart([filePart(image)])
    const client = await server.connect()
    await client.write(uploadHead(good.length, { more: [WITH_KEY] }))
    await client.write(good)
    t.equal((await client.answer()).status, 200)
    for (const { what, status, headers, body } of LONG) {
      await t.test(what, async (t) => {
        const socket = await halfOpen(server)
        const [head = '', bytes = ''] = form(headers, body)
        socket.write(head)
        socket.write(bytes.slice(0, 2 * MIB))
        isOneError(t, await readToEnd(socket), status)
        socket.write(bytes.slice(2 * MIB))
        socket.end(DELETE_ALL)
        await once(socket, 'close')
        t.notOk(socket.errored, 'what it sends later does no harm')
        const ids = await fetch(`${server.url}/api/v1/images/story-ids`, { headers: { 'X-API-Key': KEY } })
        t.equal(((await ids.json()) as unknown[]).length, 1, 'the story is still there')
      })
    }
  })
}

t.test('a request is over with its response, whatever its client still sends', async (t) => {
  const server = await startApp(t)
  const metrics = () => server.app.metrics.text()
  for (const { what, status, headers, body } of LONG) {
    const socket = await halfOpen(server)
    socket.on('error', () => {})
    socket.write(uploadHead(body.length, { more: headers }))
    socket.write(body.subarray(0, 2 * MIB))
    isOneError(t, await readToEnd(socket), status)
    let sent = 2 * MIB
    const isOver = async () => {
      // The server closes a connection on which nothing has come for five seconds
      socket.write(body.subarray(sent, ++sent))
      const text = await metrics()
      const running = /^story_images_http_requests_running\{operation="uploadStory"\} (\d+)$/m.exec(text)?.[1]
      const memory = [...text.matchAll(/^story_images_\w*used\w*\{[^}]*uploads[^}]*\} (\d+)$/gm)].map(
        ([, used]) => used,
      )
      return running === '0' && memory.length > 0 && memory.every((used) => used === '0')
    }
    t.ok(await eventually(isOver), `${what}: it does not count as running, and holds no memory`)
    t.notOk(socket.closed, 'while its connection is still there')
    socket.destroy()
  }
})

t.test('a server that closes does not wait for the rest of refused bodies', async (t) => {
  const server = await startApp(t)
  const body = multipart([filePart(Buffer.alloc(4 * MIB))])
  const sockets = await Promise.all(
    [0, 1].map(async () => {
      const socket = await halfOpen(server)
      socket.write(uploadHead(body.length))
      socket.write(body.subarray(0, 2 * MIB))
      isOneError(t, await readToEnd(socket), 401)
      return socket.on('error', () => {})
    }),
  )
  const drip = setInterval(() => sockets[0]?.write('x'), 100)
  t.teardown(() => clearInterval(drip))
  await server.app.close()
  t.pass('it is closed')
})

t.test('a short body is discarded, and its connection goes on', async (t) => {
  const server = await startApp(t)
  const client = await server.connect()
  const lines = ['POST /nowhere HTTP/1.1', 'Host: test', 'Content-Length: 200000', '', '']
  for (let n = 0; n < 3; n++) {
    await client.write(lines.join('\r\n'))
    const answer = await client.answer()
    t.equal(answer.status, 404, 'at once')
    t.not(answer.headers.connection, 'close')
    await client.write(Buffer.alloc(200_000))
  }
  const body = multipart([filePart('no image'), filePart(Buffer.alloc(100_000))])
  await client.write(uploadHead(body.length, { more: [WITH_KEY] }))
  await client.write(body)
  t.equal((await client.answer()).status, 415)
  await client.write('GET /livez HTTP/1.1\r\nHost: test\r\n\r\n')
  t.equal((await client.answer()).status, 200, 'the next request is answered')
})

t.test('GET and DELETE may have a body, and DELETE a JSON type without one', async (t) => {
  const server = await startApp(t)
  const client = await server.connect()
  for (const method of ['GET', 'DELETE']) {
    for (const type of ['', 'application/json', 'multipart/form-data; boundary=x']) {
      for (const body of ['', '{', '{"a":1}', 'x'.repeat(100_000)]) {
        const lines = [`${method} /api/v1/images HTTP/1.1`, 'Host: test', WITH_KEY, `Content-Length: ${body.length}`]
        await client.write([...lines, ...(type ? [`Content-Type: ${type}`] : []), '', body].join('\r\n'))
        t.equal((await client.answer()).status, 200, `${method} ${type} ${body.length}`)
      }
    }
  }
  await client.write(DELETE_ALL.replace('\r\n\r\n', '\r\nContent-Type: application/json\r\n\r\n'))
  t.equal((await client.answer()).status, 200)
})

t.test('a list and an image do not wait for a body that does not come', async (t) => {
  const server = await startApp(t)
  const form = new FormData()
  form.append('files', new Blob([Uint8Array.from(image)]), 'a.png')
  const headers = { 'X-API-Key': KEY }
  const stored = await fetch(`${server.url}/api/v1/images/upload`, { method: 'POST', headers, body: form })
  const { image_paths } = (await stored.json()) as { image_paths: string[] }
  for (const framing of ['Content-Length: 5', `Content-Length: ${5 * MIB}`, 'Transfer-Encoding: chunked']) {
    for (const path of ['/api/v1/images', '/api/v1/images/story-ids', ...image_paths]) {
      const client = await server.connect()
      await client.write(`GET ${path} HTTP/1.1\r\nHost: test\r\n${WITH_KEY}\r\n${framing}\r\n\r\n`)
      t.equal((await client.answer()).status, 200, `${path} with ${framing}`)
      client.socket.destroy()
    }
  }
})

t.test('bytes behind the last boundary do not harm the upload', async (t) => {
  const server = await startApp(t)
  const client = await server.connect()
  const body = multipart([filePart(image)], { epilogue: 'x'.repeat(3 * MIB) })
  await client.write(uploadHead(body.length, { more: [WITH_KEY] }))
  await client.write(body)
  t.equal((await client.answer()).status, 200)
})

t.test('a client of fetch reads why its upload of 40 MiB was refused', async (t) => {
  const { url } = await startApp(t)
  const file = new Blob([Uint8Array.from(image), Buffer.alloc(40 * MIB)])
  for (let n = 0; n < (ALL ? 3 : 1); n++) {
    const form = new FormData()
    form.append('files', file, 'a.png')
    const headers = { 'X-API-Key': KEY }
    const response = await fetch(`${url}/api/v1/images/upload`, { method: 'POST', headers, body: form })
    t.same(
      [response.status, await response.json()],
      [413, { detail: 'File 1 is larger than 1 MiB, the limit for one file' }],
    )
  }
})
