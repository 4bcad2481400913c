import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ALL, sample } from '../support/extent.ts'
import { PATIENCE } from '../support/patience.ts'
import { launchServer, startServer } from '../support/server-process.ts'
import { get, IMAGES, someImages, upload } from './client.ts'
import { runCommand } from './command.ts'
import { openers } from './stores.ts'

async function folderOf(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'story-images-start-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

t.test('a setting that can not be used stops the start with exit code 1 and a sentence that names it', async (t) => {
  const wrong: [Record<string, string>, RegExp][] = [
    [{ PORT: 'http' }, /^PORT must be a whole number from 0 to 65535, not "http"; for example PORT=8000\n$/],
    [{ PORT: '65536' }, /^PORT must be/],
    [{ MAX_FILE_SIZE: '50MB' }, /^MAX_FILE_SIZE must be a size from 1KiB to 40GiB, not "50MB"; for example/],
    [{ MAX_FILES: '0' }, /^MAX_FILES must be/],
    [{ UPLOAD_TIMEOUT: '1 day' }, /^UPLOAD_TIMEOUT must be a duration/],
    [{ S3_ENDPOINT: 'http://127.0.0.1:9000' }, /^S3_ENDPOINT is set, but S3_BUCKET is not/],
    [{ S3_BUCKET: 'express--use1-az4--x-s3' }, /^S3_BUCKET must be .*not a directory bucket/],
    [{ S3_BUCKET: 'images', S3_ENDPOINT: 'ftp://x' }, /^S3_ENDPOINT must be an http or https URL/],
    [{ S3_BUCKET: 'images', S3_PREFIX: 'images' }, /^S3_PREFIX must be/],
    [{ S3_BUCKET: 'images', S3_FORCE_PATH_STYLE: 'yes' }, /^S3_FORCE_PATH_STYLE must be true or false/],
    [{ LOG_LEVEL: 'loud' }, /^LOG_LEVEL must be one of fatal, error/],
    [{ CACHE_CONTROL: 'public\r\nX-Evil: 1' }, /^CACHE_CONTROL must be/],
    [{ DATA_DIR: '/proc/no-such-folder' }, /^story-images cannot start/],
  ]
  // Two at a time: a start is mostly the loading of modules
  const queue = [...sample(wrong, 3)]
  await Promise.all(
    [1, 2].map(async () => {
      for (let next = queue.shift(); next; next = queue.shift()) {
        const [environment, sentence] = next
        const { exit, output, signal } = launchServer({ PORT: '0', ...environment })
        const patience = setTimeout(() => signal('SIGKILL'), PATIENCE)
        t.same(await exit, { code: 1, signal: null }, JSON.stringify(environment))
        clearTimeout(patience)
        t.match(output.stderr, sentence)
        t.notMatch(output.stderr, /\n {4}at /, 'without a stack')
        t.equal(output.stdout, '')
      }
    }),
  )
})

t.test('a port that is taken stops the start with exit code 1', async (t) => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  t.teardown(() => taken.close())
  const { port } = taken.address() as { port: number }
  const { exit, output } = launchServer({ HOST: '127.0.0.1', PORT: String(port), DATA_DIR: await folderOf(t) })
  t.same(await exit, { code: 1, signal: null })
  t.match(output.stderr, /cannot start.*EADDRINUSE/)
})

t.test('a second server on a folder does not start, and names the first, beside which commands run', async (t) => {
  const environment = { DATA_DIR: await folderOf(t) }
  const first = await startServer(environment)
  t.teardown(() => first.kill())
  const { image_paths } = await upload(first, await someImages(1))
  const second = launchServer({ HOST: '127.0.0.1', PORT: '0', ...environment })
  t.same(await second.exit, { code: 1, signal: null })
  const facts = `process ${first.pid} on ${hostname()}, at ${first.url}, since 20`
  t.match(
    second.output.stderr,
    `story-images cannot start: another server uses DATA_DIR, ${environment.DATA_DIR} (${facts}`,
  )
  t.notMatch(second.output.stderr, /\n {4}at /, 'without a stack')
  t.match(await runCommand('sweep', ['--all'], environment), { code: 0 })
  t.match(await runCommand('verify', [], environment), { code: 0, stdout: /^1 stories, 0 damaged/ })
  t.equal((await get(first, image_paths[0] ?? '')).status, 200, 'the first one goes on')
  await first.kill()
  const next = await startServer(environment)
  t.equal((await get(next, image_paths[0] ?? '')).status, 200, 'after a crash the next one starts')
  t.same(await next.stop(), { code: 0, signal: null })
  const last = await startServer(environment)
  t.same(await last.stop(), { code: 0, signal: null })
})

t.test('settings come from .env too, and those of the environment win', async (t) => {
  const folder = await folderOf(t)
  await writeFile(
    join(folder, '.env'),
    '# a comment\nMAX_FILES=1\nCACHE_CONTROL="public, max-age=7"\nDATA_DIR=./pictures\n',
  )
  const server = await startServer({ MAX_FILES: '2' }, { cwd: folder })
  t.teardown(() => server.stop())
  const { story_id, image_paths } = await upload(server, await someImages(2))
  t.equal((await get(server, image_paths[0] ?? '')).headers['cache-control'], 'public, max-age=7')
  t.ok((await readFile(join(folder, 'pictures', 'stories', story_id, '1.jpg'))).length > 0)
})

for (const [name, open] of openers) {
  t.test(`from the start of the process to its first answer (${name})`, async (t) => {
    const store = await open(t)
    const starts: number[] = []
    for (let time = 1; time <= (ALL ? 3 : 1); time++) {
      const begin = performance.now()
      const server = await startServer(store.environment)
      t.equal((await get(server, IMAGES)).status, 200)
      starts.push(Math.round(performance.now() - begin))
      t.same(await server.stop(), { code: 0, signal: null })
    }
    t.comment(`ready and answered after ${starts.join(', ')} ms`)
  })
}
