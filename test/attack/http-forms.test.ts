import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { buildApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import {
  eventually,
  filePart,
  INTERNALS,
  isDetail,
  multipart,
  type Part,
  textPart,
  uploadHead,
} from '../support/app.ts'
import { sample } from '../support/extent.ts'
import { ALLOWED_HOSTS } from '../support/hosts.ts'
import { openMemoryStore } from './memory-store.ts'
import { Wire, type WireAnswer } from './wire.ts'

const image = readImage()
const FILE = filePart(image)
const UPLOAD = '/api/v1/images/upload'
const LIST = '/api/v1/images'
const HOST = 'Host: test\r\n'
const TYPE = 'Content-Type: multipart/form-data; boundary=XX\r\n'
const GOOD = multipart([FILE])
const SMUGGLED = `GET /smuggled HTTP/1.1\r\n${HOST}\r\n`

/** The PNG of a capture: small, so that it can be sent a thousand times. */
function readImage(): Buffer {
  const bytes = readFileSync(new URL('captures/curl.http', import.meta.url))
  const from = bytes.indexOf('\x89PNG', 0, 'latin1')
  return bytes.subarray(from, bytes.indexOf('\r\n--', from, 'latin1'))
}

async function startTarget(t: Test, options: Record<string, string> = {}) {
  const store = openMemoryStore()
  const config = readConfig({
    LOG_LEVEL: 'silent',
    // This process is the client as well, and busy
    CLIENT_TIMEOUT: '10s',
    MAX_EVENT_LOOP_DELAY: '1m',
    ALLOWED_HOSTS,
    ...options,
  })
  const app = await buildApp(config, store)
  const wires = new Set<Wire>()
  t.teardown(async () => {
    for (const wire of wires) wire.close()
    await app.close()
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  return {
    app,
    store,
    images: () => [...store.objects].filter(([key]) => !key.endsWith('.json')).map(([, bytes]) => bytes),
    objects: store.objects,
    async open() {
      const wire = await Wire.open(port)
      wires.add(wire)
      return wire
    },
  }
}

const concat = (...pieces: (string | Uint8Array)[]) =>
  Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)))
const request = (body: Uint8Array, more: string[] = []) => concat(uploadHead(body.length, { more }), body)
const chunk = (bytes: string | Uint8Array, extension = '') =>
  concat(`${Buffer.byteLength(bytes).toString(16)}${extension}\r\n`, bytes, '\r\n')

function isError(t: Test, answer: WireAnswer, sentence?: RegExp): void {
  t.ok(isDetail(answer.body), `{"detail"} alone: ${answer.status} ${answer.body.slice(0, 200)}`)
  t.notMatch(answer.body, INTERNALS)
  t.match(answer.head, /^content-type: application\/json; charset=utf-8$/im)
  if (sentence) t.match(JSON.parse(answer.body).detail, sentence)
}

t.test('an upload may be cut in two at every byte, of its head as well', async (t) => {
  const target = await startTarget(t)
  for (const bytes of [
    request(multipart([textPart('a', 'b'), FILE])),
    concat(uploadHead('chunked'), chunk(GOOD.subarray(0, 70)), chunk(GOOD.subarray(70)), '0\r\n\r\n'),
  ]) {
    const places = sample(
      Array.from({ length: bytes.length - 1 }, (_, at) => at + 1),
      60,
    )
    const left = [...places]
    const bad: number[] = []
    const work = async () => {
      const wire = await target.open()
      for (let at = left.pop(); at !== undefined; at = left.pop()) {
        wire.write(bytes.subarray(0, at))
        await new Promise(setImmediate)
        await new Promise(setImmediate)
        wire.write(bytes.subarray(at))
        if ((await wire.answer())?.status !== 200) bad.push(at)
      }
      wire.close()
    }
    await Promise.all(Array.from({ length: 8 }, work))
    t.same(bad, [], `each of ${places.length} places`)
    t.equal(target.images().length, places.length)
    t.ok(
      target.images().every((stored) => stored.equals(image)),
      'and every image is whole',
    )
    target.objects.clear()
  }
})

