import { copyFile, mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { engines, makeBucket } from '../support/engines.ts'
import { examplesOf, isInstalled, ROOT, run } from '../support/examples.ts'
import { startServer } from '../support/server-process.ts'
import { openShell, type Shell, startRecorder } from './shell.ts'

/** The examples of docs/api.md, docs/migration.md, docs/performance.md, docs/observability.md, docs/deployment.md, docs/upgrade.md, docs/benchmarks.md. */
const api = await examplesOf('docs/api.md')
const migration = await examplesOf('docs/migration.md')
const NO_STORE = { accessKeyId: 'none', secretAccessKey: 'none' }

async function withServer(t: Test): Promise<{ shell: Shell; url: string }> {
  const shell = openShell(t, 'http://127.0.0.1:1', NO_STORE)
  const server = await startServer({ DATA_DIR: join(shell.folder, 'data') })
  t.teardown(() => server.stop())
  return { shell, url: server.url }
}

t.test("'docs/api.md': uploads, an upload that is sent again, and pages", async (t) => {
  const { shell, url } = await withServer(t)
  const here = { 'http://localhost:8000': url }
  const story = JSON.parse((await shell.run(api('upload', here))).stdout)
  t.equal(story.image_count, 2)
  const first = await shell.run(api('idempotency', here))
  const again = await shell.run(api('idempotency', here))
  t.equal(JSON.parse(first.stdout).image_count, 1)
  t.equal(again.stdout, first.stdout, 'one story')

  await t.test('in Python', { skip: !isInstalled('python3') && 'there is no python3' }, async (t) => {
    const folder = join(shell.folder, 'packages')
    const known = await run('python3', ['-c', 'import requests'])
    if (known.code !== 0) {
      const pip = ['-m', 'pip', 'install', '--quiet', '--target', folder, 'requests']
      t.match(await run('python3', pip, { env: process.env }), { code: 0 })
    }
    const code = api('pages', { ...here, 'limit=100': 'limit=1' })
    const printed = await run('python3', ['-c', code], { env: { PYTHONPATH: folder } })
    t.equal(printed.code, 0, printed.stderr)
    t.same(printed.stdout.trim().split('\n'), [...story.image_paths, ...JSON.parse(first.stdout).image_paths])
  })
})

for (const engine of engines.filter(({ name }) => name === 'MinIO')) {
  t.test("'docs/migration.md': imported stories are there as soon as they are copied", async (t) => {
    const { Bucket: from } = await makeBucket(t, engine)
    const { Bucket: to } = await makeBucket(t, engine)
    const shell = openShell(t, engine.endpoint, engine)
    const [imported, own] = ['2acfa514-2915-4a9d-8a3a-338d52bd0d9e', '01a205ad-87f4-77cd-a8d8-f60e2cbf53b3']
    const names = { 'my-stories': to }
    for (const key of [`${imported}/1.jpg`, `${imported}/cover.jpg`, `${own}/1.jpg`, `${own}/2.jpg`]) {
      const file = join(shell.folder, 'old', key)
      await mkdir(dirname(file), { recursive: true })
      await copyFile(join(ROOT, 'docs/images/image1.jpg'), file)
    }
    t.match(await shell.run(`aws s3 sync --only-show-errors old s3://${from}/stories`), { code: 0, stderr: '' })
    const copied = await shell.run(migration('copy', { ...names, 'old-bucket': from }))
    t.equal(copied.code, 0, copied.stderr)

    const { url } = await shell.start(migration('start', names), { S3_ENDPOINT: engine.endpoint })
    const count = async () => JSON.parse((await shell.run(migration('count', { 'http://localhost:8000': url }))).stdout)
    t.same(await count(), [imported], 'a UUIDv7 without a record is not shown')
    t.match(await shell.run(migration('record', names)), { code: 0, stderr: '' })
    t.same(await count(), [own, imported])
    const images = await (await fetch(`${url}/api/v1/images/${own}`)).json()
    t.match(images, [{ id: '1', created_at: '2026-11-22T23:53:08Z' }, { id: '2' }])
  })
}

t.test("'docs/performance.md': the profiler writes a file", async (t) => {
  const shell = openShell(t, 'http://127.0.0.1:1', NO_STORE)
  const profile = (await examplesOf('docs/performance.md'))('profile')
  const server = await shell.start(profile, { DATA_DIR: 'data' })
  t.equal((await fetch(`${server.url}/livez`)).status, 200)
  await server.stop()
  t.ok((await readdir(shell.folder)).some((name) => name.endsWith('.cpuprofile')))
})

t.test("'docs/upgrade.md': older folders of the disk store become as private as new ones", async (t) => {
  const shell = openShell(t, 'http://127.0.0.1:1', NO_STORE)
  const inner = join(shell.folder, 'data', 'stories', 'a')
  await mkdir(inner, { recursive: true, mode: 0o755 })
  t.match(await shell.run((await examplesOf('docs/upgrade.md'))('folders')), { code: 0, stderr: '' })
  for (const folder of [inner, dirname(inner), join(shell.folder, 'data')])
    t.equal((await stat(folder)).mode & 0o777, 0o750)
})

t.test("'docs/observability.md': requests are traced to the collector", async (t) => {
  const collector = await startRecorder(t, '{}')
  const shell = openShell(t, 'http://127.0.0.1:1', NO_STORE)
  const traces = (await examplesOf('docs/observability.md'))('traces', { 'http://localhost:4318': collector.url })
  const server = await shell.start(traces, { DATA_DIR: 'data' })
  t.equal((await fetch(`${server.url}/api/v1/images`)).status, 200)
  await server.stop()
  t.ok(collector.requests.some(({ method, path }) => method === 'POST' && path === '/v1/traces'))
})

t.test('commands that would build or measure for minutes name what there is', async (t) => {
  const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
  t.match((await examplesOf('docs/benchmarks.md'))('bench'), /^(npm run bench( -- [\w -]+?)? +#.*\n)+$/)
  t.ok(scripts.bench)
  t.equal((await examplesOf('docs/upgrade.md'))('one-server'), 'git pull\nnpm ci\nnpm start\n')

  // test/engines/check-deployment.sh has the rest
  const deployment = await examplesOf('docs/deployment.md')
  t.equal(deployment('compose'), 'docker compose up --build\n')
  t.ok(parse(await readFile(join(ROOT, 'docker-compose.yml'), 'utf8'), { merge: true }).services.server.build)
  const [, build, start] = /^docker build -t (\S+) \.\ndocker run .* (\S+)\n$/.exec(deployment('docker')) ?? []
  t.equal(start, build, 'what was built is started')
  t.match(await readFile(join(ROOT, 'Dockerfile'), 'utf8'), /DATA_DIR=\/data/)
  t.match(deployment('docker'), /-v \S+:\/data .*$/m)
})
