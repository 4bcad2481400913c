import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { examplesOf, ROOT } from '../support/examples.ts'
import { PATIENCE } from '../support/patience.ts'
import { launchServer, type ServerProcess, startServer } from '../support/server-process.ts'
import { get, IMAGES, isError, MULTIPART, multipart, send, someImages, UPLOAD, type Uploaded, until } from './client.ts'
import { diskStore } from './stores.ts'

const document = await examplesOf('docs/security.md')

/** An example of the document, as written but for the port. */
const example = (name: string, port = 8000) => document(name).replaceAll(':8000', `:${port}`)

/** Runs a program in the folder of the clone, and returns what it prints. */
function run(t: Test, command: string, args: string[], environment: NodeJS.ProcessEnv = {}): Promise<string> {
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, ...environment }
  return new Promise((resolve) => {
    execFile(command, args, { cwd: ROOT, env, timeout: PATIENCE }, (error, stdout, stderr) => {
      t.equal(error?.code ?? 0, 0, `${command}: ${stderr}`)
      resolve(stdout)
    })
  })
}

async function runModule(t: Test, code: string, environment: NodeJS.ProcessEnv): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'story-images-example-'))
  t.teardown(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'example.mjs'), code)
  return run(t, process.execPath, [join(folder, 'example.mjs')], environment)
}

const SECRET = randomBytes(32).toString('hex')
const hashOf = (key: string) => createHash('sha256').update(key).digest('hex')

/** A server with a key that may do everything, made as the document says. */
async function guarded(t: Test, more: Record<string, string> = {}) {
  const [key = '', hash = ''] = (await run(t, 'sh', ['-c', example('new-key')])).trim().split(' ')
  t.match(key, /^[\w-]{43}$/, '32 random bytes')
  t.equal(hash, hashOf(key))
  const { environment } = await diskStore(t)
  const API_KEYS = `web:read+write+delete+delete-all:${hash}`
  const server = await startServer({
    ...environment,
    API_KEYS,
    SIGNING_SECRETS: SECRET,
    LOG_LEVEL: 'trace',
    ...more,
  })
  t.teardown(() => server.kill())
  return { server, key, hash }
}

async function upload(server: ServerProcess, key: string): Promise<Uploaded> {
  const body = multipart((await someImages(2)).map((body) => ({ body })))
  const answer = await send(server, 'POST', UPLOAD, { headers: { ...MULTIPART, 'x-api-key': key }, body })
  if (answer.status !== 200) throw new Error(answer.body.toString())
  return answer.json()
}

t.test('the examples of docs/security.md do what they say: keys', async (t) => {
  const { server, key } = await guarded(t)
  const environment = { STORY_IMAGES_KEY: key }
  const printed = await run(t, 'sh', ['-ec', example('curl', server.port)], environment)
  const [, uploaded = '', list = ''] = /^(\{.*?\})(\[.*\])$/s.exec(printed.trim()) ?? []
  const { image_paths }: Uploaded = JSON.parse(uploaded)
  t.same(
    JSON.parse(list).map(({ path }: { path: string }) => path),
    image_paths,
  )
  const paths = `${image_paths.join('\n')}\n`
  t.equal(await runModule(t, example('fetch', server.port), environment), paths)
  t.equal(await run(t, 'python3', ['-c', example('python', server.port)], environment), paths)
})

t.test('the examples of docs/security.md do what they say: tickets', async (t) => {
  const { server, key } = await guarded(t)
  const page = `
    const files = [new Blob([Buffer.from('${(await someImages(1))[0]?.toString('base64')}', 'base64')])]
    console.log(JSON.stringify([ticket, await upload(ticket.upload_url, files), await upload(ticket.upload_url, files)]))`
  const printed = await runModule(t, example('ticket', server.port) + page, { STORY_IMAGES_KEY: key })
  const [ticket, story, again] = JSON.parse(printed)
  t.match(ticket, { files: 3, bytes: 30_000_000, expires_at: /Z$/ })
  t.equal(story.image_count, 1)
  t.same(again, story, 'sent again it is the same story')
  t.equal((await get(server, IMAGES, { 'x-api-key': key })).json<unknown[]>().length, 1)
})

t.test('the examples of docs/security.md do what they say: signed URLs', async (t) => {
  const { server, key } = await guarded(t, { PRIVATE_IMAGES: 'true' })
  const { image_paths } = await upload(server, key)
  const [path = ''] = image_paths
  isError(t, await get(server, path), 401, /key/)
  const environment = { STORY_IMAGES_KEY: key, SIGNING_SECRET: SECRET, IMAGE_PATH: path }
  const signed = [
    JSON.parse(await run(t, 'sh', ['-ec', example('signed-urls', server.port)], environment)).urls[0],
    (await runModule(t, example('sign-node'), environment)).trim(),
    (await run(t, 'python3', ['-c', example('sign-python')], environment)).trim(),
  ]
  t.equal(signed[1], signed[2], 'the two recipes make the same URL')
  for (const url of signed) {
    t.ok(url.startsWith(`${path}?expires=`), url)
    t.equal((await get(server, url)).status, 200)
    isError(t, await get(server, url.replace(path, image_paths[1] ?? '')), 403, /signature/)
  }
})

