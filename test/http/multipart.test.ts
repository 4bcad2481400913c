import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  eventually,
  filePart,
  isDetail,
  multipart,
  type Part,
  smallImage,
  startApp,
  type TestApp,
  textPart,
  uploadHead,
} from '../support/app.ts'
import { sample } from '../support/extent.ts'
import { PATIENCE } from '../support/patience.ts'

const image = await smallImage()
const FILE = filePart(image)
const disposition = (value: string, body: string | Uint8Array = image): Part => ({
  headers: [`Content-Disposition: ${value}`],
  body,
})

async function listed({ url }: TestApp): Promise<{ story_id: string; path: string }[]> {
  return (await fetch(`${url}/api/v1/images`, { signal: AbortSignal.timeout(PATIENCE) })).json()
}

/** Nothing is listed, the store holds no object, and the next upload works. */
async function leavesNothing(t: Test, server: TestApp): Promise<void> {
  t.same(await listed(server), [], 'nothing is listed')
  t.ok(await eventually(async () => (await keys(server)).length === 0), 'nothing is stored')
}

async function keys({ store }: TestApp): Promise<string[]> {
  const found: string[] = []
  for await (const page of store.list({ prefix: '' })) found.push(...page.map(({ key }) => key))
  return found
}

/** Sends an upload and compares the answer; what is stored is removed again. */
async function send(t: Test, server: TestApp, body: Uint8Array, status: number, sentence?: RegExp): Promise<void> {
  const client = await server.connect()
  await client.write(uploadHead(body.length))
  await client.write(body)
  const answer = await client.answer()
  client.socket.destroy()
  t.equal(answer.status, status, answer.body)
  if (status === 200) {
    const { story_id, image_paths } = JSON.parse(answer.body)
    for (const path of image_paths) {
      const stored = Buffer.from(await (await fetch(server.url + path)).arrayBuffer())
      t.ok(stored.equals(image), `${path} is what was sent`)
    }
    await fetch(`${server.url}/api/v1/images/${story_id}`, { method: 'DELETE' })
  } else {
    t.ok(isDetail(answer.body))
    if (sentence) t.match(JSON.parse(answer.body).detail, sentence)
  }
  await leavesNothing(t, server)
}

