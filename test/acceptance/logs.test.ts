import t from 'tap'
import { startServer } from '../support/server-process.ts'
import { get, IMAGES, post, remove, someImages, until } from './client.ts'
import { openers } from './stores.ts'

for (const [name, open] of openers) {
  t.test(`logs are lines of JSON with request ids, and hold no file names and no credentials (${name})`, async (t) => {
    const store = await open(t)
    const server = await startServer({ ...store.environment, LOG_LEVEL: 'trace' })
    t.teardown(() => server.kill())
    const [body = Buffer.alloc(0)] = await someImages(1)
    const secret = 'holiday-in-Rimini'
    const parts = [
      { filename: `${secret}.jpg`, body },
      { name: 'title', filename: null, body: `${secret}-title` },
    ]
    const answers = [
      await post(server, parts),
      await post(server, [...parts, { filename: `${secret}.html`, body: '<p>' }]),
      await post(server, [{ name: secret, filename: `${secret}.jpg`, body }]),
      await get(server, `${IMAGES}?title=${secret}`),
      await get(server, `${IMAGES}/no-uuid`, { 'x-request-id': 'trace-me-1', authorization: `Bearer ${secret}` }),
      await get(server, IMAGES, { cookie: `session=${secret}` }),
      await remove(server, IMAGES),
    ]
    const ids = answers.map(({ headers }) => String(headers['x-request-id']))
    t.equal(new Set(ids).size, answers.length, 'each answer has an id of its own')
    t.equal(ids[4], 'trace-me-1', 'the one that the client gave is kept')
    const logged = () => server.log().filter(({ msg }) => msg === 'request completed')
    await until('every request is logged', () => logged().length === answers.length)
    t.same(
      logged().map(({ reqId, status }) => [reqId, status]),
      answers.map(({ status }, index) => [ids[index], status]),
    )
    const [uploaded] = answers
    t.match(logged()[0], {
      operation: 'uploadStory',
      method: 'POST',
      path: '/api/v1/images/upload',
      ms: Number,
      bytesIn: Number,
      bytesOut: Number,
      story: uploaded?.json<{ story_id: string }>().story_id,
      images: 1,
      waited: Number,
    })
    t.ok(Number(logged()[0]?.bytesIn) > body.length)
    t.notOk('story' in (logged()[4] ?? {}), 'what is no id of a story is not logged as one')

    t.same(await server.stop(), { code: 0, signal: null })
    const { stdout, stderr } = server.output
    // Node 20 is old to the AWS SDK, which says so there
    t.notMatch(stderr, new RegExp(`error|${secret}`, 'i'), 'no error goes to standard error')
    const lines = stdout.trimEnd().split('\n')
    t.equal(server.log().length, lines.length, 'every line is JSON')
    t.notMatch(stdout, new RegExp(secret), 'no file names, fields, queries, cookies or tokens')
    const { AWS_SECRET_ACCESS_KEY: key } = store.environment
    if (key !== undefined) t.notOk(stdout.includes(key), 'no credentials')
  })
}

t.test('a store out of reach is logged without credentials, and with the request', async (t) => {
  const server = await startServer({
    S3_ENDPOINT: 'http://127.0.0.1:1',
    S3_BUCKET: 'images',
    AWS_ACCESS_KEY_ID: 'an-access-key-id',
    AWS_SECRET_ACCESS_KEY: 'a-secret-access-key',
  })
  t.teardown(() => server.stop())
  const answer = await get(server, IMAGES)
  t.equal(answer.status, 503)
  await until('it is logged', () => server.log().some(({ msg }) => msg === 'request completed'))
  const error = server.log().find(({ level }) => level === 50)
  t.equal(error?.reqId, answer.headers['x-request-id'])
  t.match(JSON.stringify(error), /ECONNREFUSED/, 'the log says what the answer does not')
  t.notMatch(server.output.stdout, /a-secret-access-key/)
})

t.test('the log has the address of the client in full, and without its port', async (t) => {
  const server = await startServer({ DATA_DIR: t.testdir(), TRUST_PROXY: '127.0.0.1' })
  t.teardown(() => server.stop())
  for (const [path, entry, remote] of [
    ['/livez', '192.0.2.1:4711', '192.0.2.1'],
    ['/livez', '[2001:db8:1:2::3]:443', '2001:db8:1:2::3'],
    ['/livez', 'unknown', '127.0.0.1'],
    // Fastify has looked at no header then
    ['/%zz', '192.0.2.2:4712', '127.0.0.1'],
  ] as const) {
    const { headers } = await get(server, path, { 'x-forwarded-for': entry })
    const line = () =>
      server.log().find(({ reqId, msg }) => reqId === headers['x-request-id'] && msg === 'request completed')
    await until('it is logged', () => line() !== undefined)
    t.equal(line()?.remote, remote, `${path} ${entry}`)
  }
})