t.test('an upload may come byte by byte, alone and behind another one', async (t) => {
  const target = await startTarget(t)
  const wire = await target.open()
  for (const byte of concat(request(GOOD), request(GOOD))) {
    wire.write(Buffer.of(byte))
    await new Promise(setImmediate)
  }
  t.equal((await wire.answer())?.status, 200)
  t.equal((await wire.answer())?.status, 200)
  t.same(target.images(), [image, image])
})

t.test('floods of parts, headers and fields are refused early, and cost little memory', async (t) => {
  const target = await startTarget(t)
  const million = Math.ceil(1e6 / 50)
  const floods: [what: string, piece: Uint8Array, times: number, statuses: number[]][] = [
    [
      'a million parts without headers',
      multipart(Array(50).fill({ headers: [], body: '' }), { last: false }),
      million,
      [400],
    ],
    ['a million empty files', multipart(Array(50).fill(filePart('')), { last: false }), million, [400]],
    ['a million text fields', multipart(Array(50).fill(textPart('a', '')), { last: false }), million, [413]],
    ['a million boundaries', Buffer.from('\r\n--XX'.repeat(50)), million, [400]],
    ['a million lines', Buffer.from('--XX\r\n'.concat('X: y\r\n'.repeat(50))), million, [400]],
    ['one header of 100 MB', concat('--XX\r\nX: ', Buffer.alloc(100_000, 'x')), 1000, [400, 413]],
    ['a preamble of 100 MB', Buffer.alloc(100_000, 'x'), 1000, [400]],
    [
      'one text field of 100 MB',
      concat('--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\n', Buffer.alloc(100_000, 'x')),
      1000,
      [400, 413],
    ],
  ]
  for (const [what, piece, times, statuses] of sample(floods, 4)) {
    const wire = await target.open()
    const before = process.memoryUsage().rss
    let most = before
    const begin = performance.now()
    wire.write(uploadHead(piece.length * times))
    for (let sent = 0; sent < times && !wire.ended && wire.socket.writable; sent++) {
      if (!wire.socket.write(piece))
        await new Promise<void>((resolve) => {
          const goOn = () => {
            wire.socket.off('drain', goOn).off('close', goOn)
            resolve()
          }
          wire.socket.on('drain', goOn).on('close', goOn)
        })
      if (sent % 200 === 0) most = Math.max(most, process.memoryUsage().rss)
    }
    const answer = await wire.answer()
    t.ok(answer && statuses.includes(answer.status), `${what}: ${answer?.status}`)
    if (answer) isError(t, answer)
    const grown = (most - before) / 2 ** 20
    t.ok(grown < 150, `${what}: ${grown.toFixed(0)} MiB more at most, ${(performance.now() - begin).toFixed(0)} ms`)
    wire.close()
  }
  t.same(target.images(), [])
})

t.test('while the store is slow the client keeps its files', async (t) => {
  const target = await startTarget(t, { CLIENT_TIMEOUT: '1m' })
  let proceed = () => {}
  const slow = new Promise<void>((resolve) => {
    proceed = resolve
  })
  const { store } = target.app
  const { put } = store
  store.put = async (...args) => {
    await slow
    return put(...args)
  }
  const connected = once(target.app.server, 'connection')
  const wire = await target.open()
  const [socket]: Socket[] = await connected
  wire.write(request(multipart(Array(100).fill(filePart(concat(image, Buffer.alloc(200_000)))))))
  let seen = -1
  while (socket && (socket.bytesRead < 1e6 || socket.bytesRead !== seen)) {
    seen = socket.bytesRead
    await sleep(300)
  }
  t.ok(seen > 1e6 && seen < 4e6, `${seen} bytes of 20 MB were read`)
  proceed()
  t.ok(await eventually(() => target.images().length === 100), 'and all of them once it goes on')
})

const disposition = (value: string, body: string | Uint8Array = image, more: string[] = []): Part => ({
  headers: [`Content-Disposition: ${value}`, ...more],
  body,
})
const NO_HEADERS = /The headers of part \d are invalid/