const NONE = /^No files provided$/
/** As browsers send it. */
const NOT_CHOSEN = filePart(Buffer.alloc(0), 'files', '')
const BROKEN = /broken or ends before its last boundary/
const RESERVED = /^A part has a reserved name, such as "constructor"/
const UNUSABLE = /^The headers of part 1 are invalid: .*Content-Disposition: form-data with a name.* 8 KiB/
/** A file and a boundary, and this behind it. */
const ended = (by: string) => Buffer.concat([multipart([FILE], { last: false }), Buffer.from(`--XX${by}`)])
const CASES: readonly (readonly [what: string, body: Buffer, status: number, sentence?: RegExp])[] = [
  ['one file', multipart([FILE]), 200],
  ['a text field beside the file', multipart([textPart('title', 'x'), FILE, textPart('more', 'y')]), 200],
  ['a preamble and an epilogue', multipart([FILE], { preamble: 'Hello\r\n', epilogue: '\r\nBye\r\n' }), 200],
  ['an epilogue with boundaries', multipart([FILE], { epilogue: '\r\n--XX\r\n--XX-\r\n--XX--\r\n' }), 200],
  ['a space after each boundary', multipart([FILE, FILE], { padding: ' ' }), 200],
  [
    'spaces and tabs after each boundary, the last one too',
    multipart([textPart('title', 'x'), FILE, FILE], { padding: ' \t  ', epilogue: '\t \r\n' }),
    200,
  ],
  ['1,024 spaces after each boundary', multipart([FILE, FILE], { padding: ' '.repeat(1024) }), 200],
  ['a space and a letter after each boundary', multipart([FILE], { padding: ' x' }), 400, UNUSABLE],
  [
    'a space after the second boundary alone',
    Buffer.concat([multipart([FILE], { last: false }), multipart([FILE], { padding: ' ' })]),
    400,
    /^The headers of part 2 are invalid/,
  ],
  ['a missing last boundary after others with spaces', multipart([FILE], { padding: ' ', last: false }), 400, BROKEN],
  ['nothing but the beginning of a boundary', Buffer.from('--X'), 400, BROKEN],
  ['nothing behind the last boundary', multipart([FILE], { epilogue: '' }), 200],
  // The parser keeps fields in an object and so refuses these names
  ['a field called __proto__', multipart([textPart('__proto__', '{"a":1}'), FILE]), 400, RESERVED],
  ['a field called constructor', multipart([textPart('constructor', 'x'), FILE]), 400, RESERVED],
  ['a field called toString', multipart([textPart('toString', 'x'), FILE]), 400, RESERVED],
  ['a file part called __proto__', multipart([filePart(image, '__proto__')]), 400, RESERVED],
  ['a file part called constructor', multipart([filePart(image, 'constructor')]), 400, RESERVED],
  ['a file part of another name behind a good one', multipart([FILE, filePart(image, 'file')]), 400, /File part 2/],
  ['a text field called files', multipart([textPart('files', 'x')]), 400, /text field is named "files"/],
  ['a file name that is a path', multipart([filePart(image, 'files', '../../etc/passwd')]), 200],
  ['a file name in UTF-8', multipart([filePart(image, 'files', 'Bär \u{1f43b}.png')]), 200],
  ['an extended file name', multipart([disposition(`form-data; name="files"; filename*=UTF-8''a%20b.png`)]), 200],
  ['a name without quotes', multipart([disposition('form-data; name=files; filename=a.png')]), 200],
  [
    'header names in lower case',
    multipart([{ headers: ['content-disposition: form-data; name="files"; filename="a"'], body: image }]),
    200,
  ],
  ['files as PHP names them', multipart([filePart(image, 'files[]'), filePart(image, 'files[0]')]), 200],
  ['a file part called files[a]', multipart([filePart(image, 'files[a]')]), 400, /File part 1 is not named "files"/],
  ['a text field called files[]', multipart([textPart('files[]', 'x')]), 400, /text field is named "files"/],
  ['file inputs in which nothing was chosen', multipart([NOT_CHOSEN, FILE, NOT_CHOSEN, FILE]), 200],
  ['only such inputs', multipart([NOT_CHOSEN, NOT_CHOSEN]), 400, NONE],
  ['such an input of another name', multipart([filePart(Buffer.alloc(0), 'photo', ''), FILE]), 200],
  ['a part with an empty file name and a body', multipart([filePart(image, 'files', '')]), 200],
  ['an empty file with a name', multipart([NOT_CHOSEN, FILE, filePart(Buffer.alloc(0))]), 400, /^File 2 is empty$/],
  ['no parts at all', multipart([]), 400],
  ['an empty body', Buffer.alloc(0), 400, NONE],
  ['only text fields', multipart([textPart('a', 'b')]), 400, NONE],
  [
    'a part without Content-Disposition',
    multipart([{ headers: ['Content-Type: image/png'], body: image }]),
    400,
    UNUSABLE,
  ],
  ['a part without any header', multipart([{ headers: [], body: image }]), 400, UNUSABLE],
  [
    'a part without a name',
    multipart([disposition('form-data; filename="a.png"')]),
    400,
    /File part 1 is not named "files"/,
  ],
  [
    'a bare line feed before the file name',
    multipart([disposition('form-data; name="title";\n filename="a.png"')]),
    400,
    UNUSABLE,
  ],
  [
    'a bare line feed in a line that goes on with the file name',
    multipart([disposition('form-data; name="title"\r\n ; filename="a.png"\nX: y')]),
    400,
    UNUSABLE,
  ],
  [
    'a bare carriage return in a header',
    multipart([disposition('form-data; name="title"\r ; filename="a.png"')]),
    400,
    UNUSABLE,
  ],
  [
    'a part that is an attachment',
    multipart([disposition('attachment; name="files"; filename="a.png"')]),
    400,
    UNUSABLE,
  ],
  ['a missing last boundary', multipart([FILE], { last: false }), 400, BROKEN],
  ['a body that ends in the middle of a file', multipart([FILE]).subarray(0, -60), 400, BROKEN],
  ['a body that ends in the middle of the second file', multipart([FILE, FILE]).subarray(0, -60), 400, BROKEN],
  ['a body that ends in the last boundary', multipart([FILE, FILE]).subarray(0, -6), 400, BROKEN],
  ['a body that ends in the middle of a part header', Buffer.from('--XX\r\nContent-Dispo'), 400, BROKEN],
  ['two boundaries with one dash each for the last one', ended('-\r\n--XX-\r\n'), 400, BROKEN],
  ['a boundary with one dash before the last one', ended('-\r\n--XX--\r\n'), 400, BROKEN],
  ['another boundary', multipart([FILE], { boundary: 'YY' }), 400],
  ['LF only line ends', multipart([FILE], { eol: '\n' }), 400],
  ['an empty file', multipart([filePart('')]), 400, /File 1 is empty/],
  [
    'a part header of 1 MB',
    multipart([{ headers: [`X: ${'a'.repeat(1e6)}`, ...FILE.headers], body: image }]),
    400,
    UNUSABLE,
  ],
  [
    '10,000 headers in one part',
    multipart([{ headers: [...Array(10_000).fill('X: y'), ...FILE.headers], body: image }]),
    400,
    UNUSABLE,
  ],
  ['a text field of 2 KB', multipart([textPart('a', 'x'.repeat(2048)), FILE]), 413, /text field is larger than 1 KiB/],
  ['a text field of 5 MB', multipart([textPart('a', 'x'.repeat(5e6)), FILE]), 413, /text field is larger than 1 KiB/],
  ['17 text fields', multipart([...Array(17).fill(textPart('a', 'b')), FILE]), 413, /more than 16 text fields/],
  ['20,000 text fields', multipart(Array(20_000).fill(textPart('a', 'b'))), 413, /more than 16 text fields/],
  ['20,000 parts without headers', multipart(Array(20_000).fill({ headers: [], body: '' })), 400, UNUSABLE],
  ['20,000 empty files', multipart(Array(20_000).fill(filePart(''))), 400, /File 1 is empty/],
  [
    'nested multipart',
    multipart([
      {
        headers: ['Content-Disposition: form-data; name="files"', 'Content-Type: multipart/mixed; boundary=YY'],
        body: multipart([FILE], { boundary: 'YY' }),
      },
    ]),
    400,
  ],
]