t.test('no key, hash, secret, ticket or signature is in what the server writes', async (t) => {
  const { server, key, hash } = await guarded(t, { PRIVATE_IMAGES: 'true', RATE_LIMIT: '1000' })
  const story = await upload(server, key)
  const auth = { authorization: `Bearer ${key}` }
  const json = { ...auth, 'content-type': 'application/json' }
  const ticket = (await send(server, 'POST', '/api/v1/tickets', { headers: auth })).json<{ upload_url: string }>()
  const body = JSON.stringify({ paths: story.image_paths })
  const { urls } = (await send(server, 'POST', '/api/v1/signed-urls', { headers: json, body })).json<{
    urls: string[]
  }>()
  const [url = ''] = urls
  const [, shownTicket = ''] = ticket.upload_url.split('ticket=')
  const [, signature = ''] = url.split('signature=')
  const wrong = 'a-key-that-is-not-theirs'
  const query = url.slice(url.indexOf('?'))
  const image = multipart((await someImages(1)).map((body) => ({ body })))
  const answers = [
    await get(server, url),
    await get(server, `${url}x`),
    await get(server, `/nowhere${query}&ticket=${shownTicket}&key=${key}`),
    await get(server, `/images/%zz${query}`),
    await get(server, `/images/stories/${'a'.repeat(300)}/1.jpg${query}`),
    await get(server, `/images/stories/x/1.jpg${query}`),
    await send(server, 'PUT', ticket.upload_url),
    await send(server, 'POST', ticket.upload_url),
    await send(server, 'POST', ticket.upload_url, { headers: MULTIPART, body: image }),
    await send(server, 'POST', `${ticket.upload_url}x`, { headers: MULTIPART, body: image }),
    await send(server, 'POST', '/api/v1/tickets', { headers: json, body: `{"files": "${key}"` }),
    await get(server, IMAGES, { authorization: `Bearer ${wrong}` }),
    await get(server, IMAGES, { 'x-api-key': wrong }),
    await get(server, `${IMAGES}?cursor=${key}`, auth),
  ]
  t.same(
    answers.map(({ status }) => status),
    [200, 403, 404, 400, 404, 403, 405, 400, 200, 403, 400, 401, 401, 400],
  )
  // With the three requests before them, and without the two whose URL can't be routed
  await until(
    'all is logged',
    () => server.log().filter(({ msg }) => msg === 'request completed').length > answers.length,
  )
  await server.stop()
  const written =
    server.output.stdout +
    server.output.stderr +
    answers
      .slice(1)
      .map(({ body }) => body)
      .join()
  for (const [what, secret] of Object.entries({ key, hash, SECRET, shownTicket, signature, wrong })) {
    t.ok(secret.length > 20, what)
    t.notOk(written.includes(secret.slice(0, -1)), what)
  }
  t.match(server.output.stdout, /"the API needs a key: web \(read, write, delete, delete-all\)"/)
})

t.test('the server starts beyond its machine with keys, or when it was told to be open, and says which', async (t) => {
  const { environment } = await diskStore(t)
  const { exit, output } = launchServer({ ...environment, HOST: '0.0.0.0', PORT: '0' })
  t.same(await exit, { code: 1, signal: null })
  t.match(
    output.stderr,
    /^HOST=0\.0\.0\.0 opens the server .*; set API_KEYS, or ALLOW_OPEN=true in a private network\n$/,
  )
  t.equal(output.stdout, '')
  for (const [more, level, sentence] of [
    [{ HOST: '127.0.0.1' }, 30, /needs no key, and only this machine can reach it/],
    [{ HOST: '0.0.0.0', ALLOW_OPEN: 'true' }, 40, /needs no key \(ALLOW_OPEN\).*0\.0\.0\.0/],
    [
      { HOST: '0.0.0.0', API_KEYS: `a:read:${hashOf('a')},b:delete:${hashOf('b')}` },
      30,
      /key: a \(read\); b \(delete\)$/,
    ],
  ] as const) {
    const server = await startServer({ ...environment, ...more })
    t.teardown(() => server.kill())
    await until('it says so', () => server.log().some(({ msg }) => sentence.test(msg)))
    t.equal(server.log().find(({ msg }) => sentence.test(msg))?.level, level)
    t.equal((await server.stop()).code, 0)
  }
})

t.test('a setting that is a secret is not repeated when it is refused', async (t) => {
  for (const [name, value] of [
    ['API_KEYS', `web:read:${'my-plain-key'}`],
    ['SIGNING_SECRETS', 'too-short-a-secret'],
  ] as const) {
    const { exit, output } = launchServer({ [name]: value })
    t.same(await exit, { code: 1, signal: null })
    t.match(output.stderr, new RegExp(`^${name} must be a list of .*; for example ${name}=`))
    t.notOk(output.stderr.includes(value.split(':').at(-1) ?? ''))
  }
})