/** A good file comes first, so that what is passed over in silence would be a 200 with a picture missing. */
const PARTS: readonly (readonly [what: string, parts: readonly Part[], expected: number | RegExp])[] = [
  ['no Content-Disposition', [FILE, { headers: ['Content-Type: image/png'], body: image }], NO_HEADERS],
  ['no header at all', [FILE, { headers: [], body: image }], NO_HEADERS],
  ['an empty Content-Disposition', [FILE, disposition('')], NO_HEADERS],
  ['an attachment', [FILE, disposition('attachment; name="files"; filename="a.png"')], NO_HEADERS],
  ['form-data and nothing else', [FILE, disposition('form-data')], NO_HEADERS],
  ['a line that is no header in front', [FILE, { headers: ['nonsense', ...FILE.headers], body: image }], NO_HEADERS],
  ['a bare LF in front of it', [FILE, { headers: [`X: y\n${FILE.headers[0]}`], body: image }], NO_HEADERS],
  [
    'a bare LF in the name of the file',
    [FILE, disposition('form-data; name="files"; filename="a\nb.png"')],
    NO_HEADERS,
  ],
  [
    'a bare CR in the name of the file',
    [FILE, disposition('form-data; name="files"; filename="a\rb.png"')],
    NO_HEADERS,
  ],
  [
    'a space in front of the colon',
    [FILE, { headers: ['Content-Disposition : form-data; name="files"; filename="a"'], body: image }],
    NO_HEADERS,
  ],
  [
    'headers that never end',
    [FILE, { headers: ['Content-Disposition: form-data; name="files"; filename="a"\r\n--XX'], body: '' }],
    NO_HEADERS,
  ],
  [
    'a header of 9 KB in front',
    [FILE, { headers: [`X: ${'x'.repeat(9000)}`, ...FILE.headers], body: image }],
    NO_HEADERS,
  ],
  [
    'a header of 9 KB behind',
    [FILE, { headers: [...FILE.headers, `X: ${'x'.repeat(9000)}`], body: image }],
    NO_HEADERS,
  ],
  [
    'a Content-Disposition that a limit cuts',
    [FILE, { headers: [`X: ${'x'.repeat(16_330)}`, ...FILE.headers], body: image }],
    NO_HEADERS,
  ],
  ['40 headers in front', [FILE, { headers: [...Array(40).fill('X: y'), ...FILE.headers], body: image }], NO_HEADERS],
  ['40 headers behind', [FILE, { headers: [...FILE.headers, ...Array(40).fill('X: y')], body: image }], 2],
  ['two Content-Dispositions alike', [FILE, { headers: [...FILE.headers, ...FILE.headers], body: image }], 2],
  [
    'another name in a second one',
    [FILE, disposition('form-data; name="files"; filename="a"', image, ['Content-Disposition: form-data; name="b"'])],
    2,
  ],
  [
    'another name in the first one',
    [FILE, disposition('form-data; name="b"; filename="a"', image, ['Content-Disposition: form-data; name="files"'])],
    /File part 2 is not named/,
  ],
  ['two names', [FILE, disposition('form-data; name="files"; name="b"; filename="a"')], /File part 2 is not named|$/],
  ['a file without its file name', [FILE, disposition('form-data; name="files"')], /text field is named "files"/],
  [
    'a file of type octet-stream without a file name',
    [FILE, disposition('form-data; name="files"', image, ['Content-Type: application/octet-stream'])],
    2,
  ],
  ['an empty file name', [FILE, disposition('form-data; name="files"; filename=""')], 2],
  ['a file name that is a path', [FILE, disposition('form-data; name="files"; filename="../../../etc/passwd"')], 2],
  [
    'a file name that is a path of Windows',
    [FILE, disposition('form-data; name="files"; filename="C:\\dir\\a.png"')],
    2,
  ],
  ['a file name of dots', [FILE, disposition('form-data; name="files"; filename=".."')], 2],
  ['a file name with quotes', [FILE, disposition('form-data; name="files"; filename="a \\"b\\".png"')], 2],
  [
    'a file name as browsers escape it',
    [FILE, disposition('form-data; name="files"; filename="a %22b%22 %0D%0A.png"')],
    2,
  ],
  ['a file name with a semicolon', [FILE, disposition('form-data; name="files"; filename="a; name=b; c.png"')], 2],
  [
    'a file name in UTF-8',
    [FILE, disposition(`form-data; name="files"; filename="${Buffer.from('Bär🐻.png').toString('latin1')}"`)],
    2,
  ],
  ['a file name that is no UTF-8', [FILE, disposition('form-data; name="files"; filename="\xff\xfe.png"')], 2],
  ['a file name with a NUL', [FILE, disposition('form-data; name="files"; filename="a\0.png"')], 2],
  ['a file name after RFC 5987', [FILE, disposition('form-data; name="files"; filename*=UTF-8\'\'B%C3%A4r.png')], 2],
  [
    'a file name after RFC 5987 that is broken',
    [FILE, disposition('form-data; name="files"; filename*=nonsense\'\'%ff%zz')],
    2,
  ],
  ['both file names', [FILE, disposition('form-data; name="files"; filename="a"; filename*=UTF-8\'\'b')], 2],
  ['a file name of 4 KB', [FILE, disposition(`form-data; name="files"; filename="${'x'.repeat(4000)}.png"`)], 2],
  [
    'a folded header',
    [FILE, { headers: ['Content-Disposition: form-data;\r\n name="files";\r\n\tfilename="a"'], body: image }],
    2,
  ],
  ['upper case', [FILE, { headers: ['CONTENT-DISPOSITION: FORM-DATA; NAME="files"; FILENAME="a"'], body: image }], 2],
  ['a name in upper case', [FILE, filePart(image, 'FILES')], /File part 2 is not named "files"/],
  ['a name with brackets, as PHP has it', [FILE, filePart(image, 'files[]')], 2],
  ['a name with half a bracket', [FILE, filePart(image, 'files[')], /File part 2 is not named "files"/],
  ['a name with a space', [FILE, filePart(image, 'files ')], /File part 2 is not named "files"/],
  [
    'base64, which a form has no more (RFC 7578)',
    [
      FILE,
      disposition('form-data; name="files"; filename="a"', image.toString('base64'), [
        'Content-Transfer-Encoding: base64',
      ]),
    ],
    /File 2 is not a JPEG/,
  ],
  [
    'a transfer encoding that changes nothing',
    [FILE, disposition('form-data; name="files"; filename="a"', image, ['Content-Transfer-Encoding: binary'])],
    2,
  ],
  [
    'a charset',
    [FILE, disposition('form-data; name="files"; filename="a"', image, ['Content-Type: image/png; charset=utf-16'])],
    2,
  ],
  [
    'a charset that nobody knows',
    [FILE, disposition('form-data; name="a"', 'x', ['Content-Type: text/plain; charset=nonsense'])],
    1,
  ],
  ['a _charset_ field', [FILE, textPart('_charset_', 'iso-8859-1')], 1],
  [
    'JSON',
    [FILE, disposition('form-data; name="about"', '{"__proto__": {"a": 1}}', ['Content-Type: application/json'])],
    /no JSON|$/,
  ],
  [
    'JSON that is none',
    [FILE, disposition('form-data; name="about"', '{', ['Content-Type: application/json'])],
    /application\/json is not valid JSON, or is larger than 1 KiB/,
  ],
  [
    'JSON of 2 KB',
    [FILE, disposition('form-data; name="about"', `"${'x'.repeat(2000)}"`, ['Content-Type: application/json'])],
    /application\/json is not valid JSON, or is larger than 1 KiB/,
  ],
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', '__defineGetter__'].flatMap((name) => [
    [
      `a text field called ${name}`,
      [FILE, textPart(name, 'x')],
      name === 'prototype' ? 1 : /A part has a reserved name/,
    ] as const,
    [
      `a file part called ${name}`,
      [FILE, filePart(image, name)],
      name === 'prototype' ? /File part 2 is not named/ : /A part has a reserved name/,
    ] as const,
  ]),
  [
    'nested multipart as a file',
    [
      FILE,
      disposition('form-data; name="files"; filename="a"', multipart([FILE], { boundary: 'YY' }), [
        'Content-Type: multipart/mixed; boundary=YY',
      ]),
    ],
    /File 2 is not a JPEG/,
  ],
  [
    'nested multipart as a text field',
    [
      FILE,
      disposition('form-data; name="a"', multipart([FILE], { boundary: 'YY' }), [
        'Content-Type: multipart/mixed; boundary=YY',
      ]),
    ],
    1,
  ],
  ['an image that holds the boundary without its line', [filePart(concat(image, '--XX--')), FILE], 2],
  ['an image that holds a longer boundary', [filePart(concat(image, '\r\n--XXX\r\n\r\n')), FILE], /./],
]

