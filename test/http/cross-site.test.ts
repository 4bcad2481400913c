import t, { type Test } from 'tap'
import { isDetail, type RawAnswer, smallImage, startApp as startTestApp, type TestApp } from '../support/app.ts'

const LIST = '/api/v1/images'
const UPLOAD = '/api/v1/images/upload'

/** Without the host names that other tests use. */
const startApp = (t: Test, options: Record<string, string> = {}) => startTestApp(t, { ALLOWED_HOSTS: '', ...options })

/** One request on a connection of its own, as it is written here. */
async function ask(server: TestApp, line: string, ...headers: string[]): Promise<RawAnswer> {
  const client = await server.connect()
  await client.write([`${line} HTTP/1.1`, 'Connection: close', ...headers, '', ''].join('\r\n'))
  return client.answer()
}

function isRefused(t: Test, { status, body }: RawAnswer, expected: number, sentence: RegExp, what: string): void {
  t.equal(status, expected, `${what}: ${body}`)
  t.ok(isDetail(body), what)
  t.match(JSON.parse(body).detail, sentence, what)
}

t.test('without keys the server answers to localhost, to IP addresses, and to no other host name', async (t) => {
  const server = await startApp(t)
  for (const host of [
    'localhost',
    `localhost:${server.port}`,
    'LocalHost:8000',
    'localhost.',
    'localhost.:8000',
    'images.localhost',
    '127.0.0.1:8000',
    '192.0.2.1',
    '[::1]:8000',
    '[2001:db8::1]',
    '[fe80::1%25eth0]:8000',
    '',
  ]) {
    t.equal((await ask(server, `GET ${LIST}`, `Host: ${host}`)).status, 200, `Host: ${host}`)
  }
  for (const host of [
    'evil.example',
    'evil.example:8000',
    'localhost.evil.example',
    'evil-localhost',
    '127.0.0.1.evil.example',
    '127.0.0.1.nip.io',
    'localhost@evil.example',
    'localhost:80@evil.example',
    'localhost:8000:80',
    'localhost, evil.example',
    '2130706433',
    '[evil.example]',
    '::1',
    'localhost\u00e9',
  ]) {
    const answer = await ask(server, `GET ${LIST}`, `Host: ${host}`)
    isRefused(t, answer, 421, /does not answer to the host name ".*ALLOWED_HOSTS/, `Host: ${host}`)
    t.equal(answer.headers['cache-control'], 'no-store')
    t.ok(answer.headers['x-request-id'])
  }
  const old = await server.connect()
  await old.write(`GET ${LIST} HTTP/1.0\r\n\r\n`)
  t.equal((await old.answer()).status, 200, 'HTTP/1.0 needs no Host')
})

t.test('no route answers to a host name of others, and none begins anything', async (t) => {
  let calls = 0
  const server = await startApp(t)
  for (const method of ['list', 'get', 'head', 'put', 'delete', 'ready'] as const) {
    const call = server.store[method] as (...args: unknown[]) => unknown
    Object.assign(server.store, {
      [method]: (...args: unknown[]) => {
        calls += 1
        return call.apply(server.store, args)
      },
    })
  }
  for (const line of [
    `GET ${LIST}`,
    `GET ${LIST}/story-ids`,
    `GET ${LIST}/01a205ad-87f4-77cd-a8d8-f60e2cbf53b1`,
    `DELETE ${LIST}`,
    `POST ${UPLOAD}`,
    `POST ${LIST}/01a205ad-87f4-77cd-a8d8-f60e2cbf53b1/restore`,
    'GET /images/stories/01a205ad-87f4-77cd-a8d8-f60e2cbf53b1/1.jpg',
    'GET /images/stories/01a205ad-87f4-77cd-a8d8-f60e2cbf53b1/1.jpg?w=160',
    'GET /',
    'GET /docs',
    'GET /openapi.json',
    'GET /metrics',
    'GET /livez',
    'GET /readyz',
    'GET /nowhere',
    `PUT ${LIST}`,
    'OPTIONS *',
    'GET /%zz',
  ]) {
    t.equal((await ask(server, line, 'Host: evil.example')).status, 421, line)
  }
  t.equal(calls, 0, 'the store was not asked')
})

t.test('the target of a request in absolute form is a host name too', async (t) => {
  const server = await startApp(t)
  for (const [target, host, status] of [
    ['http://localhost', 'localhost', 200],
    ['http://LOCALHOST:1', 'localhost', 200],
    ['http://[::1]:8000', 'localhost', 200],
    ['http://evil.example', 'localhost', 421],
    ['http://evil.example:80', '127.0.0.1', 421],
    ['http://localhost', 'evil.example', 421],
    ['http://localhost@evil.example', 'localhost', 421],
  ] as const) {
    t.equal((await ask(server, `GET ${target}${LIST}`, `Host: ${host}`)).status, status, `${target} ${host}`)
  }
})

t.test('ALLOWED_HOSTS and HOST name further hosts', async (t) => {
  const server = await startApp(t, { ALLOWED_HOSTS: 'images.example.org, story-images', HOST: 'Server.example.org' })
  for (const host of [
    'images.example.org',
    'IMAGES.example.org.:443',
    'story-images:8000',
    'server.example.org',
    'localhost',
  ]) {
    t.equal((await ask(server, `GET ${LIST}`, `Host: ${host}`)).status, 200, host)
  }
  for (const host of ['example.org', 'a.images.example.org', 'images.example.org.evil.example']) {
    t.equal((await ask(server, `GET ${LIST}`, `Host: ${host}`)).status, 421, host)
  }
  const open = await startApp(t, { ALLOWED_HOSTS: '*' })
  t.equal((await ask(open, `GET ${LIST}`, 'Host: anything.example')).status, 200, '* is every name')
  t.equal((await ask(open, `GET ${LIST}`, 'Host: a/b')).status, 421, 'but what is no name')
})

t.test('with keys every host name is answered to, and no origin is refused', async (t) => {
  const server = await startApp(t, { API_KEYS: `web:read:${'0123456789abcdef'.repeat(4)}` })
  t.equal((await ask(server, 'GET /livez', 'Host: images.example.org')).status, 200)
  for (const origin of ['https://evil.example', 'null']) {
    const answer = await ask(server, `DELETE ${LIST}`, 'Host: images.example.org', `Origin: ${origin}`)
    t.equal(answer.status, 401, 'but a page has no key')
  }
})

t.test('without keys, secrets alone change nothing of this', async (t) => {
  const server = await startApp(t, { SIGNING_SECRETS: 's'.repeat(32), RATE_LIMIT: '1000' })
  t.equal((await ask(server, `GET ${LIST}`, 'Host: evil.example')).status, 421)
  const page = ['Host: localhost', 'Origin: https://evil.example', 'Content-Length: 0']
  t.equal((await ask(server, 'POST /api/v1/tickets', ...page)).status, 403)
})

t.test('what a page of another origin would change is refused, and what it reads is not', async (t) => {
  const server = await startApp(t)
  const host = `Host: localhost:${server.port}`
  for (const origin of [
    'https://evil.example',
    'null',
    '',
    'http://localhost',
    'http://localhost:1',
    `http://127.0.0.1:${server.port}`,
    `http://evil.localhost:${server.port}`,
    `http://localhost:${server.port}.evil.example`,
    `http://localhost:${server.port}, https://evil.example`,
    `chrome-extension://localhost:${server.port}`,
    `localhost:${server.port}`,
  ]) {
    for (const line of [`DELETE ${LIST}`, `POST ${LIST}/1/restore`, `POST ${UPLOAD}`, 'POST /nowhere', `PUT ${LIST}`]) {
      const answer = await ask(server, line, host, `Origin: ${origin}`, 'Content-Length: 0')
      isRefused(
        t,
        answer,
        403,
        /may not send (DELETE|POST|PUT) requests to this server; .*CORS_ORIGINS/,
        `${line} of ${origin}`,
      )
    }
    for (const line of [`GET ${LIST}`, 'GET /livez']) {
      t.equal((await ask(server, line, host, `Origin: ${origin}`)).status, 200, `${line} of ${origin}`)
    }
  }
  for (const site of ['cross-site', 'same-site']) {
    t.equal(
      (await ask(server, `DELETE ${LIST}`, host, `Sec-Fetch-Site: ${site}`)).status,
      403,
      `${site}, without Origin`,
    )
  }
})

t.test('pages of the server itself, and clients that are no browsers, may change what they like', async (t) => {
  const server = await startApp(t, { ALLOWED_HOSTS: 'img.example.org' })
  const deletes = (...headers: string[]) => ask(server, `DELETE ${LIST}`, ...headers)
  for (const headers of [
    ['Host: localhost:8000'],
    ['Host: localhost:8000', 'Sec-Fetch-Site: none'],
    ['Host: localhost:8000', 'Origin: http://localhost:8000'],
    ['Host: LOCALHOST.:8000', 'Origin: http://localhost:8000'],
    ['Host: [::1]:8000', 'Origin: http://[::1]:8000'],
    ['Host: 127.0.0.1', 'Origin: http://127.0.0.1'],
    // A proxy for TLS
    ['Host: img.example.org', 'Origin: https://img.example.org'],
    ['Host: img.example.org:443', 'Origin: https://img.example.org'],
    ['Host: img.example.org:8443', 'Origin: https://img.example.org:8443'],
    // A proxy that leaves the port out, nginx's $host for instance
    ['Host: img.example.org', 'Origin: https://img.example.org:8443', 'Sec-Fetch-Site: same-origin'],
  ]) {
    t.equal((await deletes(...headers)).status, 200, headers.join(', '))
  }
  t.equal((await deletes('Host: img.example.org', 'Origin: https://img.example.org:8443')).status, 403, 'another port')
})

t.test('pages of CORS_ORIGINS may change what they like', async (t) => {
  const server = await startApp(t, { CORS_ORIGINS: 'https://app.example.org' })
  const deletes = (origin: string, to = server) => ask(to, `DELETE ${LIST}`, 'Host: localhost', `Origin: ${origin}`)
  const allowed = await deletes('https://app.example.org')
  t.equal(allowed.status, 200)
  t.equal(allowed.headers['access-control-allow-origin'], 'https://app.example.org')
  t.equal((await deletes('https://app.example.org:8443')).status, 403)
  t.equal((await deletes('null')).status, 403)
  t.equal((await deletes('https://any.example', await startApp(t, { CORS_ORIGINS: '*' }))).status, 200)
})

t.test('X-Forwarded-Host counts beside Host, and only from a trusted proxy', async (t) => {
  const options = { ALLOWED_HOSTS: 'img.example.org' }
  const behind = await startApp(t, { ...options, TRUST_PROXY: '127.0.0.1' })
  const alone = await startApp(t, options)
  // Apache httpd calls the server by its address, and says apart what the browser has called
  const forwarded = (name: string) => ['Host: 127.0.0.1:8000', `X-Forwarded-Host: ${name}`]
  t.equal((await ask(behind, `GET ${LIST}`, ...forwarded('img.example.org'))).status, 200)
  t.equal((await ask(behind, `GET ${LIST}`, ...forwarded('evil.example'))).status, 421)
  t.equal((await ask(alone, `GET ${LIST}`, ...forwarded('evil.example'))).status, 200, 'it is anybody’s word')
  const disguised = ['Host: evil.example', 'X-Forwarded-Host: localhost']
  t.equal((await ask(behind, `GET ${LIST}`, ...disguised)).status, 421, 'a page on this machine may say so')
  const page = [...forwarded('img.example.org'), 'Origin: https://img.example.org']
  t.equal((await ask(behind, `DELETE ${LIST}`, ...page)).status, 200)
  t.equal((await ask(alone, `DELETE ${LIST}`, ...page)).status, 403)
})

t.test('the refusal of an upload is read by a client that sends all of its body first', async (t) => {
  const server = await startApp(t)
  const form = new FormData()
  form.append('files', new Blob([new Uint8Array(await smallImage())]), 'a.png')
  const response = await fetch(server.url + UPLOAD, {
    method: 'POST',
    body: form,
    headers: { origin: 'https://a.example' },
  })
  t.equal(response.status, 403)
  t.match(await response.json(), { detail: /"https:\/\/a\.example" may not send POST/ })
})
