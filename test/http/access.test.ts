import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { ConfigError, readConfig } from '../../src/config.ts'
import { findKey, keyIn, parseApiKeys } from '../../src/http/auth/keys.ts'
import { checkSignedUrl, signUrl } from '../../src/http/auth/signed-url.ts'
import { nowSeconds, signerOf } from '../../src/http/auth/signing.ts'
import { isLoopback, startUpCheck } from '../../src/http/auth/start-up-check.ts'
import { issueTicket, readTicket, withinTicket } from '../../src/http/auth/ticket.ts'
import {
  filePart,
  isDetail,
  multipart,
  type Part,
  smallImage,
  startApp as startTestApp,
  storyId,
  type TestApp,
  textPart,
  uploadHead,
} from '../support/app.ts'

const SCOPES = ['read', 'write', 'delete', 'delete-all', 'metrics'] as const
const hashOf = (key: string) => createHash('sha256').update(key).digest('hex')
const newKey = () => randomBytes(32).toString('base64url')

/** A key for each scope, and one for all of them. */
const KEYS: Record<string, string> = Object.fromEntries([...SCOPES, 'all'].map((name) => [name, newKey()]))
const API_KEYS = Object.entries(KEYS)
  .map(([name, key]) => `${name}:${name === 'all' ? SCOPES.join('+') : name}:${hashOf(key)}`)
  .join(', ')
const SECRET = 'an-old-secret-of-32-characters-or-more'
const NEW_SECRET = 'a-new-secret-of-32-characters-or-more'
const PRIVATE = { API_KEYS, SIGNING_SECRETS: SECRET, PRIVATE_IMAGES: 'true' }

/** Not one that a busy machine makes refuse what it is asked. */
const startApp = (t: Test, options: Record<string, string> = {}) =>
  startTestApp(t, { MAX_EVENT_LOOP_DELAY: '60s', ...options })

const bearer = (key = '') => ({ authorization: `Bearer ${key}` })
const FORM = { 'content-type': 'multipart/form-data; boundary=XX' }

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

async function ask(
  server: Pick<TestApp, 'url'>,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: string | Uint8Array<ArrayBuffer>,
): Promise<Answer> {
  const answer = await fetch(server.url + path, { method, headers, ...(body !== undefined && { body }) })
  return { status: answer.status, headers: answer.headers, text: await answer.text() }
}

const askJson = (server: Pick<TestApp, 'url'>, path: string, body: unknown, headers: Record<string, string>) =>
  ask(server, 'POST', path, { ...headers, 'content-type': 'application/json' }, JSON.stringify(body))

function isRefused(t: Test, { status, text }: Answer, expected: number, sentence: RegExp, what = ''): void {
  t.equal(status, expected, `${what}: ${text}`)
  t.ok(isDetail(text), `${what}: a body of {"detail"} alone`)
  t.match(JSON.parse(text).detail, sentence, what)
}

async function upload(server: TestApp, headers: Record<string, string>, parts?: Part[], query = '') {
  const body = new Uint8Array(multipart(parts ?? [filePart(await smallImage())]))
  return ask(server, 'POST', `/api/v1/images/upload${query}`, { ...FORM, ...headers }, body)
}

// Keys

t.test('a key is read from its option, and found by its hash alone', async (t) => {
  const keys = parseApiKeys(` web:read+write:${hashOf('a')} , admin:delete-all:${hashOf('b')}`)
  t.same(
    keys.map(({ name, scopes }) => [name, [...scopes]]),
    [
      ['web', ['read', 'write']],
      ['admin', ['delete-all']],
    ],
  )
  t.equal(findKey(keys, 'a')?.name, 'web')
  t.equal(findKey(keys, 'b')?.name, 'admin')
  for (const wrong of ['', 'c', 'A', 'a ', hashOf('a')]) t.equal(findKey(keys, wrong), undefined, wrong)
  t.same(parseApiKeys(undefined), [])
})

t.test('a key is shown in one of two headers', async (t) => {
  t.equal(keyIn({ authorization: 'Bearer abc' }), 'abc')
  t.equal(keyIn({ authorization: 'bearer  abc ' }), 'abc')
  t.equal(keyIn({ 'x-api-key': 'abc' }), 'abc')
  t.equal(keyIn({ authorization: 'Basic eDp5', 'x-api-key': 'abc' }), 'abc', 'Basic is for somebody else')
  t.equal(keyIn({ 'x-api-key': '' }), undefined, 'an empty one is none')
  for (const authorization of ['', 'Bearer', 'Bearer ', 'Bearer a b', 'Token abc']) {
    t.equal(keyIn({ authorization }), undefined, authorization)
  }
})

t.test('finding a key takes as long for a wrong one that begins like it as for any other', async (t) => {
  const keys = parseApiKeys(API_KEYS)
  const near = `${KEYS.read?.slice(0, -1)}!`
  const far = newKey()
  const times: [number[], number[]] = [[], []]
  const timed = (shown: string, into: number[]) => {
    const begin = process.hrtime.bigint()
    for (let time = 0; time < 200; time++) findKey(keys, shown)
    into.push(Number(process.hrtime.bigint() - begin))
  }
  // In turn, so that whatever else the machine does meets both; the median, so that it does not count
  for (let round = 0; round < 101; round++) {
    timed(near, times[0])
    timed(far, times[1])
  }
  const [a = 0, b = 0] = times.map((list) => list.sort((x, y) => x - y)[50])
  t.ok(a / b > 0.7 && a / b < 1.4, `${a / b} times as long`)
})