t.test('every form of a multipart body is stored whole or refused whole', async (t) => {
  const server = await startApp(t)
  for (const [what, body, status, sentence] of CASES) {
    await t.test(what, (t) => send(t, server, body, status, sentence))
  }
  await t.test('a good upload afterwards', (t) => send(t, server, multipart([FILE, FILE]), 200))
})

t.test('a part with two Content-Dispositions is never a 5xx and never hangs', async (t) => {
  const server = await startApp(t)
  const both = [
    'Content-Disposition: form-data; name="files"; filename="a.png"',
    'Content-Disposition: form-data; name="other"; filename="b.png"',
  ]
  for (const headers of [both, [...both].reverse()]) {
    const client = await server.connect()
    const body = multipart([{ headers, body: image }])
    await client.write(Buffer.concat([Buffer.from(uploadHead(body.length)), body]))
    const answer = await client.answer()
    t.ok(answer.status === 200 || (answer.status === 400 && isDetail(answer.body)), `${answer.status}`)
  }
})

t.test('no more files than MAX_FILES', async (t) => {
  const server = await startApp(t, { MAX_FILES: '3' })
  await send(t, server, multipart(Array(3).fill(FILE)), 200)
  await send(t, server, multipart(Array(4).fill(FILE)), 413, /more than 3 files/)
  await send(t, server, multipart([...Array(3).fill(FILE), ...Array(16).fill(textPart('a', 'b'))]), 200)
  await send(t, server, multipart([...Array(16).fill(textPart('a', 'b')), ...Array(3).fill(FILE)]), 200)
  await send(t, server, multipart([...Array(16).fill(textPart('a', 'b')), ...Array(4).fill(FILE)]), 413, /more than 3/)
})

