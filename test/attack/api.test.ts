import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  type Answer,
  exchange,
  get,
  IMAGES,
  isError,
  STORY_IDS,
  send,
  someImages,
  upload,
} from '../acceptance/client.ts'
import { onEachStore, serverOn } from '../acceptance/stores.ts'
import { sample } from '../support/extent.ts'
import type { ServerProcess } from '../support/server-process.ts'

/** A request as these bytes: `send` would refuse to send some of them. */
const raw = (server: ServerProcess, method: string, path: string, ...headers: string[]) =>
  exchange(server, [`${method} ${path} HTTP/1.1`, 'Host: x', 'Connection: close', ...headers, '', ''].join('\r\n'))

/** A server whose folder lies beside files that nobody may see. */
async function besideSecrets(t: Test) {
  const outer = await mkdtemp(join(tmpdir(), 'story-images-canary-'))
  t.teardown(() => rm(outer, { recursive: true, force: true }))
  const [image = Buffer.alloc(0)] = await someImages(1)
  const secret = Buffer.concat([image, Buffer.from('CANARY')])
  for (const folder of ['', 'secrets', 'data', 'data/secrets', 'data/stories']) {
    await mkdir(join(outer, folder), { recursive: true })
    await writeFile(join(outer, folder, '1.jpg'), secret)
  }
  const environment = { DATA_DIR: join(outer, 'data') }
  const server = await serverOn(t, { name: 'disk', environment, content: async () => [], place: async () => {} })
  const files = async () => {
    const entries = await readdir(outer, { recursive: true, withFileTypes: true })
    const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
    return Object.fromEntries(
      await Promise.all(paths.sort().map(async (path) => [path, (await readFile(path)).toString('base64')] as const)),
    )
  }
  return { server, files }
}

/** `..`, plain and by every encoding that some server has read as that. */
const UP = [
  '..',
  '%2e%2e',
  '.%2E',
  '%252e%252e',
  '%25252e%25252e',
  '%c0%ae%c0%ae',
  '%e0%80%ae%e0%80%ae',
  '%f0%80%80%ae%f0%80%80%ae',
  '%uff0e%uff0e',
  '%ef%bc%8e%ef%bc%8e',
  '\xef\xbc\x8e\xef\xbc\x8e',
  '%e2%80%a5',
  '..%00',
  '%00..',
  '..;',
  '..%20',
  '....',
  '.%cc%87.',
]
const SLASHES = ['/', '//', '%2f', '%252F', '\\', '%5c', '%255c', '%c0%af', '%e0%80%af', '%ef%bc%8f', '%e2%88%95']

t.test('no form of a path leads out of the stories', async (t) => {
  const { server, files } = await besideSecrets(t)
  const { story_id: id } = await upload(server, await someImages(1))
  const before = await files()
  const targets: [method: string, path: string][] = []
  for (const up of UP) {
    for (const slash of SLASHES) {
      for (const way of [up, up + slash + up, `${id}${slash}${up}${slash}${up}`, `${up}${slash}secrets`]) {
        targets.push(['GET', `${IMAGES}/${way}`], ['DELETE', `${IMAGES}/${way}`])
        targets.push(['GET', `/images/stories/${way}/1.jpg`], ['GET', `/images/stories/${way}${slash}1.jpg`])
      }
      targets.push(['GET', `/images/stories/${id}/${up}${slash}1.jpg`], ['GET', `/images/${up}${slash}1.jpg`])
      targets.push(['GET', `/${up}${slash}${up}${slash}etc${slash}passwd`])
    }
    targets.push(['GET', `${IMAGES}?cursor=${up}/${up}`], ['GET', `${STORY_IDS}?limit=1&cursor=${up}`])
  }
  for (const path of [`/images/stories/${id}/.1.jpg.json`, '/images/stories//1.jpg', '/images/stories/%2e/1.jpg']) {
    targets.push(['GET', path], ['HEAD', path])
  }
  const wrong: string[] = []
  const tried = sample(targets, 200)
  for (let at = 0; at < tried.length; at += 16) {
    const answers = await Promise.all(
      tried.slice(at, at + 16).map(async ([method, path]) => ({ method, path, ...(await raw(server, method, path)) })),
    )
    for (const { method, path, status, body } of answers) {
      const isRefused = [400, 404, 405].includes(status) && (method === 'HEAD' || isDetail(body))
      if (!isRefused || body.includes('CANARY')) wrong.push(`${method} ${path}: ${status} ${body.subarray(0, 100)}`)
    }
  }
  t.same(wrong, [], `${tried.length} paths are all refused`)
  t.same(await files(), before, 'and no file has changed, inside or outside')
})