t.test('whatever a part says of itself, no picture is left out in silence', async (t) => {
  const target = await startTarget(t)
  const wire = await target.open()
  for (const [what, parts, expected] of PARTS) {
    await t.test(what, async (t) => {
      wire.write(request(multipart(parts)))
      const answer = await wire.answer()
      if (answer?.status === 200) {
        t.equal(target.images().length, expected, 'images stored')
      } else {
        t.match(answer?.status, /^4(00|13|15)$/)
        if (answer) isError(t, answer, expected instanceof RegExp ? expected : /^$/)
        t.same([...target.objects], [], 'nothing is stored')
      }
      target.objects.clear()
    })
  }
})

type Exchange = readonly [
  what: string,
  bytes: Uint8Array | string,
  /** Statuses of the answers in their order. */
  answers: readonly (number | readonly number[])[],
  /** What the connection is afterwards: good for another request, closed by the server, or waiting for the client. */
  after: 'open' | 'closed' | 'waiting',
  /** That are stored. */
  images?: number,
]

const get = (more = '', version = '1.1') => `GET ${LIST} HTTP/${version}\r\n${HOST}${more}\r\n`
const post = (framing: string, body: string | Uint8Array = '', target = UPLOAD) =>
  concat(`POST ${target} HTTP/1.1\r\n${HOST}${TYPE}${framing}\r\n`, body)
