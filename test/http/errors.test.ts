import t, { type Test } from 'tap'
import {
  eventually,
  INTERNALS,
  isDetail,
  multipart,
  type RawAnswer,
  smallImage,
  startApp,
  type TestApp,
  uploadHead,
} from '../support/app.ts'
import { ALL } from '../support/extent.ts'

function isError(t: Test, answer: RawAnswer, status: number, sentence: RegExp): void {
  t.equal(answer.status, status)
  t.ok(isDetail(answer.body), `a body of {"detail"} alone: ${answer.body.slice(0, 200)}`)
  t.match(JSON.parse(answer.body).detail, sentence)
  t.notMatch(answer.body, INTERNALS)
  t.equal(answer.headers['content-type'], 'application/json; charset=utf-8')
}

async function stillServes(t: Test, { url }: TestApp): Promise<void> {
  const response = await fetch(`${url}/api/v1/images`)
  t.same([response.status, await response.text()], [200, '[]'], 'the server still answers, and lists nothing')
}

const HOST = 'Host: test\r\n'

const REQUESTS: readonly (readonly [what: string, request: string, status: number, sentence: RegExp])[] = [
  ['an unknown route', `GET /nowhere HTTP/1.1\r\n${HOST}\r\n`, 404, /^There is no route GET "\/nowhere"$/],
  ['a file that no page has', `GET /docs/nothing HTTP/1.1\r\n${HOST}\r\n`, 404, /no route/],
  ['a method without a route', `PATCH /api/v1/images HTTP/1.1\r\n${HOST}\r\n`, 405, /does not support PATCH/],
  ['a method that only other servers have', `PROPFIND /api/v1/images HTTP/1.1\r\n${HOST}\r\n`, 405, /does not support/],
  ['a method that nobody has', `BREW /api/v1/images HTTP/1.1\r\n${HOST}\r\n`, 400, /not a valid HTTP\/1.1 request/],
  ['TRACE', `TRACE /nothing HTTP/1.1\r\n${HOST}\r\n`, 404, /no route/],
  ['OPTIONS *', `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`, 404, /no route/],
  ['a broken percent-encoding', `GET /api/v1/images/%zz HTTP/1.1\r\n${HOST}\r\n`, 400, /percent-encoding/],
  ['half an UTF-8 character', `GET /api/v1/images/%c3 HTTP/1.1\r\n${HOST}\r\n`, 400, /percent-encoding/],
  ['a story whose id is a path', `GET /api/v1/images/..%2f..%2fetc HTTP/1.1\r\n${HOST}\r\n`, 404, /There is no story/],
  ['a story of 5,000 letters', `GET /api/v1/images/${'a'.repeat(5000)} HTTP/1.1\r\n${HOST}\r\n`, 404, /There is no/],
  ['a NUL in the path', `GET /api/v1/images/%00 HTTP/1.1\r\n${HOST}\r\n`, 404, /There is no story/],
  ['a bad limit', `GET /api/v1/images?limit=0 HTTP/1.1\r\n${HOST}\r\n`, 400, /"limit" must be a whole number/],
  ['a limit given twice', `GET /api/v1/images?limit=1&limit=2 HTTP/1.1\r\n${HOST}\r\n`, 400, /"limit" must be/],
  ['a bad cursor', `GET /api/v1/images/story-ids?cursor=x HTTP/1.1\r\n${HOST}\r\n`, 400, /"cursor" must be taken/],
  ['a missing Host', 'GET /api/v1/images HTTP/1.1\r\n\r\n', 400, /needs exactly one Host header/],
  ['a missing Host on an unknown route', 'GET /nowhere HTTP/1.1\r\n\r\n', 400, /needs exactly one Host header/],
  ['an expectation that nobody meets', `GET / HTTP/1.1\r\n${HOST}Expect: 200-maybe\r\n\r\n`, 417, /100-continue/],
  ['CONNECT', 'CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n', 404, /no route CONNECT/],
  ['garbage', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', 400, /not a valid HTTP/],
  ['an HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, /not a valid HTTP/],
  ['a bad version', `GET / HTTP/7.7\r\n${HOST}\r\n`, 400, /not a valid HTTP/],
  ['a header without a name', `GET / HTTP/1.1\r\n${HOST}: x\r\n\r\n`, 400, /not a valid HTTP/],
  [
    'a Content-Length that is no number',
    `POST / HTTP/1.1\r\n${HOST}Content-Length: x\r\n\r\n`,
    400,
    /not a valid HTTP/,
  ],
  ['a negative Content-Length', `POST / HTTP/1.1\r\n${HOST}Content-Length: -1\r\n\r\n`, 400, /not a valid HTTP/],
  [
    'two framings, a way to smuggle requests',
    `POST / HTTP/1.1\r\n${HOST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
    /not a valid HTTP/,
  ],
  ['headers of 20 KB', `GET / HTTP/1.1\r\n${HOST}X: ${'a'.repeat(20_000)}\r\n\r\n`, 431, /larger than 16 KiB/],
  ['headers of 1 MB', `GET / HTTP/1.1\r\n${HOST}X: ${'a'.repeat(1_000_000)}\r\n\r\n`, 431, /larger than 16 KiB/],
  ['a URL of 20 KB', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\n${HOST}\r\n`, 431, /larger than 16 KiB/],
]

t.test('every request that is wrong is answered with its status and one sentence', async (t) => {
  const server = await startApp(t)
  for (const [what, request, status, sentence] of REQUESTS) {
    await t.test(what, async (t) => {
      const client = await server.connect()
      await client.write(request)
      isError(t, await client.answer(), status, sentence)
      await stillServes(t, server)
    })
  }
})

t.test('a request of HTTP/1.0 needs no Host', async (t) => {
  const server = await startApp(t)
  const client = await server.connect()
  await client.write('GET /api/v1/images HTTP/1.0\r\n\r\n')
  const answer = await client.answer()
  t.same([answer.status, answer.body], [200, '[]'])
  t.equal(await client.end(), 'closed')
})

t.test('a client that says Expect: 100-continue is told to go on', async (t) => {
  const server = await startApp(t)
  const body = multipart([
    { headers: ['Content-Disposition: form-data; name="files"; filename="a"'], body: await smallImage() },
  ])
  const client = await server.connect()
  await client.write(uploadHead(body.length, { more: ['Expect: 100-continue'] }))
  t.equal((await client.answer()).status, 100)
  await client.write(body)
  t.equal((await client.answer()).status, 200)
})

t.test('headers that never end are given up with 408', async (t) => {
  const server = await startApp(t)
  t.ok(server.app.server.headersTimeout > 0 && server.app.server.headersTimeout <= 60_000, 'within a minute')
  const client = await server.connect()
  await client.write('GET / HTTP/1.1\r\nX: ')
  // Node looks for such connections every 30 seconds; what it says then comes here at once
  const [socket] = await new Promise<[import('node:net').Socket]>((resolve) => {
    server.app.server.once('connection', (found) => resolve([found]))
    void server.connect()
  })
  server.app.server.emit('clientError', Object.assign(new Error(), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), socket)
  t.ok(await eventually(() => socket.destroyed), 'the connection is closed')
  client.socket.destroy()
  await stillServes(t, server)
})

t.test('a client that resets its connection in the middle of anything does no harm', async (t) => {
  const server = await startApp(t)
  const unfinished = [
    '',
    'GET /api',
    `GET /api/v1/images HTTP/1.1\r\n${HOST}\r\n`,
    'CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n',
    `GET / HTTP/1.1\r\n${HOST}Expect: x\r\n\r\n`,
    'garbage\r\n\r\n',
    `${uploadHead(1000)}--XX`,
    `GET / HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
  ]
  for (const delay of [0, 5]) {
    for (const bytes of unfinished) {
      for (let n = 0; n < 5; n++) {
        const client = await server.connect()
        await client.write(bytes)
        if (delay) await new Promise((resolve) => setTimeout(resolve, delay))
        client.socket.resetAndDestroy()
      }
    }
  }
  await stillServes(t, server)
})

t.test('a CONNECT whose client goes on sending and then resets does no harm', async (t) => {
  const server = await startApp(t)
  const sockets = new Set<import('node:net').Socket>()
  server.app.server.on('connection', (socket) => sockets.add(socket))
  for (let n = 0; n < 10; n++) {
    const client = await server.connect()
    await client.write('CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n')
    await client.answer()
    await client.write(Buffer.alloc(100_000))
    client.socket.resetAndDestroy()
  }
  t.ok(await eventually(() => [...sockets].every((socket) => socket.destroyed)), 'every connection is closed')
  await stillServes(t, server)
})

t.test('what is no HTTP may be followed by any number of bytes, and its sender still reads the error', async (t) => {
  const server = await startApp(t)
  const { connect } = await import('node:net')
  for (const [bytes, status] of [
    ['garbage\r\n\r\n', 400],
    [`GET / HTTP/1.1\r\n${HOST}X: ${'a'.repeat(20_000)}\r\n\r\n`, 431],
    ['CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n', 404],
  ] as const) {
    const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })
    socket.write(bytes)
    await new Promise<void>((resolve, reject) => {
      socket.write(Buffer.alloc(40_000_000, 'x'), (error) => (error ? reject(error) : resolve()))
    })
    let text = ''
    for await (const chunk of socket.setEncoding('utf8')) text += chunk
    t.match(text, new RegExp(`^HTTP/1\\.1 ${status} `))
    t.ok(isDetail(text.slice(text.indexOf('\r\n\r\n') + 4)), `one error, and nothing else: ${text}`)
  }
})

t.test('a client that keeps a refused connection open is cut off', async (t) => {
  const server = await startApp(t)
  const sockets = new Set<import('node:net').Socket>()
  server.app.server.on('connection', (socket) => sockets.add(socket))
  const { connect } = await import('node:net')
  for (const bytes of ['garbage\r\n\r\n', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n']) {
    const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    socket.resume()
    socket.write(bytes)
  }
  t.ok(await eventually(() => sockets.size === 2))
  t.ok(await eventually(() => [...sockets].every((socket) => socket.destroyed)), 'every connection is closed')
})

t.test('what follows an answer that is under way never gets into it', async (t) => {
  const server = await startApp(t)
  const image = await smallImage()
  for (let n = 0; n < (ALL ? 30 : 10); n++) {
    const form = new FormData()
    for (let k = 0; k < 20; k++) form.append('files', new Blob([Uint8Array.from(image)]), 'a.png')
    await fetch(`${server.url}/api/v1/images/upload`, { method: 'POST', body: form })
  }
  // Each answer, whole or cut off, has to be what it would be without the garbage behind it
  for (let n = 0; n < (ALL ? 20 : 8); n++) {
    const client = await server.connect()
    await client.write(`GET /api/v1/images HTTP/1.1\r\n${HOST}\r\n`)
    await new Promise((resolve) => setTimeout(resolve, n))
    await client.write('garbage\r\n\r\n')
    await client.end()
    const text = client.received
    const heads = text.split(/HTTP\/1\.1 \d{3}/).length - 1
    const first = text.indexOf('HTTP/1.1 ', 1)
    const isWhole = first < 0 || text.slice(0, first).endsWith('0\r\n\r\n')
    t.ok(heads <= 1 || isWhole, `answer ${n} has another one in its middle`)
  }
})