function isDetail(body: Buffer): boolean {
  try {
    return Object.keys(JSON.parse(body.toString())).join() === 'detail'
  } catch {
    return false
  }
}

onEachStore('an id in any form but its own names no story', async (t, server) => {
  const { story_id: id } = await upload(server, await someImages(1))
  const digits = (zero: number) => id.replace(/\d/g, (digit) => String.fromCodePoint(zero + Number(digit)))
  const forms = [
    id.toUpperCase(),
    `{${id}}`,
    `urn:uuid:${id}`,
    id.replaceAll('-', ''),
    digits(0xff10),
    digits(0x660),
    digits(0x1d7ce),
    id.replaceAll('-', '\u2010'),
    id.replaceAll('-', '\uff0d'),
    `${id}\n`,
    ` ${id}`,
    `${id}\0`,
    `\u200b${id}`,
    `${id}\u0301`,
    id.replace(/[a-f]/g, (letter) => String.fromCodePoint(letter.charCodeAt(0) - 97 + 0xff41)),
  ].map(encodeURIComponent)
  for (const form of forms) {
    isError(t, await get(server, `${IMAGES}/${form}`), 404, /^There is no story/, form)
    isError(t, await send(server, 'DELETE', `${IMAGES}/${form}`), 404, /^There is no story/, form)
    isError(t, await get(server, `/images/stories/${form}/1.jpg`), 404, /^There is no image/, form)
    isError(t, await get(server, `${IMAGES}?cursor=${form}`), 400, /"cursor" must be/, form)
  }
  t.same((await get(server, STORY_IDS)).json(), [id], 'the story is there as before')
  const escaped = id.replace(/./g, (char) => `%${char.charCodeAt(0).toString(16)}`)
  t.equal((await get(server, `${IMAGES}/${escaped}`)).status, 200, 'an escape is another way to write the same id')
})

onEachStore('names that every object has are names like any other', async (t, server) => {
  const names = [
    ...Object.getOwnPropertyNames(Object.prototype),
    'prototype',
    '__proto__.limit',
    'constructor.prototype',
  ]
  await upload(server, await someImages(1))
  const list = (await get(server, IMAGES)).body.toString()
  for (const name of names) {
    isError(t, await get(server, `${IMAGES}/${name}`), 404, /no story/, name)
    isError(t, await get(server, `/images/stories/${name}/${name}`), 404, /no image/, name)
    isError(t, await get(server, `/${name}`), 404, /no route/, name)
    isError(t, await get(server, `${IMAGES}?limit=${name}`), 400, /"limit"/, name)
    for (const query of [`${name}=1`, `${name}[limit]=1`, `limit[${name}]=1`, `${name}=1&${name}=2`, name]) {
      const answer = await get(server, `${IMAGES}?${query}`)
      t.same([answer.status, answer.body.toString()], [200, list], query)
    }
    const answer = await raw(server, 'GET', IMAGES, `${name}: 1`, `${name}: 2`)
    t.same([answer.status, answer.body.toString()], [200, list], `a header ${name}`)
  }
  t.equal((await get(server, '/livez')).body.toString(), '{"status":"alive"}', 'and no object has got another member')
})

onEachStore('nothing of a request can add a header to the answer', async (t, server) => {
  const images = await someImages(1)
  const ids = [await upload(server, images), await upload(server, images)].map(({ story_id }) => story_id)
  const own = `<?limit=1&cursor=${ids[0]}>; rel="next"`
  const lines = [
    '%0d%0aX-Injected:%201',
    '%0aX-Injected:1',
    '%0d%0a%0d%0a<script>',
    '%e5%98%8a%e5%98%8dX-Injected:1',
    '%u000aX',
  ]
  const isClean = (answer: Answer, what: string) => {
    t.notMatch(Object.keys(answer.headers).join(' '), /injected|set-cookie/i, what)
    if (answer.headers.link !== undefined) t.equal(answer.headers.link, own, `${what}: the link is ours`)
  }
  for (const line of lines) {
    for (const path of [
      `${IMAGES}?limit=1&x=${line}`,
      `${IMAGES}?limit=1&${line}=x`,
      `${IMAGES}?limit=1${line}`,
      `${IMAGES}?cursor=${line}`,
      `${IMAGES}/${line}`,
      `/images/stories/${ids[0]}/1.jpg${line}`,
      `/images/stories/${line}/1.jpg`,
      `/${line}`,
      `${IMAGES}#limit=1&x=>;rel="evil"${line}`,
    ]) {
      isClean(await raw(server, 'GET', path), path)
      isClean(await raw(server, 'PUT', path), `PUT ${path}`)
    }
    isClean(await raw(server, 'GET', IMAGES, `X-Request-Id: a${line}`), `a request id with ${line}`)
    isClean(await raw(server, 'GET', `${IMAGES}/x`, `Idempotency-Key: a${line}`), line)
  }
  for (const bare of ['a\rX-Injected: 1', 'a\nX-Injected: 1', 'a\r\n X-Injected: 1', 'a\0X-Injected: 1']) {
    const answer = await raw(server, 'GET', `${IMAGES}/x`, `X-Request-Id: ${bare}`)
    t.ok([400, 404].includes(answer.status), `${JSON.stringify(bare)}: ${answer.status}`)
    isClean(answer, JSON.stringify(bare))
  }
  for (const path of [`${IMAGES}#>;rel="evil"?limit=1`, `${IMAGES}#limit=1`, `http://evil.example${IMAGES}?limit=1`]) {
    isClean(await raw(server, 'GET', path), path)
  }
})

