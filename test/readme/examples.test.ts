import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { examplesOf, type Result, ROOT, run } from '../support/examples.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'

const README_PORT = 8000
const UUID_V7 = '[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'
const IMAGE_URL = /^(http:\/\/localhost:\d+\/images\/stories\/\S+) (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)$/

const example = await examplesOf('README.md')

/** Whether nobody listens there on either address of `localhost`. */
async function isFree(port: number): Promise<boolean> {
  for (const host of ['127.0.0.1', '::1']) {
    const server = createServer()
    const free = await new Promise((resolve) => {
      server.once('listening', () => resolve(true))
      // A machine without IPv6 has no such address to be taken
      server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'EADDRINUSE'))
      server.listen(port, host)
    })
    if (server.listening) await once(server.close(), 'close')
    if (!free) return false
  }
  return true
}

/** The server of the quick start, with an empty folder. */
async function quickStart(): Promise<ServerProcess> {
  const start = (port: number) => startServer({ HOST: 'localhost', PORT: String(port), DATA_DIR: t.testdir() })
  if (!(await isFree(README_PORT))) return start(0)
  // Another process can take the port in between
  return start(README_PORT).catch(() => start(0))
}

// All that is awaited here comes ahead of the first test: tap ends when no test is left
const python = await run('python3', ['--version'])
const skip = python.code === 'ENOENT' && !process.env.CI && 'there is no python3; with CI set this is a failure'
const server = await quickStart()
t.teardown(() => server.stop())

/** An example as written, but for the port when that one is taken. */
const written = (name: string) => example(name, { [`:${README_PORT}`]: `:${server.port}` })

/** What the Python and the fetch example print: a story of two images, each of which can be fetched. */
async function checkPrinted(t: Test, { code, stdout, stderr }: Result): Promise<void> {
  t.equal(code, 0, stderr)
  const [story = '', ...images] = stdout.trimEnd().split('\n')
  t.match(story, new RegExp(`^${UUID_V7} 2$`))
  t.equal(images.length, 2)
  const files = ['image1.jpg', 'image2.png']
  for (const [index, line] of images.entries()) {
    const url = IMAGE_URL.exec(line)?.[1]
    t.ok(url, line)
    const image = await fetch(url ?? '')
    t.equal(image.status, 200)
    const sent = await readFile(join(ROOT, 'docs/images', files[index] ?? ''))
    t.ok(Buffer.from(await image.arrayBuffer()).equals(sent), `${files[index]} comes back as it was sent`)
  }
}

t.test('the commands that start and test the server are scripts of package.json', async (t) => {
  t.equal(example('start'), 'npm ci && npm start\n')
  t.equal(example('test'), 'npm ci && npm test\n')
  const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
  t.equal(scripts.start, 'node --no-memory-reducer --liftoff-only dist/server.js')
  t.ok(scripts.test)
})

t.test('the curl example uploads a story and lists it', async (t) => {
  const { code, stdout, stderr } = await run('sh', ['-ec', written('curl')])
  t.equal(code, 0, stderr)
  const [, uploaded = '', list = ''] = /^(\{.*?\})(\[.*\])$/s.exec(stdout.trim()) ?? []
  const story = JSON.parse(uploaded)
  const listed: { story_id: string; path: string }[] = JSON.parse(list)
  t.match(story.story_id, new RegExp(`^${UUID_V7}$`))
  t.equal(story.image_count, 2)
  t.same(
    listed.filter((image) => image.story_id === story.story_id).map((image) => image.path),
    story.image_paths,
  )
})

t.test('the Python example uploads a story and lists its images', { skip }, async (t) => {
  t.equal(python.code, 0, 'python3 can be run')
  const environment: Record<string, string> = {}
  if ((await run('python3', ['-c', 'import requests'])).code !== 0) {
    const packages = t.testdir()
    const install = ['-m', 'pip', 'install', '--quiet', '--target', packages, 'requests']
    // With the settings of pip and of proxies
    const pip = await run('python3', install, { env: process.env })
    t.equal(pip.code, 0, pip.stderr)
    environment.PYTHONPATH = packages
  }
  await checkPrinted(t, await run('python3', ['-c', written('python')], { env: environment }))
})

t.test('the fetch example uploads a story and lists its images', async (t) => {
  const folder = t.testdir({ 'upload.mjs': written('fetch') })
  await checkPrinted(t, await run(process.execPath, [join(folder, 'upload.mjs')]))
})