const length = `Content-Length: ${GOOD.length}\r\n`
const CHUNKED = 'Transfer-Encoding: chunked\r\n'
const whole = concat(chunk(GOOD), '0\r\n\r\n')

/** 400, and the connection is closed: whatever follows could be part of anything. */
const REFUSED: readonly (readonly [what: string, bytes: Uint8Array | string])[] = [
  ['a length below 0', post('Content-Length: -5\r\n', GOOD)],
  ['a length with a plus', post(`Content-Length: +${GOOD.length}\r\n`, GOOD)],
  ['a length in hexadecimal', post('Content-Length: 0x10\r\n', GOOD)],
  ['a length with a space in it', post('Content-Length: 1 0\r\n', GOOD)],
  ['a list of lengths', post(`Content-Length: ${GOOD.length}, ${GOOD.length}\r\n`, GOOD)],
  ['no length', post('Content-Length:\r\n', GOOD)],
  ['a length of 2^64', post('Content-Length: 18446744073709551616\r\n', GOOD)],
  ['two lengths', post(`${length}Content-Length: 5\r\n`, GOOD)],
  ['two lengths alike', post(length + length, GOOD)],
  ['a length and chunks', post(length + CHUNKED, concat(whole, SMUGGLED))],
  ['chunks and a length', post(`${CHUNKED}Content-Length: 4\r\n`, concat(whole, SMUGGLED))],
  ['a chunk size of 2^64', post(CHUNKED, concat('10000000000000000\r\n', GOOD))],
  ['a chunk size below 0', post(CHUNKED, concat('-1\r\n', GOOD))],
  ['a chunk size with 0x', post(CHUNKED, concat('0x10\r\n', GOOD))],
  ['an empty chunk size', post(CHUNKED, concat('\r\n', GOOD))],
  ['a chunk size and LF', post(CHUNKED, concat(`${GOOD.length.toString(16)}\n`, GOOD, '\n0\n\n'))],
  ['a chunk that is longer than it says', post(CHUNKED, concat('5\r\n', GOOD, '\r\n0\r\n\r\n', SMUGGLED))],
  ['LF for CRLF', get().replaceAll('\r\n', '\n')],
  ['a bare LF behind a field', get('X: y\nY: z\r\n')],
  ['a bare CR in a field', get('X: y\rz\r\n')],
  ['a NUL in a field', get('X: y\0z\r\n')],
  ['a NUL in the name of a field', get('X\0: y\r\n')],
  ['a NUL in the target', `GET /\0 HTTP/1.1\r\n${HOST}\r\n`],
  ['a tab in the start line', `GET\t${LIST} HTTP/1.1\r\n${HOST}\r\n`],
  ['a folded field', get('X: y\r\n z\r\n')],
  ['a field without a colon', get('X\r\n')],
  ['a target without a slash', get().replace(LIST, 'api/v1/images')],
  ['HTTP/1.2', get('', '1.2')],
  ['HTTP/2.0', get('', '2.0')],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['a method in lower case', get().replace('GET', 'get')],
  [
    'a refused upload whose rest is too much to discard',
    request(multipart([filePart(''), filePart(Buffer.alloc(40_000_000, SMUGGLED))])),
  ],
  ...[
    'Transfer-Encoding: xchunked',
    'Transfer-Encoding: chunked, identity',
    'Transfer-Encoding: identity',
    'Transfer-Encoding: gzip',
    'Transfer-Encoding: "chunked"',
    'Transfer-Encoding : chunked',
    ' Transfer-Encoding: chunked',
    'Transfer-Encoding:\x0bchunked',
    'Transfer-Encoding: chunked\x00',
    'Transfer-Encoding\r\n: chunked',
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: cow',
    'X: y\nTransfer-Encoding: chunked',
    'X: y\rTransfer-Encoding: chunked',
  ].flatMap((field) => [
    [`${JSON.stringify(field)} alone`, post(`${field}\r\n`, concat(whole, SMUGGLED))] as const,
    [
      `${JSON.stringify(field)} and a length`,
      post(`Content-Length: 4\r\n${field}\r\n`, concat(whole, SMUGGLED)),
    ] as const,
  ]),
]