// Exposure

t.test('without keys nobody but this machine is listened to, unless ALLOW_OPEN says so', async (t) => {
  for (const host of ['localhost', '127.0.0.1', '127.1.2.3', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1']) {
    t.ok(isLoopback(host), host)
    t.match(startUpCheck(readConfig({ HOST: host })), { isOpen: false, sentence: /only this machine/ }, host)
  }
  for (const host of [
    '0.0.0.0',
    '::',
    '10.0.0.1',
    '128.0.0.1',
    '::2',
    '::ffff:10.0.0.1',
    'example.org',
    '127.evil.org',
  ]) {
    t.notOk(isLoopback(host), host)
    t.throws(() => startUpCheck(readConfig({ HOST: host })), ConfigError, host)
    t.throws(() => startUpCheck(readConfig({ HOST: host })), /HOST=.*set API_KEYS, or ALLOW_OPEN=true/, host)
    t.match(
      startUpCheck(readConfig({ HOST: host, ALLOW_OPEN: 'true' })),
      { isOpen: true, sentence: /ALLOW_OPEN/ },
      host,
    )
    const { sentence, isOpen } = startUpCheck(readConfig({ HOST: host, API_KEYS }))
    t.equal(isOpen, false)
    t.match(sentence, /needs a key: read \(read\); .*all \(read, write, delete, delete-all, metrics\)/)
    t.notMatch(sentence, /[0-9a-f]{64}/, 'no hashes')
  }
})

// Scopes

t.test('each route is open to its own scope alone, and what is public to everybody', async (t) => {
  const server = await startApp(t, { API_KEYS, SIGNING_SECRETS: SECRET })
  const { headers } = await upload(server, bearer(KEYS.write))
  t.ok(headers.get('x-request-id'))
  const story = JSON.parse((await upload(server, bearer(KEYS.write))).text)
  const image: string = story.image_paths[0]
  const none = storyId(1)
  const scoped: [method: string, path: string, scope: string, status: number][] = [
    ['GET', '/api/v1/images', 'read', 200],
    ['GET', '/api/v1/images?limit=1', 'read', 200],
    ['GET', '/api/v1/images/story-ids', 'read', 200],
    ['GET', `/api/v1/images/${story.story_id}`, 'read', 200],
    ['GET', `/api/v1/images/${none}`, 'read', 404],
    ['POST', '/api/v1/images/upload', 'write', 400],
    ['POST', '/api/v1/tickets', 'write', 201],
    ['DELETE', `/api/v1/images/${none}`, 'delete', 404],
    ['POST', `/api/v1/images/${none}/restore`, 'delete', 404],
    ['DELETE', '/api/v1/images', 'delete-all', 200],
    ['GET', '/metrics', 'metrics', 200],
  ]
  for (const [method, path, scope, status] of scoped) {
    const what = `${method} ${path}`
    const noKey = await ask(server, method, path)
    isRefused(t, noKey, 401, /needs an API key/, what)
    for (const none of ['', '  \t ']) {
      isRefused(
        t,
        await ask(server, method, path, { 'x-api-key': none }),
        401,
        /needs an API key/,
        `${what}: an empty key`,
      )
    }
    t.equal(noKey.headers.get('www-authenticate'), 'Bearer realm="story-images"', what)
    const wrong = await ask(server, method, path, bearer(newKey()))
    isRefused(t, wrong, 401, /no such API key/, what)
    t.equal(wrong.headers.get('www-authenticate'), 'Bearer realm="story-images", error="invalid_token"', what)
    for (const other of SCOPES.filter((name) => name !== scope)) {
      const answer = await ask(server, method, path, bearer(KEYS[other]))
      isRefused(t, answer, 403, new RegExp(`scope "${scope}"`), `${what} with ${other}`)
      t.equal(
        answer.headers.get('www-authenticate'),
        `Bearer realm="story-images", error="insufficient_scope", scope="${scope}"`,
      )
    }
    t.equal((await ask(server, method, path, { 'x-api-key': KEYS.all ?? '' })).status, status, `${what} with all`)
    t.equal((await ask(server, method, path, bearer(KEYS[scope]))).status, status, `${what} with ${scope}`)
    // What is there has to be there for the next one
    if (method === 'DELETE' && status === 200) t.equal((await ask(server, 'GET', image)).status, 404)
  }
  const open: [method: string, path: string, status: number][] = [
    ['GET', '/livez', 200],
    ['GET', '/readyz', 200],
    ['GET', '/openapi.json', 200],
    ['GET', image, 404],
    ['HEAD', image, 404],
    ['GET', '/nowhere', 404],
    ['POST', '/api/v1/images', 405],
    ['PUT', '/api/v1/images/upload', 405],
  ]
  for (const [method, path, status] of open) {
    for (const headers of [{}, bearer(newKey())]) {
      t.equal((await ask(server, method, path, headers as Record<string, string>)).status, status, `${method} ${path}`)
    }
  }
})

t.test('a key that is refused is refused before the body is read', async (t) => {
  const server = await startApp(t, { API_KEYS })
  const refused = await server.connect()
  await refused.write(`${uploadHead('chunked', { more: [`Authorization: Bearer ${KEYS.read}`] })}0\r\n\r\n`)
  const answer = await refused.answer()
  t.equal(answer.status, 403)
  t.ok(isDetail(answer.body))
  // The connection is good for the next request
  await refused.write(`GET /api/v1/images HTTP/1.1\r\nHost: x\r\nX-API-Key: ${KEYS.read}\r\n\r\n`)
  t.equal((await refused.answer()).status, 200)
})

t.test('without keys and secrets nothing is asked for, and tickets and signed URLs are no routes', async (t) => {
  const server = await startApp(t)
  t.equal((await ask(server, 'GET', '/api/v1/images', bearer('whatever'))).status, 200)
  t.equal((await upload(server, {}, undefined, '?ticket=nothing')).status, 200)
  isRefused(t, await ask(server, 'POST', '/api/v1/tickets'), 404, /no route/)
  isRefused(t, await ask(server, 'POST', '/api/v1/signed-urls'), 404, /no route/)
})

// Tickets

const signer = signerOf(SECRET)
if (!signer) throw new Error('There is a secret')
const LIMITS = { files: 2, bytes: 10_000, issuer: 'web', expires: nowSeconds() + 3600 }

t.test('a ticket is what was signed, with any of the secrets, until it expires', async (t) => {
  const text = issueTicket(signer, LIMITS)
  const { nonce, ...limits } = readTicket(signer, text)
  t.same(limits, LIMITS)
  t.match(nonce, /^[\w-]{22}$/)
  t.not(readTicket(signer, issueTicket(signer, LIMITS)).nonce, nonce, 'each ticket has a nonce of its own')
  t.match(text, /^v1\.[\w-]+\.[\w-]{43}$/, 'it needs no escapes in a URL')

  const rotated = signerOf(`${NEW_SECRET},${SECRET}`)
  const renewed = signerOf(NEW_SECRET)
  if (!rotated || !renewed) throw new Error('There are secrets')
  t.equal(readTicket(rotated, text).nonce, nonce, 'an old secret still verifies')
  t.doesNotThrow(() => readTicket(renewed, issueTicket(rotated, LIMITS)), 'the first one signs')
  t.throws(() => readTicket(renewed, text), /not valid/, 'a secret that was taken away verifies no more')
  t.throws(() => readTicket(signer, issueTicket(signer, { ...LIMITS, expires: nowSeconds() })), /expired/)

  const [, payload = '', signature = ''] = text.split('.')
  const bigger = Buffer.from(JSON.stringify({ nonce, ...LIMITS, bytes: 10_001 })).toString('base64url')
  const forged = ['', '.', '..', 'v1', 'v1.', `v1.${payload}`, `v1.${payload}.`, `v2.${payload}.${signature}`]
  forged.push(`v1.${bigger}.${signature}`, `${text}=`, `${text} `, `v1.${payload}.${signature.slice(0, -1)}`)
  forged.push(`v1.${payload}A.${signature}`, `.${payload}.${signature}`, `v1.${payload}.${'A'.repeat(43)}`)
  forged.push(`v1.${payload}.${signature.toLowerCase()}`, `v1.${payload}=.${signature}`)
  for (const wrong of forged) t.throws(() => readTicket(signer, wrong), /not valid/, wrong)
  for (let at = 0; at < text.length; at++) {
    const other = text[at] === 'x' ? 'y' : 'x'
    t.throws(() => readTicket(signer, text.slice(0, at) + other + text.slice(at + 1)), /not valid/, `altered at ${at}`)
  }
})

t.test('a signature of a URL is no ticket, and a ticket signs no URL', async (t) => {
  const [, expires = '', signature = ''] = /expires=(\d+)&signature=(.+)$/.exec(signUrl(signer, '/a', 9e9)) ?? []
  t.throws(() => readTicket(signer, `/a?expires=${expires}.${signature}`), /not valid/)
  const ticket = issueTicket(signer, LIMITS)
  const end = ticket.lastIndexOf('.')
  t.throws(() => checkSignedUrl(signer, ticket.slice(0, end), '', ticket.slice(end + 1)), /not valid/)
})

t.test('the files of a ticket are counted while they arrive', async (t) => {
  const file = async function* (...sizes: number[]) {
    for (const size of sizes) yield Buffer.alloc(size)
  }
  const count = async (files: number[][], limits: { files: number; bytes: number }) => {
    let total = 0
    const images = (async function* () {
      for (const sizes of files) yield file(...sizes)
    })()
    for await (const image of withinTicket(images, limits)) for await (const { length } of image) total += length
    return total
  }
  t.equal(await count([[3, 3], [4]], { files: 2, bytes: 10 }), 10)
  await t.rejects(
    count(
      [
        [3, 3],
        [4, 1],
      ],
      { files: 2, bytes: 10 },
    ),
    /larger than 10 bytes in total.* ticket/,
  )
  await t.rejects(count([[1], [1], [1]], { files: 2, bytes: 10 }), /more than 2 files.* ticket/)
})

/** A ticket, as the server gives it. */
async function ticketOf(server: TestApp, wanted?: unknown, key = KEYS.write): Promise<string> {
  const answer =
    wanted === undefined
      ? await ask(server, 'POST', '/api/v1/tickets', bearer(key))
      : await askJson(server, '/api/v1/tickets', wanted, bearer(key))
  if (answer.status !== 201) throw new Error(answer.text)
  return `?${JSON.parse(answer.text).upload_url.split('?')[1]}`
}

t.test('a ticket has the limits that were asked for, or those of the server', async (t) => {
  const server = await startApp(t, { API_KEYS, SIGNING_SECRETS: SECRET, MAX_FILES: '7', MAX_FILE_SIZE: '1MiB' })
  const plain = await ask(server, 'POST', '/api/v1/tickets', bearer(KEYS.write))
  t.equal(plain.status, 201)
  t.equal(plain.headers.get('cache-control'), 'no-store')
  const given = JSON.parse(plain.text)
  t.same(Object.keys(given), ['upload_url', 'expires_at', 'files', 'bytes'])
  t.match(given, { upload_url: /^\/api\/v1\/images\/upload\?ticket=v1\.[\w.-]+$/, files: 7, bytes: 7 * 2 ** 20 })
  t.match(given.expires_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  t.ok(Math.abs(Date.parse(given.expires_at) - Date.now() - 900_000) < 60_000, 'for a quarter of an hour')
  const wanted = await askJson(server, '/api/v1/tickets', { files: 2, bytes: 5, expires_in: 60 }, bearer(KEYS.write))
  t.match(JSON.parse(wanted.text), { files: 2, bytes: 5 })
  t.match(JSON.parse((await askJson(server, '/api/v1/tickets', {}, bearer(KEYS.write))).text), { files: 7 })

  const wrong: [unknown, number, RegExp][] = [
    [{ files: 8 }, 400, /"files" .*a whole number of files from 1 to 7$/],
    [{ files: 0 }, 400, /"files"/],
    [{ files: 1.5 }, 400, /"files"/],
    [{ files: '2' }, 400, /"files"/],
    [{ files: null }, 400, /"files"/],
    [{ bytes: 7 * 2 ** 20 + 1 }, 400, /"bytes" .*from 1 to 7340032$/],
    [{ expires_in: 86_401 }, 400, /"expires_in" .*from 1 to 86400$/],
    [{ file: 1 }, 400, /an unknown member "file"; it may have files, bytes, expires_in/],
    [[], 400, /not a JSON object/],
    ['x', 400, /not a JSON object/],
    [null, 400, /not a JSON object/],
    [{ files: 1, more: 'x'.repeat(1100) }, 413, /larger than 1 KiB/],
  ]
  for (const [body, status, sentence] of wrong) {
    const answer = await askJson(server, '/api/v1/tickets', body, bearer(KEYS.write))
    isRefused(t, answer, status, sentence, JSON.stringify(body).slice(0, 50))
  }
  const raw = (type: string, body: string) =>
    ask(server, 'POST', '/api/v1/tickets', { ...bearer(KEYS.write), 'content-type': type }, body)
  isRefused(t, await raw('application/json', '{'), 400, /not a JSON/)
  isRefused(t, await raw('application/json', '{"__proto__":{"files":1}}'), 400, /"__proto__"/)
  isRefused(t, await raw('text/plain', '{}'), 415, /application\/json/)
  isRefused(t, await raw('application/x-www-form-urlencoded', '{}'), 415, /application\/json/)
  t.equal((await raw('application/json; charset=utf-8', ' {"files": 1} ')).status, 201)
  t.equal(
    (await ask(server, 'POST', '/api/v1/tickets', { ...bearer(KEYS.write), 'content-type': 'application/json' }))
      .status,
    201,
  )
})

t.test(
  'a body of JSON that does not arrive is waited for ten seconds, and not at all when its client is gone',
  async (t) => {
    const server = await startApp(t, { SIGNING_SECRETS: SECRET })
    const half =
      'POST /api/v1/tickets HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"files"'
    const [gone, slow] = [await server.connect(), await server.connect()]
    const begin = Date.now()
    await Promise.all([gone.write(half), slow.write(half)])
    await sleep(100)
    gone.socket.destroy()
    const answer = await slow.answer()
    t.equal(answer.status, 408)
    t.match(JSON.parse(answer.body).detail, /longer than 10 seconds/)
    t.ok(Date.now() - begin > 9900)
    t.equal((await ask(server, 'GET', '/api/v1/images')).status, 200)
  },
)

t.test('a ticket opens the upload, once, and nothing else', async (t) => {
  const server = await startApp(t, { API_KEYS, SIGNING_SECRETS: SECRET })
  const ticket = await ticketOf(server, { files: 2, bytes: 20_000 })
  for (const [method, path] of [
    ['GET', '/api/v1/images'],
    ['DELETE', '/api/v1/images'],
    ['POST', '/api/v1/tickets'],
  ] as const) {
    isRefused(t, await ask(server, method, path + ticket), 401, /API key/, `${method} ${path}`)
  }
  const image = await smallImage()
  const first = await upload(server, {}, [filePart(image)], ticket)
  t.equal(first.status, 200, first.text)
  const again = await upload(server, { 'idempotency-key': 'another' }, [filePart(image)], ticket)
  t.equal(again.headers.get('idempotent-replayed'), 'true')
  t.equal(again.text, first.text, 'sent again it makes no other story')
  const two = [filePart(image), filePart(image)]
  isRefused(t, await upload(server, {}, two, ticket), 422, /other images/, 'nor does it with other images')
  const next = await upload(server, {}, [filePart(image)], await ticketOf(server))
  t.not(JSON.parse(next.text).story_id, JSON.parse(first.text).story_id, 'another ticket does')
  t.equal((await ask(server, 'GET', `/api/v1/images${ticket}`, bearer(KEYS.read))).status, 200)
  isRefused(t, await upload(server, {}, undefined, `${ticket}x`), 403, /ticket is not valid/)
  isRefused(t, await upload(server, {}, undefined, '?ticket='), 403, /ticket is not valid/)
  isRefused(t, await upload(server, {}, undefined, `${ticket}&ticket=x`), 403, /ticket is not valid/)
  isRefused(t, await upload(server, bearer(KEYS.all), undefined, '?ticket=x'), 403, /ticket is not valid/)
})

t.test('the limits of a ticket bind, whatever the length of the body is said to be', async (t) => {
  const server = await startApp(t, { API_KEYS, SIGNING_SECRETS: SECRET })
  const image = await smallImage()
  const three = [filePart(image), filePart(image), filePart(image)]
  const two = [filePart(image), filePart(image), textPart('title', 'x'.repeat(1000))]
  isRefused(t, await upload(server, {}, three, await ticketOf(server, { files: 2 })), 413, /more than 2 files.*ticket/)
  const bytes = 2 * image.length
  t.equal((await upload(server, {}, two, await ticketOf(server, { files: 2, bytes }))).status, 200)
  isRefused(t, await upload(server, {}, two, await ticketOf(server, { bytes: bytes - 1 })), 413, /bytes in total/)
  isRefused(
    t,
    await upload(server, bearer(KEYS.all), three, await ticketOf(server, { files: 1 })),
    413,
    /more than 1 files/,
    'also for somebody with a key',
  )

  // Chunked, and far from its end: the answer comes while the body is still arriving
  const request = httpRequest(`${server.url}/api/v1/images/upload${await ticketOf(server, { bytes: 100_000 })}`, {
    method: 'POST',
    headers: FORM,
  })
  request.on('error', () => {})
  const answered = once(request, 'response')
  request.write(multipart([filePart(image)], { last: false }).subarray(0, -2))
  let sent = 0
  for (; sent < 30 * 2 ** 20 && !request.writableEnded; sent += 2 ** 16) {
    if (!request.write(Buffer.alloc(2 ** 16))) await Promise.race([once(request, 'drain'), answered])
    if (await Promise.race([answered.then(() => true), sleep(0, false)])) break
  }
  const [response] = await answered
  t.equal(response.statusCode, 413)
  t.ok(sent < 30 * 2 ** 20, `answered after ${sent} bytes`)
  request.destroy()
  const listed = JSON.parse((await ask(server, 'GET', '/api/v1/images', bearer(KEYS.read))).text)
  t.equal(listed.length, 2, 'nothing of a refused upload is listed')
})

t.test('a ticket ends with its time, with its key, and with the right of its key', async (t) => {
  const options = { SIGNING_SECRETS: SECRET }
  const web = `web:write:${hashOf('a')}`
  const server = await startApp(t, { ...options, API_KEYS: web })
  const short = await ticketOf(server, { expires_in: 1 }, 'a')
  const ticket = await ticketOf(server, undefined, 'a')
  t.equal((await upload(server, {}, undefined, ticket)).status, 200)
  await sleep(1500)
  isRefused(t, await upload(server, {}, undefined, short), 403, /ticket has expired/)

  const after = async (API_KEYS: string | undefined, more = {}) =>
    upload(await startApp(t, { ...options, ...(API_KEYS && { API_KEYS }), ...more }), {}, undefined, ticket)
  t.equal((await after(`web:write:${hashOf('b')}`)).status, 200, 'a key that was changed under its name')
  isRefused(t, await after(`other:write:${hashOf('a')}`), 403, /not valid/, 'the name is gone')
  isRefused(t, await after(`web:read:${hashOf('a')}`), 403, /not valid/, 'the scope is gone')
  t.equal((await after(web, { SIGNING_SECRETS: `${NEW_SECRET},${SECRET}` })).status, 200, 'a second secret')
  isRefused(t, await after(web, { SIGNING_SECRETS: NEW_SECRET }), 403, /not valid/, 'another secret')
  const open = await startApp(t, options)
  const anonymous = await ticketOf(open, { files: 1 }, '')
  t.equal((await upload(open, {}, undefined, anonymous)).status, 200)
  const image = await smallImage()
  isRefused(t, await upload(open, {}, [filePart(image), filePart(image)], anonymous), 413, /ticket/)
  isRefused(t, await upload(server, {}, undefined, anonymous), 403, /not valid/, 'now that there are keys')
})

t.test('an Idempotency-Key is its sender’s alone', async (t) => {
  const server = await startApp(t, { API_KEYS: `${API_KEYS},new:write:${hashOf('n')},all:write:${hashOf('a')}` })
  const parts = [filePart(await smallImage())]
  const send = async (key = '') =>
    JSON.parse((await upload(server, { ...bearer(key), 'idempotency-key': 'k' }, parts)).text).story_id
  const story = await send(KEYS.all)
  t.match(story, /^[0-9a-f-]{36}$/)
  t.equal(await send(KEYS.all), story)
  t.equal(await send('a'), story, 'a second key of the same name is the same sender')
  t.not(await send('n'), story)
})

// Private images

t.test('a signature is good for one path until it expires, with any of the secrets', async (t) => {
  const path = '/images/stories/x/1.jpg'
  const check = (url: string, by = signer, at = url.split('?')[0] ?? '') => {
    const query = new URLSearchParams(url.split('?')[1])
    checkSignedUrl(by, at, query.get('expires'), query.get('signature'))
  }
  const url = signUrl(signer, path, nowSeconds() + 60)
  t.match(url, /^\/images\/stories\/x\/1\.jpg\?expires=\d+&signature=[\w-]{43}$/)
  t.doesNotThrow(() => check(url))
  const rotated = signerOf(`${NEW_SECRET}, ${SECRET}`)
  t.doesNotThrow(() => check(url, rotated))
  t.throws(() => check(url, signerOf(NEW_SECRET)), /not valid/)
  t.throws(() => check(url, signer, '/images/stories/x/2.jpg'), /not valid/)
  t.throws(() => check(url, signer, '/images/stories/x/%31.jpg'), /not valid/)
  t.throws(() => check(url.replace(/expires=(\d)/, 'expires=9')), /not valid/)
  t.throws(() => check(url.replace('expires=', 'expires=0')), /not valid/)
  t.throws(() => check(`${url}=`), /not valid/)
  t.throws(() => check(url.slice(0, -1)), /not valid/)
  t.throws(() => check(signUrl(signer, path, nowSeconds())), /expired/)
  t.throws(() => check(signUrl(signer, path, Number.NaN)), /expired/)
  for (const value of [undefined, null, ['1', '2'], {}]) {
    t.throws(() => checkSignedUrl(signer, path, value, 'x'), /not valid/)
    t.throws(() => checkSignedUrl(signer, path, '1', value), /not valid/)
  }
})

t.test('private images open to a signed URL or a key that may read, and so do their ranges and headers', async (t) => {
  const server = await startApp(t, PRIVATE)
  const png = await smallImage()
  const story = JSON.parse((await upload(server, bearer(KEYS.write), [filePart(png), filePart(png)])).text)
  const [path, other]: string[] = story.image_paths
  const answer = await askJson(
    server,
    '/api/v1/signed-urls',
    { paths: [path, other], expires_in: 600 },
    bearer(KEYS.read),
  )
  t.equal(answer.status, 200, answer.text)
  const { urls, expires_at }: { urls: string[]; expires_at: string } = JSON.parse(answer.text)
  t.equal(urls.length, 2)
  t.ok(Math.abs(Date.parse(expires_at) - Date.now() - 600_000) < 300_000)
  const [url = '', url2 = ''] = urls
  t.ok(url.startsWith(`${path}?expires=`))

  for (const method of ['GET', 'HEAD']) {
    const refuse = async (path: string, status: number, headers = {}) =>
      t.equal((await ask(server, method, path, headers)).status, status, `${method} ${path}`)
    const take = async (path: string, cacheControl: string, headers = {}) => {
      const answer = await ask(server, method, path, headers)
      t.equal(answer.status, 200, `${method} ${path}`)
      t.equal(answer.headers.get('cache-control'), cacheControl)
      t.equal(answer.headers.get('content-length'), String(png.length))
    }
    await refuse(path ?? '', 401)
    await refuse(path ?? '', 401, bearer('wrong'))
    await refuse(path ?? '', 403, bearer(KEYS.write))
    await refuse(url, 401, bearer('wrong'))
    await refuse(`${path}?expires=1`, 403)
    await refuse(`${path}?signature=x`, 403)
    await refuse(`${other}?${url.split('?')[1]}`, 403)
    await refuse(`${url}&expires=99999999999`, 403)
    await refuse(url.replace('/1.', '/%31.'), 403)
    await refuse(url.replace('/images/', '//images/'), 404)
    await take(path ?? '', 'private, max-age=3600, immutable', bearer(KEYS.read))
    await take(url, 'private, max-age=3600, immutable')
    await take(`${url}&page=1`, 'private, max-age=3600, immutable')
    await take(url2, 'private, max-age=3600, immutable')
  }
  const range = await ask(server, 'GET', url, { range: 'bytes=1-3' })
  t.same([range.status, range.text], [206, 'PNG'])
  const etag = (await ask(server, 'HEAD', url)).headers.get('etag') ?? ''
  t.equal((await ask(server, 'GET', url, { 'if-none-match': etag })).status, 304)
  const missing = await askJson(
    server,
    '/api/v1/signed-urls',
    { paths: [`/images/stories/${storyId(5)}/1.png`] },
    bearer(KEYS.read),
  )
  t.equal((await ask(server, 'GET', JSON.parse(missing.text).urls[0])).status, 404, 'signed, but not there')

  for (const [paths, sentence] of [
    [[], /"paths"/],
    [undefined, /"paths"/],
    ['/images', /"paths"/],
    [['/images/stories/x/1.jpg'], /"paths"/],
    [[`${path}?x`], /"paths"/],
    [['/livez'], /"paths"/],
    [Array.from({ length: 1001 }, () => path), /1 to 1000 paths/],
  ] as const) {
    isRefused(t, await askJson(server, '/api/v1/signed-urls', { paths }, bearer(KEYS.read)), 400, sentence)
  }
  const thousand = { paths: Array.from({ length: 1000 }, () => path) }
  t.equal((await askJson(server, '/api/v1/signed-urls', thousand, bearer(KEYS.read))).status, 200)
  isRefused(t, await askJson(server, '/api/v1/signed-urls', { paths: [path] }, {}), 401, /key/)
  isRefused(t, await askJson(server, '/api/v1/signed-urls', { paths: [path] }, bearer(KEYS.write)), 403, /"read"/)
})

t.test('what caches are told of private images is configured, but not of those that a key opened', async (t) => {
  const server = await startApp(t, { ...PRIVATE, CACHE_CONTROL: 'public, max-age=60' })
  const story = JSON.parse((await upload(server, bearer(KEYS.write))).text)
  const url = signUrl(signer, story.image_paths[0], nowSeconds() + 60)
  t.equal((await ask(server, 'GET', url)).headers.get('cache-control'), 'public, max-age=60')
  const byKey = await ask(server, 'GET', story.image_paths[0], bearer(KEYS.read))
  t.equal(byKey.headers.get('cache-control'), 'private, max-age=3600, immutable')
})

t.test('private images of a server without keys need a signature all the same', async (t) => {
  const server = await startApp(t, { SIGNING_SECRETS: SECRET, PRIVATE_IMAGES: 'true' })
  const story = JSON.parse((await upload(server, {})).text)
  isRefused(t, await ask(server, 'GET', story.image_paths[0]), 403, /signature/)
  t.equal((await ask(server, 'GET', signUrl(signer, story.image_paths[0], nowSeconds() + 60))).status, 200)
})

// Limits

t.test('requests are counted for each key, and for each address of those without one', async (t) => {
  const server = await startApp(t, { API_KEYS, RATE_LIMIT: '5', TRUST_PROXY: '127.0.0.0/8' })
  const list = (headers: Record<string, string>) => ask(server, 'GET', '/api/v1/images', headers)
  const from = (address: string) => ({ 'x-forwarded-for': address })
  for (let time = 0; time < 5; time++) {
    t.equal((await list({ ...bearer(KEYS.read), ...from(`10.0.0.${time}`) })).status, 200)
    t.equal((await list(from('2001:db8:1:2::1'))).status, 401)
  }
  const over = await list(bearer(KEYS.read))
  isRefused(t, over, 429, /Too many requests; try again in \d+ seconds/)
  t.match(over.headers.get('retry-after'), /^[1-9]\d?$/)
  isRefused(t, await list(from('2001:db8:1:2:ffff::9')), 429, /Too many/, 'an address of the same /64')
  isRefused(t, await ask(server, 'GET', '/nowhere', from('2001:db8:1:2::1')), 429, /Too many/, 'no route')
  t.equal((await list(from('2001:db8:1:3::1'))).status, 401, 'another network')
  t.equal((await list(bearer(KEYS.all))).status, 200, 'another key')
  for (let time = 0; time < 8; time++) {
    t.equal((await ask(server, 'GET', '/livez', from('10.1.1.1'))).status, 200)
    t.equal((await ask(server, 'GET', '/readyz', from('10.1.1.1'))).status, 200)
  }
})

t.test('wrong keys of one address are answered 429 after a while; a right one is let in', async (t) => {
  const server = await startApp(t, { API_KEYS, SIGNING_SECRETS: SECRET, TRUST_PROXY: '127.0.0.1' })
  const from = (address: string) => ({ 'x-forwarded-for': address })
  const attempts = [
    () => ask(server, 'GET', '/api/v1/images', { ...bearer(newKey()), ...from('10.0.0.1') }),
    () => upload(server, from('10.0.0.1'), [], '?ticket=x'),
  ]
  const statuses: number[] = []
  for (let time = 0; time < 32; time++) statuses.push((await attempts[time % 2]?.())?.status ?? 0)
  t.same([...new Set(statuses.slice(0, 30))].sort(), [401, 403])
  t.same(statuses.slice(30), [429, 429])
  t.equal((await ask(server, 'GET', '/api/v1/images', { ...bearer(KEYS.read), ...from('10.0.0.1') })).status, 200)
  t.equal((await ask(server, 'GET', '/api/v1/images', from('10.0.0.1'))).status, 401, 'no key is no wrong one')
  t.equal((await ask(server, 'GET', '/api/v1/images', { ...bearer('x'), ...from('10.0.0.2') })).status, 401)
})

t.test('X-Forwarded-For counts only when it comes from a trusted proxy', async (t) => {
  for (const TRUST_PROXY of ['', '10.0.0.0/8']) {
    const server = await startApp(t, { RATE_LIMIT: '3', TRUST_PROXY })
    const statuses: number[] = []
    for (let n = 0; n < 4; n++) {
      statuses.push((await ask(server, 'GET', '/api/v1/images', { 'x-forwarded-for': `192.0.2.${n}` })).status)
    }
    t.same(statuses, [200, 200, 200, 429], `TRUST_PROXY=${TRUST_PROXY}`)
  }
  const chain = await startApp(t, { RATE_LIMIT: '1', TRUST_PROXY: '127.0.0.1, 10.0.0.0/8' })
  const ask1 = (header: string) => ask(chain, 'GET', '/api/v1/images', { 'x-forwarded-for': header })
  t.equal((await ask1('1.1.1.1, 192.0.2.7, 10.0.0.1')).status, 200)
  t.equal((await ask1('2.2.2.2, 192.0.2.7, 10.0.0.1')).status, 429, 'what the client says of itself does not count')
})

// Browsers

const ORIGIN = 'https://app.example.org'

t.test('without CORS_ORIGINS the API names no origin, and a preflight is no route', async (t) => {
  const server = await startApp(t, { API_KEYS })
  const preflight = { origin: ORIGIN, 'access-control-request-method': 'GET' }
  t.equal((await ask(server, 'OPTIONS', '/api/v1/images', preflight)).status, 405)
  for (const path of ['/api/v1/images', '/livez', '/nowhere']) {
    const { headers } = await ask(server, 'GET', path, { origin: ORIGIN })
    t.equal(headers.get('access-control-allow-origin'), null)
    t.equal(headers.get('vary'), null)
  }
  const story = JSON.parse((await upload(server, bearer(KEYS.write))).text)
  const image = await ask(server, 'GET', story.image_paths[0], { origin: ORIGIN })
  t.equal(image.headers.get('access-control-allow-origin'), '*')
})

t.test('pages of the origins in CORS_ORIGINS may use the API, and read its errors', async (t) => {
  const server = await startApp(t, { API_KEYS, SIGNING_SECRETS: SECRET, CORS_ORIGINS: `${ORIGIN}, https://b.example` })
  const preflight = (origin: string, path = '/api/v1/images') =>
    ask(server, 'OPTIONS', path, {
      origin,
      'access-control-request-method': 'DELETE',
      'access-control-request-headers': 'authorization, idempotency-key',
    })
  const allowed = await preflight(ORIGIN)
  t.equal(allowed.status, 204, 'a preflight needs no key')
  t.equal(allowed.headers.get('access-control-allow-origin'), ORIGIN)
  t.match(allowed.headers.get('access-control-allow-methods'), /GET, HEAD, POST, DELETE/)
  t.equal(allowed.headers.get('access-control-allow-headers'), 'authorization, idempotency-key')
  t.match(allowed.headers.get('vary'), /Origin/)
  t.equal(allowed.headers.get('access-control-allow-credentials'), null)
  const libraries = 'cache-control, x-requested-with, traceparent, tracestate, baggage, sentry-trace'
  const asked = async (names: string) => {
    const headers = { origin: ORIGIN, 'access-control-request-method': 'GET', 'access-control-request-headers': names }
    return (await ask(server, 'OPTIONS', '/api/v1/images', headers)).headers.get('access-control-allow-headers')
  }
  t.equal(await asked(libraries), libraries, 'what libraries send along')
  t.equal(await asked('a b, <c>, x"y, authorization ,, d;e'), 'authorization', 'names of headers, and nothing else')
  t.equal((await asked('a,'.repeat(1000)))?.split(',').length, 64)
  t.equal((await preflight('https://evil.example')).headers.get('access-control-allow-origin'), null)
  t.equal((await preflight('https://app.example.org.evil.example')).headers.get('access-control-allow-origin'), null)
  t.equal((await ask(server, 'OPTIONS', '/api/v1/images')).status, 405, 'no preflight')
  t.equal((await ask(server, 'OPTIONS', '/nowhere')).status, 404, 'no preflight')

  for (const [method, path, headers, status] of [
    ['GET', '/api/v1/images', bearer(KEYS.read), 200],
    ['GET', '/api/v1/images', {}, 401],
    ['GET', '/api/v1/images', bearer(KEYS.write), 403],
    ['GET', `/api/v1/images/${storyId(1)}`, bearer(KEYS.read), 404],
    ['POST', '/api/v1/images/upload', bearer(KEYS.write), 400],
  ] as const) {
    const answer = await ask(server, method, path, { ...headers, origin: ORIGIN })
    t.equal(answer.status, status)
    t.equal(answer.headers.get('access-control-allow-origin'), ORIGIN, `${method} ${path} ${status}`)
    t.match(answer.headers.get('access-control-expose-headers'), /Link, Retry-After, .*Restorable-Until, X-Request-Id/)
    t.equal(answer.headers.get('vary'), 'Origin')
    const other = await ask(server, method, path, { ...headers, origin: 'https://evil.example' })
    t.equal(other.headers.get('access-control-allow-origin'), null)
  }
  const story = JSON.parse((await upload(server, bearer(KEYS.write))).text)
  const image = await ask(server, 'GET', story.image_paths[0], { origin: 'https://evil.example' })
  t.equal(image.headers.get('access-control-allow-origin'), '*', 'images stay as they are')
  t.match(image.headers.get('access-control-expose-headers'), /X-Image-Width/)
  t.equal(image.headers.get('vary'), null)
  t.equal((await preflight(ORIGIN, story.image_paths[0])).status, 204)
})

t.test('CORS_ORIGINS=* is every origin', async (t) => {
  const server = await startApp(t, { CORS_ORIGINS: '*' })
  const { headers } = await ask(server, 'GET', '/api/v1/images', { origin: ORIGIN })
  t.equal(headers.get('access-control-allow-origin'), '*')
})

t.test('every answer tells browsers to run and frame nothing, and images say so in their own words', async (t) => {
  const server = await startApp(t)
  const story = JSON.parse((await upload(server, {})).text)
  for (const path of ['/api/v1/images', `/api/v1/images/${story.story_id}`, '/livez', '/nowhere', '/api/v1/images/x']) {
    const { headers } = await ask(server, 'GET', path)
    t.equal(headers.get('content-security-policy'), "default-src 'none';frame-ancestors 'none'", path)
    t.equal(headers.get('x-content-type-options'), 'nosniff', path)
    t.equal(headers.get('x-frame-options'), 'DENY', path)
    t.equal(headers.get('referrer-policy'), 'no-referrer', path)
    t.equal(headers.get('strict-transport-security'), null, path)
    t.equal(headers.get('cross-origin-resource-policy'), 'same-origin', path)
  }
  for (const method of ['GET', 'HEAD']) {
    const { headers } = await ask(server, method, story.image_paths[0])
    t.equal(headers.get('content-security-policy'), "default-src 'none'; sandbox", method)
    t.equal(headers.get('x-content-type-options'), 'nosniff', method)
    t.equal(headers.get('cross-origin-resource-policy'), 'cross-origin', method)
  }
})
