import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import { signerOf } from '../../src/http/auth/signing.ts'
import { issueTicket } from '../../src/http/auth/ticket.ts'
import { filePart, isDetail, multipart, smallImage, startApp as startTestApp } from '../support/app.ts'

const GIB = 1024 ** 3
const SECRET = 'a-secret-of-32-characters-or-more'
const KEYS = { read: 'a-key-that-reads', write: 'a-key-that-writes', all: 'a-key-that-does-everything' }
const API_KEYS = Object.entries(KEYS)
  .map(([name, key]) => {
    const scopes = name === 'all' ? 'read+write+delete+delete-all' : name
    return `${name}:${scopes}:${createHash('sha256').update(key).digest('hex')}`
  })
  .join(',')

const startApp = (t: Test, options: Record<string, string> = {}) =>
  startTestApp(t, { API_KEYS, SIGNING_SECRETS: SECRET, PRIVATE_IMAGES: 'true', ...options })

const FORM = 'Content-Type: multipart/form-data; boundary=XX'
const JSON_TYPE = 'Content-Type: application/json'
const UPLOAD = 'POST /api/v1/images/upload'
const key = (name: keyof typeof KEYS) => `X-API-Key: ${KEYS[name]}`

const head = (request: string, ...lines: readonly string[]) =>
  [`${request} HTTP/1.1`, 'Host: test', 'Expect: 100-continue', ...lines, '', ''].join('\r\n')

const signer = signerOf(SECRET)
if (!signer) throw new Error('There is a secret')
const ticket = issueTicket(signer, {
  files: 2,
  bytes: 1000,
  issuer: 'write',
  expires: Math.ceil(Date.now() / 1000) + 600,
})

/** Requests whose headers alone say that there will be nothing of them. */
const DECIDED: readonly (readonly [what: string, status: number, request: string, ...lines: string[]])[] = [
  ['no key', 401, UPLOAD, FORM],
  ['a wrong key', 401, UPLOAD, FORM, 'Authorization: Bearer a-wrong-one'],
  ['a key without the scope', 403, UPLOAD, FORM, key('read')],
  ['a ticket that nobody has signed', 403, `${UPLOAD}?ticket=v1.e30.x`, FORM],
  ['an unknown route', 404, 'POST /nowhere', FORM, key('write')],
  ['a method that the path does not have', 405, 'PUT /api/v1/images/upload', FORM, key('write')],
  ['another type of body', 415, UPLOAD, 'Content-Type: image/png', key('write')],
  ['no type of body', 415, UPLOAD, key('write')],
  ['a body that is compressed', 415, UPLOAD, FORM, 'Content-Encoding: gzip', key('write')],
  ['no boundary', 400, UPLOAD, 'Content-Type: multipart/form-data', key('write')],
  ['an Idempotency-Key with spaces', 400, UPLOAD, FORM, 'Idempotency-Key: a b', key('write')],
  ['a URL that can not be read', 400, 'POST /%zz', FORM, key('write')],
  ['JSON of another type', 415, 'POST /api/v1/tickets', 'Content-Type: text/plain', key('write')],
  ['JSON without a key', 401, 'POST /api/v1/signed-urls', JSON_TYPE],
]

t.test('a request that its headers decide gets its final status, and no 100 Continue', async (t) => {
  const server = await startApp(t)
  for (const [what, status, request, ...lines] of DECIDED) {
    for (const framing of [`Content-Length: ${GIB}`, 'Transfer-Encoding: chunked']) {
      const client = await server.connect()
      await client.write(head(request, ...lines, framing))
      const answer = await client.answer()
      t.equal(answer.status, status, `${what}, ${framing}`)
      t.ok(isDetail(answer.body), answer.body)
      t.equal(answer.headers.connection, 'close', 'nobody knows whether the body will come')
      await client.end()
    }
  }
})

t.test('a client that sends too many requests is told so without 100 Continue', async (t) => {
  const server = await startApp(t, { RATE_LIMIT: '1' })
  for (const status of [100, 429]) {
    const client = await server.connect()
    await client.write(head(UPLOAD, FORM, key('write'), `Content-Length: ${GIB}`))
    t.equal((await client.answer()).status, status)
    client.socket.destroy()
  }
})

t.test('a length above every limit is refused by its header, with the limit in the sentence', async (t) => {
  const server = await startApp(t, { MAX_FILES: '3', MAX_FILE_SIZE: '2KiB' })
  const cases = [
    [UPLOAD, GIB, [FORM, key('write')], /: the limit is 3 files of 2 KiB each$/],
    [`${UPLOAD}?ticket=${ticket}`, GIB, [FORM], /3 files of 2 KiB each|1000 bytes in total/],
    ['POST /api/v1/tickets', 1025, [JSON_TYPE, key('write')], /larger than 1 KiB/],
  ] as const
  for (const [request, length, lines, sentence] of cases) {
    for (const expect of [true, false]) {
      const client = await server.connect()
      const text = head(request, ...lines, `Content-Length: ${length}`)
      await client.write(expect ? text : text.replace('Expect: 100-continue\r\n', ''))
      const answer = await client.answer()
      t.equal(answer.status, 413, request)
      t.match(JSON.parse(answer.body).detail, sentence)
      client.socket.destroy()
    }
  }
})

