import { spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { chmod, readFile, truncate, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { forEachConcurrent } from '../../src/io/for-each-concurrent.ts'
import { examplesOf, run } from '../support/examples.ts'
import { sample } from '../support/extent.ts'
import type { ServerProcess } from '../support/server-process.ts'
import {
  get,
  IMAGES,
  type ListedImage,
  listImages,
  STORY_IDS,
  someImages,
  type Uploaded,
  until,
  upload,
} from './client.ts'
import { CLI, runCommand } from './command.ts'
import { aServer, lines, sharedServer, someFiles } from './commands.ts'
import { diskStore, type TestStore } from './stores.ts'

const DOCUMENT = fileURLToPath(new URL('../../docs/cli.md', import.meta.url))

t.test('files become a story in the order in which they are named, and it can be listed and deleted', async (t) => {
  const { server, at } = await sharedServer()
  const images = await someImages(3)
  const files = await someFiles(t, images)
  const uploaded = await runCommand('upload', files, at)
  t.match(uploaded, {
    code: 0,
    stderr: /^Sending 1 of 3: 9 of "it".bin\nSending 2 of 3: .*\nSending 3 of 3: .*\nSent 3 of 3\n$/,
  })
  const [id = '', ...urls] = uploaded.stdout.trimEnd().split(/\n {2}/)
  for (const [index, url] of urls.entries())
    t.same(Buffer.from(await (await fetch(url)).arrayBuffer()), images[index], `image ${index + 1}`)
  t.equal(urls.length, 3)

  const [second] = lines<Uploaded>((await runCommand('upload', [...files.slice(0, 2), '--json'], at)).stdout)
  t.match(second, { image_count: 2, image_paths: [/1\.jpg$/, /2\.png$/] })
  const [{ created_at = '' } = {}] = await listImages(server, `${IMAGES}/${id}`)
  t.equal(
    (await runCommand('ls', ['--limit', '1'], at)).stdout.split('\n')[1]?.slice(0, 36),
    second?.story_id,
    'the newest first',
  )
  t.match((await runCommand('ls', [], at)).stdout, `\n${id}  ${created_at}       3\n`)
  t.same(
    lines<{ story_id: string }>((await runCommand('ls', ['--json'], at)).stdout).map(({ story_id }) => story_id),
    [second?.story_id, id],
  )
  t.match((await runCommand('ls', [id], at)).stdout, `\n3      ${created_at}  ${urls[2]}\n`)
  t.same(
    lines<ListedImage>((await runCommand('ls', [id, '--json'], at)).stdout),
    await listImages(server, `${IMAGES}/${id}`),
  )

  const refused = await runCommand('rm', [id], at)
  t.match(refused, { code: 2, stdout: '', stderr: 'Without a terminal to ask on, rm needs --yes\n' })
  const gone = randomUUID()
  t.match(await runCommand('rm', ['--yes', gone, id], at), {
    code: 1,
    stdout: `Deleted ${id}\n`,
    stderr: new RegExp(`^.*${gone}.*\n$`),
  })
  t.match(await runCommand('ls', [id], at), { code: 1, stdout: '', stderr: /^There is no story/ })
  t.match(await runCommand('rm', ['--all', '--yes', '--json'], at), { code: 0, stdout: '{"deleted":"all"}\n' })
  t.same((await get(server, STORY_IDS)).json(), [])
})

t.test('a list has all pages, and ends when its reader has gone', async (t) => {
  const { store, server, at } = await sharedServer()
  const [image] = await someImages(1)
  for (let n = 0; n < 230; n++) await store.place(`stories/${randomUUID()}/1.jpg`, image as Buffer)
  const ids = (await get(server, STORY_IDS)).json<string[]>()
  const listed = lines<{ story_id: string }>((await runCommand('ls', ['--json'], at)).stdout)
  t.same(
    listed.map(({ story_id }) => story_id),
    ids,
  )
  t.equal((await runCommand('ls', ['--limit', '150'], at)).stdout.split('\n').length, 152, 'a head, and a last newline')
  const head = spawn('sh', ['-c', `"${process.execPath}" "${CLI}" ls | head -n 2`], {
    env: { PATH: process.env.PATH, ...at },
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    head[name].on('data', (text) => {
      output[name] += text
    })
  await new Promise((resolve) => head.once('close', resolve))
  t.match(output, { stdout: /^STORY .*\n\S{36} .*\n$/, stderr: '' })
})

t.test('a command that fails says why in a sentence, and has an exit code', async (t) => {
  const { at } = await sharedServer()
  const [image] = await someImages(1)
  const [file = '', text = '', empty = ''] = await someFiles(t, [
    image as Buffer,
    Buffer.from('no image'),
    Buffer.alloc(0),
  ])
  const closed = { STORY_IMAGES_SERVER: 'http://127.0.0.1:2' }
  const cases = [
    [['upload'], at, 2, /^Missing required argument 'files'\n/],
    [['upload', file, `${file}.not`], at, 2, /\.not can't be read: ENOENT/],
    [['upload', tmpdir()], at, 2, /^\/.* is not a file\n$/],
    [['upload', file, text], at, 1, /^File 2 is not a JPEG, PNG, GIF, WebP or AVIF image\n$/m],
    [['upload', empty], at, 1, /^File 1 is empty/m],
    [['upload', '--', '-x'], at, 2, /^-x can't be read: ENOENT/],
    [['ls'], { ...at, STORY_IMAGES_KEY: 'a-key\n' }, 2, /^The API key has to be visible ASCII/],
    [['ls', '--server', 'http://me:secret@localhost'], at, 2, /It has to be a URL without user and password/],
    [['ls', '--server', at.STORY_IMAGES_SERVER.replace('http', 'https')], at, 1, /^No response from .* has no TLS/],
    [['upload', file], closed, 1, /^No response from http:\/\/127\.0\.0\.1:2: nothing listens there\n$/],
    [['ls', '--server', 'localhost:8000'], at, 2, /It has to be a URL that begins with http/],
    [['ls'], { STORY_IMAGES_SERVER: 'ftp://x' }, 2, /STORY_IMAGES_SERVER.* It has to be a URL/],
    [['ls', '--limit', '0'], at, 2, /It has to be a whole number from 1/],
    [['ls', 'x'], at, 2, /It has to be the id of a story, a lower-case UUID/],
    [['ls', randomUUID(), '--limit', '1'], at, 2, /^--limit is for the list of all stories\n$/],
    [['ls', '--key-file', `${file}.not`], at, 2, /^The key file can't be read: ENOENT/],
    [['rm', '--yes'], at, 2, /^rm takes either the ids of stories, or --all\n$/],
    [['rm', '--yes', '--all', randomUUID()], at, 2, /^rm takes either/],
    [['rm', '--all'], at, 2, /needs --yes/],
    [['serve'], { PORT: 'x' }, 2, /^PORT must be/],
    [['serve', 'now'], {}, 2, /^Too many arguments/],
    [['verify', '--story', 'x'], {}, 2, /It has to be the id of a story/],
    [['nothing'], {}, 2, /^Unknown command 'nothing'/],
  ] as const
  await forEachConcurrent(
    sample<(typeof cases)[number]>(cases, 6),
    2,
    async ([[name, ...rest], environment, code, sentence]) => {
      const result = await runCommand(name, rest, environment)
      t.match(result, { code, stdout: '', stderr: sentence }, [name, ...rest].join(' '))
    },
  )
})

t.test('a server that is not story-images has done nothing, and a busy one is tried again', async (t) => {
  const responses: [status: number, body: string, headers?: Record<string, string>][] = [
    [200, '{}'],
    [200, '[{}]'],
    [200, '<h1>Log in first</h1>'],
    [301, '', { location: 'https://images.example/' }],
    [502, '<h1>Bad gateway</h1>'],
    [503, '<h1>No server is ready</h1>'],
    [503, '{"detail":"Busy"}', { 'retry-after': new Date(Date.now() - 60_000).toUTCString() }],
    [429, '{"detail":"Later"}', { 'retry-after': '3600' }],
  ]
  const other = createHttpServer((request, response) => {
    const [status, body, headers] = responses.shift() ?? [500, '']
    request.resume().on('end', () => response.writeHead(status, headers).end(body))
  })
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  t.teardown(() => other.close())
  const { port } = other.address() as { port: number }
  const at = { STORY_IMAGES_SERVER: `http://127.0.0.1:${port}` }
  const strange = {
    code: 1,
    stdout: '',
    stderr: 'The response is not from story-images\n',
  }
  const [file = ''] = await someFiles(t, await someImages(1))
  t.match(await runCommand('rm', ['--yes', randomUUID()], at), strange)
  t.match(await runCommand('ls', ['--json'], at), strange)
  t.match(await runCommand('ls', ['--json'], at), strange)
  t.match(await runCommand('ls', [], at), {
    code: 1,
    stderr: 'The server responded with a redirect to https://images.example/\n',
  })
  t.match(await runCommand('upload', [file], at), {
    code: 1,
    stdout: '',
    stderr:
      /^Sending .*\nThe server responded with status 502; trying again in 1 s\nSending .*\nThe server responded with status 503; trying again in 2 s\nSending .*\nBusy; trying again in [34] s\nSending .*\nLater\n$/,
  })
})

t.test('a server with keys takes the key of the environment, or of a file', async (t) => {
  const key = 'a-key-for-the-test-of-commands'
  const { at } = await aServer(t, {
    API_KEYS: `test:read+write+delete+delete-all:${createHash('sha256').update(key).digest('hex')}`,
  })
  const [image] = await someImages(1)
  const [file = '', keyFile = ''] = await someFiles(t, [image as Buffer, Buffer.from(`${key}\n`)])
  t.match(await runCommand('upload', [file], at), { code: 1, stderr: /key/ })
  t.match(await runCommand('upload', [file], { ...at, STORY_IMAGES_KEY: key }), { code: 0 })
  t.match(await runCommand('ls', ['--key-file', keyFile, '--json'], at), { code: 0, stdout: /"image_count":1/ })
})

t.test('upload and ls print the URLs of a CDN, from the environment or an option', async (t) => {
  const { at } = await aServer(t)
  const [file = ''] = await someFiles(t, await someImages(1))
  const uploaded = await runCommand('upload', [file], { ...at, PUBLIC_IMAGE_URL: 'https://img.example.org/app' })
  const [, id = ''] =
    /^([0-9a-f-]{36})\n {2}https:\/\/img\.example\.org\/app\/images\/stories\/\1\/1\.\w+\n$/.exec(uploaded.stdout) ?? []
  t.not(id, '', uploaded.stdout)
  const listed = await runCommand('ls', [id, '--image-url', 'https://img.example.org'], at)
  t.match(listed.stdout, `https://img.example.org/images/stories/${id}/1.`)
  t.match(await runCommand('ls', [id, '--image-url', 'img.example.org'], at), { code: 2, stderr: /It has to be a URL/ })
})

/**
 * Starts a proxy to a server.
 *
 * @param faults of its connections in their order: `cut` ends one when the request begins, `lose` when the response begins;
 * `halt` lets the first MiB through, and the rest only after `goOn`
 */
async function proxyTo(
  t: Test,
  server: ServerProcess,
  ...faults: ('lose' | 'cut' | 'halt')[]
): Promise<{ url: string; count(): number; goOn(): void }> {
  const sockets = new Set<Socket>()
  let count = 0
  let goOn = () => {}
  const goesOn = new Promise<void>((resolve) => {
    goOn = resolve
  })
  const proxy = createServer((client) => {
    const fault = faults[count++]
    const upstream = connect(server.port, '127.0.0.1')
    const end = () => [client, upstream].map((socket) => socket.destroy())
    for (const socket of [client, upstream]) sockets.add(socket.on('error', end).on('close', end))
    let beforeHalt = fault === 'halt' ? 2 ** 20 : Number.POSITIVE_INFINITY
    client.on('data', (bytes) => {
      if (fault === 'cut') return end()
      upstream.write(bytes)
      beforeHalt -= bytes.length
      if (beforeHalt > 0) return
      client.pause()
      void goesOn.then(() => client.resume())
    })
    upstream.on('data', (bytes) => (fault === 'lose' ? end() : client.write(bytes)))
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    proxy.close()
  })
  const { port } = proxy.address() as { port: number }
  return { url: `http://127.0.0.1:${port}`, count: () => count, goOn }
}

t.test('an upload whose response was lost is sent again, and makes one story', async (t) => {
  const { server } = await sharedServer()
  const images = await someImages(2)
  const proxy = await proxyTo(t, server, 'cut', 'lose')
  const result = await runCommand('upload', await someFiles(t, images), { STORY_IMAGES_SERVER: proxy.url })
  t.match(result, { code: 0, stderr: /the connection broke; trying again in 1 s\n(.*\n)*.*; trying again in 2 s\n/ })
  t.equal(proxy.count(), 3)
  t.same((await get(server, STORY_IDS)).json(), [result.stdout.split('\n')[0]])
})

t.test('an upload that is refused is not sent again, however large it is', async (t) => {
  const key = 'a-key-for-the-test-of-refusals'
  const hash = createHash('sha256').update(key).digest('hex')
  const { server, at } = await aServer(t, { API_KEYS: `test:write:${hash}`, MAX_FILE_SIZE: '1MiB' })
  const [image] = await someImages(1)
  const [file = ''] = await someFiles(t, [Buffer.concat([image as Buffer, Buffer.alloc(40 * 1024 * 1024)])])
  for (const [shown, sentence] of [
    [key, /^File 1 is larger than 1 MiB, the limit for one file$/m],
    ['another-key', /^There is no such API key$/m],
  ] as const) {
    const result = await runCommand('upload', [file], { ...at, STORY_IMAGES_KEY: shown })
    t.match(result, { code: 1, stdout: '', stderr: sentence })
    t.notMatch(result.stderr, /trying again/)
  }
  await until('both requests are in the log', () => {
    const requests = server.log().filter(({ operation }) => operation === 'uploadStory')
    return requests.length === 2 && requests.every(({ msg }) => msg === 'request completed')
  })
})

const isStoring = async (store: TestStore) => (await store.content()).some((key) => key.startsWith('.tmp/'))

t.test('an interrupted upload ends at once and leaves no story', async (t) => {
  const { store, server } = await sharedServer()
  const [image] = await someImages(1)
  const files = await someFiles(t, [image, image, image, image] as Buffer[])
  await until('no other upload is stored', async () => !(await isStoring(store)))
  // After their image there are zeros
  for (const path of files) await truncate(path, 48 * 2 ** 20)
  const proxy = await proxyTo(t, server, 'halt')
  const stopping = runCommand('upload', files, { STORY_IMAGES_SERVER: proxy.url })
  await until('it sends', () => isStoring(store))
  stopping.interrupt('SIGINT')
  t.match(await stopping, { code: 1, signal: null, stderr: /Stopped by SIGINT\n$/ })
  proxy.goOn()
  await until('the server lets go of what it has', async () => !(await isStoring(store)))
  t.equal((await get(server, STORY_IDS)).json<string[]>().length, 0)
})

t.test('a file that becomes shorter while it is sent is named, and leaves no story', async (t) => {
  const { store, server } = await sharedServer()
  const [image] = await someImages(1)
  const [first = '', second = ''] = await someFiles(t, [image, image] as Buffer[])
  for (const path of [first, second]) await truncate(path, 48 * 2 ** 20)
  await until('no other upload is stored', async () => !(await isStoring(store)))
  const proxy = await proxyTo(t, server, 'halt')
  const uploading = runCommand('upload', [first, second], { STORY_IMAGES_SERVER: proxy.url })
  await until('it sends', () => isStoring(store))
  await truncate(second, 100)
  proxy.goOn()
  t.match(await uploading, {
    code: 1,
    stdout: '',
    stderr: `\n${second} can't be read: it became shorter while it was sent\n`,
  })
  t.same((await get(server, STORY_IDS)).json(), [])
})

/** Runs a command on a terminal of its own (script(1) of util-linux), and types a text once a question is shown. */
function onTerminal(
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  type = '',
  question = /(\[y\/N\]|to do it:) /,
) {
  const command = [process.execPath, CLI, ...args].map((word) => `'${word}'`).join(' ')
  const child = spawn('script', ['-qec', `exec ${command}`, '/dev/null'], {
    env: { PATH: process.env.PATH, TERM: 'xterm', SHELL: '/bin/sh', ...environment },
  })
  return new Promise<{ code: number | null; output: string }>((resolve) => {
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text
      if (type !== '' && question.test(output)) {
        child.stdin.write(type)
        type = ''
      }
    })
    child.once('close', (code) => resolve({ code, output }))
  })
}

t.test('on a terminal there is a progress bar, and nothing is deleted without a yes', async (t) => {
  const { server, at } = await sharedServer()
  const [image] = await someImages(1)
  const [file = ''] = await someFiles(t, [Buffer.concat([image as Buffer, Buffer.alloc(20 * 2 ** 20)])])
  const { code, output } = await onTerminal(['upload', file], at)
  t.equal(code, 0)
  t.match(output, /\[K\[[#.]{30}\] \d+ % {2}[\d.]+ of 20\.0 MiB\r/)
  t.notMatch(output, /Sent/)
  const [large = ''] = await someFiles(t, [Buffer.concat([image as Buffer, Buffer.alloc(40 * 2 ** 20)])])
  const { url: slow } = await proxyTo(t, server, 'halt')
  const stopped = await onTerminal(['upload', large], { ...at, STORY_IMAGES_SERVER: slow }, '\x03', / of 40\.0 MiB/)
  t.equal(stopped.code, 1)
  const rest = stopped.output.slice(stopped.output.lastIndexOf('\x1b[K') + 3)
  t.match(rest, /^(\^C)?Stopped by SIGINT\r\n$/, 'nothing of the bar is left')
  const { story_id: id } = await upload(server, [image as Buffer])
  const left = async () => (await get(server, STORY_IDS)).json<string[]>().length
  for (const [args, typed, exit, remain] of sample(
    [
      [['rm', id], 'n\r', 1, 2],
      [['rm', id], '\r', 1, 2],
      [['rm', id], '\x03', 1, 2],
      [['rm', id], 'y\r', 0, 1],
      [['rm', '--all'], 'y\r', 1, 1],
      [['rm', '--all'], 'delete all\r', 0, 0],
    ] as const,
    4,
  )) {
    const answer = await onTerminal(args, at, typed)
    t.equal(answer.code, exit, answer.output)
    t.match(answer.output, exit === 0 ? /Deleted/ : /Nothing was deleted/)
    t.equal(await left(), remain, `${args.join(' ')} ${JSON.stringify(typed)}`)
  }
})

t.test('standard input is one of the files, and is sent again like them', async (t) => {
  const { server } = await sharedServer()
  const images = await someImages(2)
  const [file = ''] = await someFiles(t, [images[0] as Buffer])
  const proxy = await proxyTo(t, server, 'lose')
  const temporary = t.testdir({})
  const environment = { STORY_IMAGES_SERVER: proxy.url, TMPDIR: temporary }
  const withInput = async (args: readonly string[], input: Buffer) => {
    const child = spawn(process.execPath, [CLI, 'upload', ...args], { env: { PATH: process.env.PATH, ...environment } })
    const output = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (text) => (output[name] += text))
    child.stdin.end(input)
    return { code: await new Promise((resolve) => child.once('close', resolve)), ...output }
  }
  const uploaded = await withInput([file, '-'], images[1] as Buffer)
  t.match(uploaded, { code: 0, stderr: /Sending 2 of 2: standard input\n/ })
  const urls = uploaded.stdout
    .trimEnd()
    .split(/\n {2}/)
    .slice(1)
  t.equal(urls.length, 2)
  for (const [index, url] of urls.entries())
    t.same(Buffer.from(await (await fetch(url)).arrayBuffer()), images[index], `image ${index + 1}`)
  t.match(await withInput(['-', '-'], images[0] as Buffer), { code: 2, stderr: /^Standard input, -, can be one of / })
  t.match(await withInput(['-'], Buffer.alloc(0)), { code: 1, stderr: /File 1 is empty/ })
  t.same(readdirSync(temporary), [], 'nothing is left')
})

t.test('serve is the server, and ends well', async (t) => {
  const store = await diskStore(t)
  const child = spawn(process.execPath, [CLI, 'serve'], {
    env: { PATH: process.env.PATH, PORT: '0', ...store.environment },
  })
  let output = ''
  child.stdout.on('data', (text) => {
    output += text
  })
  await until('it listens', () => output.includes('Server listening at'))
  child.kill('SIGTERM')
  t.equal(await new Promise((resolve) => child.once('close', resolve)), 0)
})

t.test('sweep and verify print JSON where it is asked for', async (t) => {
  const { store, server } = await aServer(t)
  const { story_id: id } = await upload(server, await someImages(2))
  const record = join(store.environment.DATA_DIR as string, 'stories', id, '2.png')
  await writeFile(record, 'something else')
  const [damaged, report] = lines((await runCommand('verify', ['--json'], store.environment)).stdout)
  t.match(damaged, { story_id: id, problems: [/2\.png/] })
  t.match(report, { stories: 1, damaged: 1, images: 2 })
  await store.place('stories/-deleting/all.01800000-0000-7000-8000-000000000000', Buffer.alloc(0))
  const swept = lines((await runCommand('sweep', ['--all', '--json'], store.environment)).stdout)
  t.match(swept.at(-1), { dry_run: false, left: 0, tombstones: 1 })
  t.match(swept[0], { removed: 'all', keys: [/-deleting/] })
  const document = await readFile(DOCUMENT, 'utf8')
  for (const last of [report, swept.at(-1)] as object[]) {
    const names = Object.keys(last).map((name) => `"${name}"`)
    t.ok(document.includes(`at the end \`{${names.join(', ')}}\``), `docs/cli.md has ${names}`)
  }
})

t.test('the example of docs/cli.md does what it says', async (t) => {
  const { server, at } = await sharedServer()
  const bin = t.testdir({ 'story-images': `#!/bin/sh\nexec "${process.execPath}" "${CLI}" "$@"\n` })
  await chmod(join(bin, 'story-images'), 0o755)
  const example = await examplesOf('docs/cli.md')
  const { code, stdout, stderr } = await run(
    'sh',
    ['-ec', example('story', { 'http://localhost:8000': at.STORY_IMAGES_SERVER })],
    { env: { PATH: `${bin}:${process.env.PATH}` } },
  )
  t.equal(code, 0, stderr)
  const id = /^Deleted (.*)$/m.exec(stdout)?.[1]
  t.match(stdout, `\n${id}  `)
  t.match(stdout, `${at.STORY_IMAGES_SERVER}/images/stories/${id}/2.png\n`)
  t.same((await get(server, STORY_IDS)).json(), [])
})

t.test('docs/cli.md has the help of each command, as the program prints it', async (t) => {
  const document = await readFile(DOCUMENT, 'utf8')
  const { stdout } = await runCommand('--help', [], {})
  const names = [...stdout.matchAll(/^ {2}(\w+) .*\b/gm)].map(([, name = '']) => name).filter((name) => name !== 'help')
  t.same(names, ['serve', 'sweep', 'verify', 'check', 'restore', 'upload', 'ls', 'rm'])
  t.ok(document.includes(`\`\`\`text\n${stdout}\`\`\`\n`), 'story-images --help')
  for (const name of sample(names, 2)) {
    const help = await runCommand(name, ['--help'], {})
    t.equal(help.code, 0)
    t.ok(document.includes(`\`\`\`text\n${help.stdout}\`\`\`\n`), `story-images ${name} --help`)
  }
})