onEachStore('a limit is digits from 1 to 1000, written in one way', async (t, server) => {
  const { story_id } = await upload(server, await someImages(1))
  const good = ['1', '9', '10', '99', '100', '999', '1000', '%31']
  const bad =
    '1e2 %2B5 +5 0x10 0b1 0o7 1.0 1. .5 1001 10000 -1 -0 0 00 01 0001 %201 1%20 1%0a %0d1 1%00 Infinity NaN null true [] {} 1,2 1_0 1n %EF%BC%91 %D9%A3 %C2%B2'
      .split(' ')
      .concat('', '9'.repeat(400), '1'.repeat(8000))
  for (const path of [IMAGES, STORY_IDS]) {
    for (const limit of good) t.equal((await get(server, `${path}?limit=${limit}`)).status, 200, limit)
    for (const limit of bad) {
      const answer = await get(server, `${path}?limit=${limit}`)
      isError(t, answer, 400, /"limit" must be a whole number of stories from 1 to 1000$/, limit.slice(0, 20))
    }
    for (const query of ['limit=1&limit=2', 'limit=1&limit=1', 'limit=1&limit=', 'limit&limit=1']) {
      isError(t, await get(server, `${path}?${query}`), 400, /"limit"/, query)
    }
    for (const query of [
      'limit[]=0',
      'limit[0]=x',
      'LIMIT=x',
      'limits=0',
      '=',
      '&&&',
      '%zz=1',
      `a=${'b'.repeat(8000)}`,
    ]) {
      const answer = await get(server, `${path}?${query}`)
      t.equal(answer.status, 200, `${query.slice(0, 20)}: no parameter of ours`)
      t.match(answer.body.toString(), story_id)
    }
  }
})

onEachStore('a cursor that was made up shows nothing that a list does not show', async (t, server) => {
  const images = await someImages(1)
  const ids: string[] = []
  for (let n = 0; n < 3; n++) ids.push((await upload(server, images)).story_id)
  const shows = async (cursor: string, expected: readonly string[]) => {
    t.same((await get(server, `${STORY_IDS}?cursor=${cursor}`)).json(), expected, cursor)
    const page = (await get(server, `${IMAGES}?limit=2&cursor=${cursor}`)).json<{ story_id: string }[]>()
    t.same(
      page.map((image) => image.story_id),
      expected.slice(0, 2),
      cursor,
    )
  }
  await shows('00000000-0000-0000-0000-000000000000', ids)
  await shows('ffffffff-ffff-ffff-ffff-ffffffffffff', [])
  await shows(ids[0] ?? '', ids.slice(1))
  // An imported story's id, and one of ours that never was
  await shows(randomUUID().replace(/^../, '00'), ids)
  await shows(randomUUID().replace(/^../, 'ff'), [])
  const forged = [
    'stories/',
    `stories/${ids[0]}/`,
    `${ids[0]}/1.jpg`,
    '-deleting',
    'idempotency/',
    '..%2f',
    `${ids[0]}%00`,
    `${ids[0]}%0a`,
    `${ids[0]}${ids[0]}`,
    Buffer.from(ids[0] ?? '').toString('base64url'),
    '%7B%22after%22:1%7D',
    'a'.repeat(10_000),
    '%F0%9F%92%A5',
  ]
  for (const cursor of forged) {
    for (const path of [IMAGES, STORY_IDS]) {
      isError(t, await get(server, `${path}?cursor=${cursor}`), 400, /"cursor" must be taken/, cursor.slice(0, 40))
      isError(t, await get(server, `${path}?limit=1&cursor=${cursor}`), 400, /"cursor" must be/, cursor.slice(0, 40))
    }
  }
  isError(t, await get(server, `${IMAGES}?cursor=${ids[0]}&cursor=${ids[1]}`), 400, /"cursor"/, 'two cursors')
})