t.test('20,000 text fields are refused, with less work than a second of the processor', async (t) => {
  const server = await startApp(t)
  const body = multipart(Array(20_000).fill(textPart('a', 'b')))
  const client = await server.connect()
  const start = process.cpuUsage()
  await client.write(uploadHead(body.length))
  await client.write(body)
  t.equal((await client.answer()).status, 413)
  const { user, system } = process.cpuUsage(start)
  t.ok(user + system < 1e6, `took ${user + system} microseconds`)
})

t.test('the boundary may be quoted, and any character that RFC 2046 allows', async (t) => {
  const server = await startApp(t)
  for (const boundary of ["'()+_,-./:=? a", 'x'.repeat(70), '--', '-']) {
    const body = multipart([FILE], { boundary })
    const client = await server.connect()
    await client.write(uploadHead(body.length, { boundary: `"${boundary}"` }))
    await client.write(body)
    t.equal((await client.answer()).status, 200, boundary)
  }
})

t.test('a request without a body has no files, whatever its type', async (t) => {
  const server = await startApp(t)
  const types = [undefined, 'multipart/form-data', 'multipart/form-data; boundary=XX', 'application/json']
  for (const type of types) {
    for (const length of ['', 'Content-Length: 0\r\n']) {
      const client = await server.connect()
      const header = type === undefined ? '' : `Content-Type: ${type}\r\n`
      await client.write(`POST /api/v1/images/upload HTTP/1.1\r\nHost: test\r\n${header}${length}\r\n`)
      const answer = await client.answer()
      t.equal(answer.status, 400, `${type}, ${length}`)
      t.match(JSON.parse(answer.body).detail, NONE)
      client.socket.destroy()
    }
  }
})

t.test('a compressed body is refused, and told what is accepted', async (t) => {
  const server = await startApp(t)
  const response = await fetch(`${server.url}/api/v1/images/upload`, {
    method: 'POST',
    headers: { 'content-type': 'multipart/form-data; boundary=XX', 'content-encoding': 'gzip' },
    body: new Uint8Array(multipart([FILE])),
  })
  t.equal(response.status, 415)
  t.equal(response.headers.get('accept-encoding'), 'identity')
  t.ok(isDetail(await response.text()))
})

t.test('a Content-Type without a usable boundary, or of another kind, is refused', async (t) => {
  const server = await startApp(t)
  const body = multipart([FILE])
  for (const [type, status, sentence] of [
    ['multipart/form-data', 400, /no multipart boundary/],
    ['multipart/form-data; boundary=', 400, /no multipart boundary|broken/],
    ['multipart/form-data; boundary=""', 400, /no multipart boundary|broken/],
    ['multipart/mixed; boundary=XX', 415, /multipart\/form-data/],
    ['application/x-www-form-urlencoded', 415, /multipart\/form-data/],
    ['application/json', 415, /multipart\/form-data/],
    ['image/png', 415, /multipart\/form-data/],
    ['nonsense', 415, /multipart\/form-data/],
    [undefined, 415, /multipart\/form-data/],
  ] as const) {
    const client = await server.connect()
    const header = type === undefined ? '' : `Content-Type: ${type}\r\n`
    await client.write(
      `POST /api/v1/images/upload HTTP/1.1\r\nHost: test\r\n${header}Content-Length: ${body.length}\r\n\r\n`,
    )
    await client.write(body)
    const answer = await client.answer()
    t.equal(answer.status, status, `${type}`)
    t.match(JSON.parse(answer.body).detail, sentence, `${type}`)
    client.socket.destroy()
  }
  await leavesNothing(t, server)
})