t.test("a length above the ticket's limit is refused by its header", async (t) => {
  const server = await startApp(t, { MAX_FILES: '3' })
  const client = await server.connect()
  await client.write(head(`${UPLOAD}?ticket=${ticket}`, FORM, `Content-Length: ${10 * 1024 * 1024}`))
  const answer = await client.answer()
  t.equal(answer.status, 413)
  t.match(JSON.parse(answer.body).detail, /1000 bytes in total, the limit of this upload ticket/)
})

t.test('no upload that is within the limits is refused for its length', async (t) => {
  const image = await smallImage()
  const server = await startApp(t, { MAX_FILES: '2', MAX_FILE_SIZE: '1KiB' })
  const file = (n: number) => {
    const { headers } = filePart(image)
    // As long as the headers of a part may be
    return {
      headers: [...headers, `X-${n}: ${'x'.repeat(8 * 1024 - 110)}`],
      body: Buffer.concat([image, Buffer.alloc(1024 - image.length)]),
    }
  }
  const field = (n: number) => ({
    headers: [`Content-Disposition: form-data; name="f${n}"`, `X-${n}: ${'x'.repeat(8 * 1024 - 110)}`],
    body: 'x'.repeat(1024),
  })
  const boundary = 'b'.repeat(70)
  const body = multipart([file(1), file(2), ...Array.from({ length: 16 }, (_, n) => field(n))], { boundary })
  const client = await server.connect()
  await client.write(head(UPLOAD, FORM.replace('XX', boundary), key('write'), `Content-Length: ${body.length}`))
  t.equal((await client.answer()).status, 100)
  await client.write(body)
  const answer = await client.answer()
  t.equal(answer.status, 200, answer.body)
})

t.test('a body that the route wants is asked for, then the request is answered', async (t) => {
  const server = await startApp(t)
  const form = multipart([filePart(await smallImage())])
  const paths = JSON.stringify({ paths: ['/images/stories/01900000-0000-7000-8000-000000000001/1.png'] })
  const cases = [
    ['an upload', 200, UPLOAD, FORM, form],
    ['an upload with a ticket', 200, `${UPLOAD}?ticket=${ticket}`, FORM, form],
    ['a ticket', 201, 'POST /api/v1/tickets', JSON_TYPE, '{}'],
    ['signed URLs', 200, 'POST /api/v1/signed-urls', JSON_TYPE, paths],
  ] as const
  for (const [what, status, request, type, body] of cases) {
    for (const framing of ['Content-Length', 'chunks']) {
      if (what.includes('ticket') && what !== 'a ticket' && framing === 'chunks') continue
      const client = await server.connect()
      const isChunked = framing === 'chunks'
      const length = isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`
      await client.write(head(request, type, key('all'), length))
      t.equal((await client.answer()).status, 100, `${what}, ${framing}`)
      if (isChunked) await client.write(`${body.length.toString(16)}\r\n`)
      await client.write(body)
      if (isChunked) await client.write('\r\n0\r\n\r\n')
      t.equal((await client.answer()).status, status)
      await client.write('GET /livez HTTP/1.1\r\nHost: test\r\n\r\n')
      t.equal((await client.answer()).status, 200, 'its connection is good for the next request')
    }
  }
})

t.test('an upload that waits for memory is asked for its body first', async (t) => {
  const server = await startApp(t, { UPLOAD_MEMORY: '48MiB' })
  // Each large one holds at least a seventh of the memory for large ones, and the rest wait for theirs
  for (let n = 0; n < 8; n++) {
    const client = await server.connect()
    await client.write(head(UPLOAD, FORM, key('write'), `Content-Length: ${20 * 1024 * 1024}`))
    t.equal((await client.answer()).status, 100)
    await client.write(Buffer.alloc(16 * 1024))
  }
})

t.test('requests that want no body ask for none, whatever their client expects', async (t) => {
  const server = await startApp(t)
  for (const request of ['GET /api/v1/images', 'DELETE /api/v1/images', 'GET /livez']) {
    const client = await server.connect()
    await client.write(head(request, key('all'), 'Content-Length: 1000000000'))
    const answer = await client.answer()
    t.equal(answer.status, 200, request)
    t.equal(answer.headers.connection, 'close')
    await client.end()
  }
})

t.test('an expectation is nothing to a request of HTTP/1.0', async (t) => {
  const server = await startApp(t)
  for (const expect of ['100-continue', 'wonders']) {
    const client = await server.connect()
    await client.write(`GET /livez HTTP/1.0\r\nExpect: ${expect}\r\n\r\n`)
    t.equal((await client.answer()).status, 200)
  }
})