/** Good, or harmless. */
const SERVED: readonly (readonly [what: string, bytes: Uint8Array | string, images?: number])[] = [
  ['a good upload', post(length, GOOD), 1],
  ['a good upload in chunks', post(CHUNKED, whole), 1],
  ['chunks in capitals', post('TRANSFER-ENCODING: CHUNKED\r\n', whole), 1],
  ['chunks with extensions', post(CHUNKED, concat(chunk(GOOD, ';a=b;c="d e"'), '0;x\r\n\r\n')), 1],
  ['chunks with trailers', post(CHUNKED, concat(chunk(GOOD), '0\r\nX-Trailer: y\r\n\r\n')), 1],
  [
    'chunk sizes with zeros',
    post(CHUNKED, concat(`0000${GOOD.length.toString(16).toUpperCase()}\r\n`, GOOD, '\r\n000\r\n\r\n')),
    1,
  ],
  ['empty lines in front', `\r\n\r\n${get()}`],
  ['two spaces in the start line', `GET  ${LIST} HTTP/1.1\r\n${HOST}\r\n`],
  ['900 fields', get('X: y\r\n'.repeat(900))],
  ['an empty Host', `GET ${LIST} HTTP/1.1\r\nHost:\r\n\r\n`],
  ['fields called __proto__ and constructor', get('__proto__: x\r\nconstructor: y\r\n')],
  ['query parameters called __proto__', get().replace(LIST, `${LIST}?__proto__=x&constructor=y`)],
  ['an absolute target', get().replace(LIST, `http://test${LIST}`)],
  ['a fragment', get().replace(LIST, `${LIST}#x`)],
  ['HTTP/1.0 that is kept alive', get('Connection: keep-alive\r\n', '1.0').replace(LIST, '/livez')],
  [
    'an upgrade to HTTP/2',
    get('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'),
  ],
  [
    'an upgrade to WebSocket',
    get(
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n',
    ),
  ],
  ['an upload that wants an upgrade', post(`${length}Connection: Upgrade\r\nUpgrade: websocket\r\n`, GOOD), 1],
  ['a Connection of nonsense', get('Connection: Content-Length, x\r\n')],
  ['an override of the method', get('X-HTTP-Method-Override: DELETE\r\n')],
  ['DELETE with a JSON type and no body', `DELETE ${LIST} HTTP/1.1\r\n${HOST}Content-Type: application/json\r\n\r\n`],
  [
    'DELETE with a request as its body',
    `DELETE ${LIST} HTTP/1.1\r\n${HOST}Content-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
  ],
  ['Expect and the body at once', post(`${length}Expect: 100-continue\r\n`, GOOD), 1],
  ['Expect in capitals', post(`${length}Expect: 100-CONTINUE\r\n`, GOOD), 1],
]

const OTHERS: readonly Exchange[] = [
  // Node.js 20 drops what is beyond 2,000 fields, and Node.js 24 refuses more than 1,000
  ['2,500 fields', get('X: y\r\n'.repeat(2500)), [[200, 431]], 'waiting'],
  ['a Host that is none', `GET ${LIST} HTTP/1.1\r\nHost: a/b@c d\r\n\r\n`, [421], 'open'],
  ['an absolute target elsewhere', get().replace(LIST, `http://elsewhere${LIST}`), [421], 'open'],
  ['two Hosts', get('Host: other\r\n'), [400], 'open'],
  ['a length that is too short', post(`Content-Length: ${GOOD.length - 3}\r\n`, GOOD), [400, 400], 'closed'],
  ['a length of 0', post('Content-Length: 0\r\n', GOOD), [400, 400], 'closed'],
  ['neither length nor chunks', post('', concat(GOOD, SMUGGLED)), [400, 400], 'closed'],
  [
    'a trailer that frames',
    post(CHUNKED, concat(chunk(GOOD), `0\r\nContent-Length: 40\r\n\r\n${get()}`)),
    [400],
    'closed',
  ],
  ['garbage behind a good upload', concat(post(length, GOOD), 'garbage\r\n\r\n'), [200, 400], 'closed', 1],
  ['garbage behind a list', concat(get(), get(), 'garbage\r\n\r\n'), [200, 200, 400], 'closed'],
  ['HTTP/0.9', `GET ${LIST}\r\n`, [], 'waiting'],
  ['TRACE', `TRACE ${LIST} HTTP/1.1\r\n${HOST}\r\n`, [[404, 405]], 'open'],
  ['OPTIONS *', `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`, [404], 'open'],
  ['GET with a body', concat(get('Content-Length: 5\r\n'), 'hello', get()), [200, 200], 'open'],
  ['GET with a request as its body', concat(get(`Content-Length: ${SMUGGLED.length}\r\n`), SMUGGLED), [200], 'open'],
  ['GET with a multipart body', concat(get(TYPE + length), GOOD), [200], 'open'],
  // Nobody knows whether the client would send a body that it was not asked for
  ['Expect without a body', get('Expect: 100-continue\r\n'), [200], 'closed'],
  ['a length that is too long', post(`Content-Length: ${GOOD.length + 10}\r\n`, GOOD), [408], 'closed'],
  ['a length of 2^63', post('Content-Length: 9223372036854775808\r\n', GOOD.subarray(0, 50)), [413], 'closed'],
  [
    'a chunk extension of 100 KB',
    post(CHUNKED, concat(chunk(GOOD, `;${'x'.repeat(100_000)}`), '0\r\n\r\n')),
    [[400, 413]],
    'closed',
  ],
  [
    'a trailer of 100 KB',
    post(CHUNKED, concat(chunk(GOOD), `0\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`)),
    [[400, 431]],
    'closed',
  ],
  ['a target of two slashes', get().replace(LIST, `/${LIST}`), [404], 'open'],
  ['HTTP/1.0', get('', '1.0'), [200], 'closed'],
  [
    'HTTP/1.0 with chunks',
    concat(post(CHUNKED, whole).toString('latin1').replace('HTTP/1.1', 'HTTP/1.0')),
    [[200, 400]],
    'closed',
    1,
  ],
  ['Connection: close', get('Connection: close\r\n'), [200], 'closed'],
  ['CONNECT', `CONNECT test:443 HTTP/1.1\r\n${HOST}\r\n${SMUGGLED}`, [404], 'closed'],
  ['CONNECT to a path', `CONNECT ${LIST} HTTP/1.1\r\n${HOST}\r\n`, [[400, 404]], 'closed'],
  ['Expect and a body that never comes', post(`${length}Expect: 100-continue\r\n`), [408], 'closed'],
  ['an expectation that nobody meets', post(`${length}Expect: 200-ok\r\n`, concat(GOOD, SMUGGLED)), [417], 'closed'],
  ['an upload behind a list', concat(get(), post(length, GOOD), get()), [200, 200, 200], 'open', 1],
  [
    'an upload refused for its type, another behind it',
    concat(
      post(`Content-Length: ${SMUGGLED.length}\r\n`, SMUGGLED).toString('latin1').replace('form-data', 'mixed'),
      post(length, GOOD),
    ),
    [415, 200],
    'open',
    1,
  ],
  [
    'an upload refused in the middle, another behind it',
    concat(request(multipart([filePart(''), filePart(SMUGGLED.repeat(2000))])), post(length, GOOD)),
    [400, 200],
    'open',
    1,
  ],
  [
    'an upload refused in the middle in chunks, another behind it',
    concat(
      post(CHUNKED, concat(chunk(multipart([filePart(''), filePart(SMUGGLED.repeat(2000))])), '0\r\n\r\n')),
      post(length, GOOD),
    ),
    [400, 200],
    'open',
    1,
  ],
  [
    'an unknown route whose body is a request',
    concat(post(`Content-Length: ${SMUGGLED.length}\r\n`, SMUGGLED, '/nowhere'), get()),
    [404, 200],
    'open',
  ],
]

const EXCHANGES: readonly Exchange[] = [
  ...REFUSED.map(([what, bytes]): Exchange => [what, bytes, [400], 'closed']),
  ...SERVED.map(([what, bytes, images = 0]): Exchange => [what, bytes, [200], 'open', images]),
  ...OTHERS,
]

t.test(
  'whatever comes over a connection is answered as the contract says, and no body is taken for a request',
  async (t) => {
    const [patient, impatient] = await Promise.all([startTarget(t), startTarget(t, { CLIENT_TIMEOUT: '300ms' })])
    for (const [what, bytes, answers, after, images = 0] of EXCHANGES) {
      await t.test(what, async (t) => {
        const target = answers.flat().includes(408) ? impatient : patient
        const wire = await target.open()
        wire.write(bytes)
        for (const expected of answers) {
          const answer = await wire.answer()
          const allowed: readonly number[] = typeof expected === 'number' ? [expected] : expected
          t.ok(answer && allowed.includes(answer.status), `${answer?.status} ${answer?.body.slice(0, 200)}`)
          if (answer && answer.status !== 200) isError(t, answer)
        }
        if (after === 'open') {
          wire.write(`GET /livez HTTP/1.1\r\n${HOST}\r\n`)
          t.match(await wire.answer(), { status: 200, body: '{"status":"alive"}' }, 'the next request is answered')
        } else if (after === 'closed') await wire.end()
        t.equal(wire.rest.toString('latin1'), '', 'and nothing else was said')
        t.ok(await eventually(() => target.images().length === images), `${images} images stored`)
        wire.close()
        target.objects.clear()
      })
    }
  },
)

t.test('the boundary may be anything that RFC 2046 allows, and what is none is refused', async (t) => {
  const target = await startTarget(t)
  const wire = await target.open()
  const send = (parameter: string, boundary: string) => {
    const body = multipart([FILE, FILE], { boundary })
    wire.write(uploadHead(body.length).replace('; boundary=XX', parameter))
    wire.write(body)
    return wire.answer()
  }
  for (const boundary of ['(a+)+', "'()+_,-./:=?", 'x'.repeat(70), 'x'.repeat(200), '--', '--XX--']) {
    t.equal((await send(`; boundary="${boundary}"`, boundary))?.status, 200, boundary)
  }
  for (const parameter of [
    '; boundary=XX; charset=utf-8',
    '; charset=utf-8; BOUNDARY=XX',
    ';boundary=XX',
    '; boundary="XX"',
  ]) {
    t.equal((await send(parameter, 'XX'))?.status, 200, parameter)
  }
  t.same(new Set(target.images().map((stored) => stored.equals(image))), new Set([true]), 'every image is whole')
  target.objects.clear()
  for (const parameter of [
    '',
    '; boundary',
    '; boundary=',
    '; boundary=""',
    '; boundary=;',
    '; boundary="',
    '; bound=XX',
    ', boundary=XX',
  ]) {
    const answer = await send(parameter, 'XX')
    t.equal(answer?.status, parameter.startsWith(',') ? 415 : 400, parameter)
    if (answer) isError(t, answer, /boundary|multipart/)
  }
  for (const [parameter, boundary] of [
    ['; boundary=XX', 'YY'],
    ['; boundary=XX; boundary=YY', 'YY'],
    ['; boundary=XX', 'xx'],
  ] as const) {
    const answer = await send(parameter, boundary)
    t.equal(answer?.status, 400, `${parameter}, in the body ${boundary}`)
    if (answer) isError(t, answer)
  }
  t.same([...target.objects], [])
})