t.test('a body may be cut into chunks at every place', async (t) => {
  const server = await startApp(t)
  const body = multipart([textPart('a', 'b'), FILE, FILE])
  const head = uploadHead(body.length)
  const client = await server.connect()
  // The image's own bytes are of no interest to the parser but at their ends
  const from = body.indexOf(image)
  const places = Array.from({ length: body.length }, (_, at) => at).filter(
    (at) => at < from + 40 || at > from + image.length - 40,
  )
  const places2 = places.filter((at) => at < from + 40 || at < body.lastIndexOf(image) + 8 || at > body.length - 60)
  let failed = 0
  const tried = sample(places2, 15)
  for (const at of tried) {
    await client.write(Buffer.concat([Buffer.from(head), body.subarray(0, at)]))
    // So that it arrives by itself
    await new Promise(setImmediate)
    await client.write(body.subarray(at))
    if ((await client.answer()).status !== 200) failed++
  }
  t.equal(failed, 0, `of ${tried.length} places`)
  const stories = new Set((await listed(server)).map((entry) => entry.story_id))
  t.equal(stories.size, tried.length)
  const paths = (await listed(server)).map(({ path }) => path)
  t.equal(paths.length, 2 * tried.length)
  const whole = await Promise.all(
    paths.map(async (path) => Buffer.from(await (await fetch(server.url + path)).arrayBuffer()).equals(image)),
  )
  t.notOk(whole.includes(false), 'every image is whole')
})

for (const padding of ['', ' \t'])
  t.test(`a body may come byte by byte${padding && ', with padding after its boundaries'}`, async (t) => {
    const server = await startApp(t)
    const body = multipart([FILE], { padding })
    const client = await server.connect()
    for (const byte of Buffer.concat([Buffer.from(uploadHead(body.length)), body])) {
      await client.write(Buffer.of(byte))
      await new Promise(setImmediate)
    }
    t.equal((await client.answer()).status, 200)
    const [entry] = await listed(server)
    t.ok(Buffer.from(await (await fetch(server.url + entry?.path)).arrayBuffer()).equals(image))
  })

const chunk = (bytes: Uint8Array, size = bytes.length.toString(16)) =>
  Buffer.concat([Buffer.from(`${size}\r\n`), bytes, Buffer.from('\r\n')])
const LAST_CHUNK = Buffer.from('0\r\n\r\n')

t.test('a chunked body is taken, and a broken one refused', async (t) => {
  const server = await startApp(t)
  const body = multipart([FILE])
  const good = await server.connect()
  await good.write(uploadHead('chunked'))
  for (let at = 0; at < body.length; at += 7) await good.write(chunk(body.subarray(at, at + 7)))
  await good.write(LAST_CHUNK)
  const answer = await good.answer()
  t.equal(answer.status, 200)
  await fetch(`${server.url}/api/v1/images/${JSON.parse(answer.body).story_id}`, { method: 'DELETE' })

  const half = body.subarray(0, 100)
  for (const [what, rest] of [
    ['a bad chunk size', chunk(half, 'zz')],
    ['a chunk longer than it says', chunk(half, '5')],
    ['an end in the middle', Buffer.concat([chunk(half), LAST_CHUNK])],
  ] as const) {
    const client = await server.connect()
    await client.write(uploadHead('chunked'))
    await sleep(5)
    await client.write(rest)
    const refused = await client.answer()
    t.equal(refused.status, 400, what)
    t.ok(isDetail(refused.body), what)
  }
  await leavesNothing(t, server)
})

t.test('a Content-Length that is too long waits no longer than CLIENT_TIMEOUT', async (t) => {
  const server = await startApp(t, { CLIENT_TIMEOUT: '2s' })
  const body = multipart([FILE], { last: false })
  const client = await server.connect()
  await client.write(uploadHead(body.length + 100))
  await client.write(body)
  const start = Date.now()
  const answer = await client.answer()
  t.equal(answer.status, 408)
  t.match(JSON.parse(answer.body).detail, /No bytes of the upload arrived for 2 seconds/)
  t.comment(`after ${Date.now() - start} ms`)
  await leavesNothing(t, server)
})

