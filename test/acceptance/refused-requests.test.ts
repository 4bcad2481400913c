import { randomUUID } from 'node:crypto'
import { exchange, get, IMAGES, isError, send, someImages, UPLOAD, upload } from './client.ts'
import { onEachStore } from './stores.ts'

onEachStore('a story id that names no story is a 404', async (t, server) => {
  const { story_id } = await upload(server, await someImages(1))
  const ids = [
    randomUUID(),
    story_id.toUpperCase(),
    'no-uuid',
    'upload',
    story_id.slice(0, -1),
    `${story_id}0`,
    `%20${story_id}`,
    `${story_id}%00`,
    '..%2f..',
    '*',
    '1',
    encodeURIComponent('日本'),
    '%3Cscript%3E',
  ]
  for (const id of ids) {
    isError(t, await get(server, `${IMAGES}/${id}`), 404, /^There is no story/, `GET ${id}`)
    if (id !== 'upload') {
      isError(t, await send(server, 'DELETE', `${IMAGES}/${id}`), 404, /^There is no story/, `DELETE ${id}`)
    }
  }
  isError(t, await get(server, `${IMAGES}/${'x'.repeat(300)}`), 404, /^There is no/, 'a very long id')
  t.same((await get(server, `${IMAGES}/story-ids`)).json(), [story_id])
})

onEachStore('a route that there is not is a 404', async (t, server) => {
  const id = randomUUID()
  const wrong: [string, string][] = [
    ['GET', '/index.html'],
    ['GET', '/api'],
    ['GET', '/api/v1'],
    ['GET', '/api/v1/images/'],
    ['GET', `/api/v1/images/${id}/1.jpg`],
    ['GET', '/api/v2/images'],
    ['GET', '//api/v1/images'],
    ['GET', '/API/v1/images'],
    ['GET', `/images/stories/${id}`],
    ['POST', '/api'],
    ['TRACE', '/api'],
    ['OPTIONS', '*'],
  ]
  for (const [method, path] of wrong) {
    isError(t, await send(server, method, path), 404, /^There is no/, `${method} ${path}`)
  }
})

onEachStore('a method that a path does not have is a 405 that names those it has', async (t, server) => {
  const id = randomUUID()
  const allowed: [string, string, string[]][] = [
    ['/', 'GET, HEAD', ['POST', 'TRACE']],
    [IMAGES, 'DELETE, GET', ['POST', 'PUT', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY']],
    [UPLOAD, 'POST', ['PUT', 'PATCH', 'OPTIONS']],
    [`${IMAGES}/${id}`, 'DELETE, GET', ['POST', 'PUT', 'PATCH']],
    [`${IMAGES}/${id}/restore`, 'POST', ['GET', 'DELETE', 'PUT']],
    [`${IMAGES}/story-ids`, 'GET', ['POST', 'PUT']],
    [`/images/stories/${id}/1.jpg`, 'GET, HEAD', ['DELETE', 'PUT', 'POST']],
    ['/livez', 'GET', ['POST', 'DELETE']],
  ]
  for (const [path, allow, methods] of allowed) {
    for (const method of methods) {
      const withBody = ['POST', 'PUT', 'PATCH'].includes(method)
      const answer = await send(server, method, path, withBody ? { body: '{"a":1}', headers: JSON_TYPE } : {})
      isError(t, answer, 405, / does not support /, `${method} ${path}`)
      t.equal(answer.headers.allow, allow, `${method} ${path}`)
    }
    if (allow.includes('HEAD')) continue
    const head = await send(server, 'HEAD', path)
    t.same([head.status, head.headers.allow, head.body.length], [405, allow, 0], `HEAD ${path}`)
  }
})

const JSON_TYPE = { 'content-type': 'application/json' }

onEachStore('what is no proper HTTP is answered like any other error', async (t, server) => {
  const close = 'Host: x\r\nConnection: close\r\n\r\n'
  const requests: [string, number, RegExp, string][] = [
    ['a broken escape', 400, /percent-encoding/, `GET ${IMAGES}/%zz HTTP/1.1\r\n${close}`],
    ['a broken escape in an image path', 400, /percent-encoding/, `GET /images/stories/%zz/1.jpg HTTP/1.1\r\n${close}`],
    ['broken UTF-8', 400, /percent-encoding/, `GET ${IMAGES}/%ff HTTP/1.1\r\n${close}`],
    ['a large header', 431, /headers/, `GET ${IMAGES} HTTP/1.1\r\nX-Large: ${'x'.repeat(40_000)}\r\n${close}`],
    ['a long URL', 431, /headers/, `GET ${IMAGES}?${'x'.repeat(40_000)} HTTP/1.1\r\n${close}`],
    ['garbage', 400, /HTTP/, 'garbage\r\n\r\n'],
    ['TLS', 400, /HTTP/, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'],
    ['no Host', 400, /Host/, `GET ${IMAGES} HTTP/1.1\r\nConnection: close\r\n\r\n`],
    ['an unknown method', 400, /HTTP/, `FETCH ${IMAGES} HTTP/1.1\r\n${close}`],
    ['an unknown expectation', 417, /100-continue/, `GET ${IMAGES} HTTP/1.1\r\nExpect: wonders\r\n${close}`],
    ['two lengths', 400, /HTTP/, `POST ${UPLOAD} HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n${close}xx`],
    [
      'a length and chunks',
      400,
      /HTTP/,
      `POST ${UPLOAD} HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n${close}0\r\n\r\n`,
    ],
    [
      'a broken chunk',
      400,
      /./,
      `POST ${UPLOAD} HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\nTransfer-Encoding: chunked\r\n${close}zz\r\n`,
    ],
    ['a negative length', 400, /HTTP/, `POST ${UPLOAD} HTTP/1.1\r\nContent-Length: -1\r\n${close}`],
    ['a header with a space', 400, /HTTP/, `GET ${IMAGES} HTTP/1.1\r\nBad Header: x\r\n${close}`],
    ['CONNECT', 404, /no route/, 'CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n'],
  ]
  for (const [what, status, sentence, text] of requests) {
    isError(t, await exchange(server, text), status, sentence, what)
  }
  t.equal((await get(server, IMAGES)).status, 200, 'and the server goes on')
})

onEachStore('errors tell nothing about the inside, and every answer has a request id', async (t, server) => {
  for (const path of [IMAGES, `${IMAGES}/no-uuid`, '/nowhere', `${IMAGES}?limit=0`, '/images/stories/x/1.jpg']) {
    const answer = await get(server, path)
    t.match(answer.headers['x-request-id'], /^[0-9a-f-]{36}$/, `${path}: a new id`)
    t.notMatch(answer.body.toString(), /node_modules|\.ts|\.js\b|at .*:\d+:\d+|stand-in|\/tmp\//, path)
    t.equal((await get(server, path, { 'x-request-id': 'from-the-proxy' })).headers['x-request-id'], 'from-the-proxy')
  }
  for (const bad of ['x'.repeat(65), 'a b', 'a;b', '{}']) {
    t.match((await get(server, IMAGES, { 'x-request-id': bad })).headers['x-request-id'], /^[0-9a-f-]{36}$/, bad)
  }
})