t.test('an upload that stalls in its first boundary is discarded when it goes on after the response', async (t) => {
  const server = await startApp(t, { CLIENT_TIMEOUT: '2s' })
  const body = multipart([FILE, filePart(Buffer.alloc(2_000_000))])
  const client = await server.connect()
  await client.write(uploadHead(body.length))
  await client.write(body.subarray(0, 3))
  t.equal((await client.answer()).status, 408)
  await client.write(body.subarray(3))
  client.socket.end()
  await client.end()
  await leavesNothing(t, server)
})

t.test('an empty body that waits for memory is an upload without files once there is room', async (t) => {
  const server = await startApp(t, { UPLOAD_MEMORY: '48MiB' })
  const large = await Promise.all(Array.from({ length: 4 }, () => server.connect()))
  for (const client of large) {
    await client.write(uploadHead(30_000_000))
    await client.write(multipart([filePart(Buffer.concat([image, Buffer.alloc(20_000)]))], { last: false }))
  }
  const queued = async () =>
    /story_images_queue_length\{queue="large_uploads"\} [1-9]/.test(await (await fetch(`${server.url}/metrics`)).text())
  const empty = await server.connect()
  let sent = false
  t.ok(
    await eventually(async () => {
      if (!sent) await empty.write(uploadHead('chunked'))
      if (!sent) await empty.write(LAST_CHUNK)
      sent = true
      return queued()
    }),
    'it waits',
  )
  for (const client of large) client.socket.destroy()
  const { status, body } = await empty.answer()
  t.equal(status, 400)
  t.match(body, /No files provided/)
})

t.test('an upload that drips goes on until UPLOAD_TIMEOUT, and no longer', async (t) => {
  const server = await startApp(t, { CLIENT_TIMEOUT: '3s', UPLOAD_TIMEOUT: '4s' })
  const client = await server.connect()
  await client.write(uploadHead(10_000_000))
  await client.write('--XX\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n')
  await client.write(image.subarray(0, 100))
  const drip = setInterval(() => void client.write('x'.repeat(4000)), 50)
  const answer = await client.answer()
  clearInterval(drip)
  t.equal(answer.status, 408)
  t.match(JSON.parse(answer.body).detail, /longer than 4 seconds/)
  await leavesNothing(t, server)
})

t.test('a client that closes its side in the middle is told so, and one that is gone leaves nothing', async (t) => {
  const server = await startApp(t)
  const body = multipart([FILE])
  const half = await server.connect()
  await half.write(uploadHead(body.length))
  await half.write(body.subarray(0, -50))
  half.socket.end()
  await half.end()
  t.ok(half.received === '' || /^HTTP\/1\.1 400/.test(half.received), half.received.slice(0, 80))
  const gone = await server.connect()
  await gone.write(uploadHead(body.length))
  await gone.write(body.subarray(0, -50))
  gone.socket.resetAndDestroy()
  await leavesNothing(t, server)
})

t.test('a Content-Length that is too short is refused, and what follows is no second story', async (t) => {
  const server = await startApp(t)
  const body = multipart([FILE])
  for (const missing of [5, 30, body.length]) {
    const client = await server.connect()
    await client.write(uploadHead(body.length - missing))
    await client.write(body)
    await client.end()
    t.notMatch(client.received, /^HTTP\/1\.1 [25]/)
    t.ok(client.received === '' || /^HTTP\/1\.1 400/.test(client.received), client.received.slice(0, 60))
  }
  await leavesNothing(t, server)
})

t.test('pipelined requests are answered one by one, in their order', async (t) => {
  const server = await startApp(t)
  const body = multipart([FILE])
  const upload = Buffer.concat([Buffer.from(uploadHead(body.length)), body])
  const list = Buffer.from('GET /api/v1/images/story-ids HTTP/1.1\r\nHost: test\r\n\r\n')
  const refused = Buffer.from('GET /nowhere HTTP/1.1\r\nHost: test\r\n\r\n')
  const client = await server.connect()
  await client.write(Buffer.concat([upload, refused, upload, list]))
  const statuses: number[] = []
  for (let n = 0; n < 4; n++) statuses.push((await client.answer()).status)
  t.same(statuses, [200, 404, 200, 200])
})
