import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { eventually } from '../support/app.ts'
import { type Engine, engines, makeBucket } from '../support/engines.ts'
import { blocksOf, examplesOf, isInstalled, ROOT, run } from '../support/examples.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'
import { freePort, openShell } from './shell.ts'

/** The receiver and the commands of docs/notifications.md, with real engines that send real events. */
const example = await examplesOf('docs/notifications.md')
const noAws = !isInstalled('aws') && 'there is no aws (apt-get install awscli)'

/** A MinIO of its own, since a webhook is set when it starts. */
async function startMinio(t: Test, webhook: string): Promise<Engine> {
  const folder = await mkdtemp(join(tmpdir(), 'story-images-events-'))
  const port = await freePort()
  const env = {
    ...process.env,
    MINIO_PORT: String(port),
    MINIO_DIR: join(folder, 'minio'),
    MINIO_NOTIFY_WEBHOOK_ENABLE_STORIES: 'on',
    MINIO_NOTIFY_WEBHOOK_ENDPOINT_STORIES: webhook,
    MINIO_NOTIFY_WEBHOOK_QUEUE_DIR_STORIES: join(folder, 'events'),
  }
  const up = await run('test/engines/minio.sh', ['up'], { env })
  t.equal(up.code, 0, up.stderr)
  t.teardown(async () => {
    await run('test/engines/minio.sh', ['down'], { env })
    await rm(folder, { recursive: true })
  })
  const key = { accessKeyId: 'engine-root', secretAccessKey: 'engine-root-secret' }
  return { name: 'MinIO', endpoint: `http://127.0.0.1:${port}`, ...key }
}

/** The receiver of the document, and what it prints. */
async function startReceiver(t: Test, port: number, server: ServerProcess): Promise<() => string> {
  const folder = await mkdtemp(join(tmpdir(), 'story-images-receiver-'))
  const code = example('receiver', { 'http://localhost:8000': server.url, '9300': String(port) })
  await writeFile(join(folder, 'receiver.mjs'), code)
  const child = spawn(process.execPath, [join(folder, 'receiver.mjs')], { stdio: ['ignore', 'pipe', 'ignore'] })
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill()
    await exited
    await rm(folder, { recursive: true })
  })
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text
  })
  return () => printed
}

async function startServerOn(t: Test, engine: Engine, bucket: string): Promise<ServerProcess> {
  const server = await startServer({
    S3_BUCKET: bucket,
    S3_ENDPOINT: engine.endpoint,
    AWS_ACCESS_KEY_ID: engine.accessKeyId,
    AWS_SECRET_ACCESS_KEY: engine.secretAccessKey,
  })
  t.teardown(() => server.stop())
  return server
}

async function upload({ url }: ServerProcess, headers = {}): Promise<string> {
  const form = new FormData()
  for (const name of ['image1.jpg', 'image2.png']) {
    form.append('files', new Blob([await readFile(join(ROOT, 'docs/images', name))]), name)
  }
  const answer = await fetch(`${url}/api/v1/images/upload`, { method: 'POST', headers, body: form })
  return ((await answer.json()) as { story_id: string }).story_id
}

/** Each story, with a key or without, and each deletion is one line; images and idempotency records are none. */
async function checkEvents(t: Test, server: ServerProcess, printed: () => string, hasRemovals = true): Promise<void> {
  const stories = [await upload(server), await upload(server, { 'idempotency-key': randomUUID() })]
  for (const id of stories) {
    t.ok(await eventually(() => printed().includes(`${id} is there with 2 images\n`)), `${id} is announced`)
  }
  for (const id of stories) {
    const { status } = await fetch(`${server.url}/api/v1/images/${id}`, { method: 'DELETE' })
    t.equal(status, 200, `${id} is deleted`)
  }
  for (const id of hasRemovals ? stories : []) {
    t.ok(await eventually(() => printed().includes(`${id} is gone\n`)), `${id} is taken back`)
  }
  t.equal(printed().split('\n').length - 1, hasRemovals ? 4 : 2, 'nothing else is an event')
}

for (const { name } of engines) {
  if (name === 'MinIO') {
    t.test('MinIO tells a webhook of new and of deleted stories', async (t) => {
      const port = await freePort()
      const minio = await startMinio(t, `http://127.0.0.1:${port}/`)
      const shell = openShell(t, minio.endpoint, minio)
      const bucket = 'events'
      const alias = `mc alias set my ${minio.endpoint} ${minio.accessKeyId} ${minio.secretAccessKey}`
      t.match(await shell.run(`${alias}; mc mb my/${bucket}`), { code: 0 })
      const server = await startServerOn(t, minio, bucket)
      const printed = await startReceiver(t, port, server)

      await t.test('subscribed by mc', async (t) => {
        const added = await shell.run(example('minio', { 'my-stories': bucket }))
        t.equal(added.code, 0, added.stderr)
        t.match(added.stdout, /prefix="stories\/"\s*suffix="\.json"/)
        await checkEvents(t, server, printed)
      })

      await t.test('subscribed by the AWS command line', { skip: noAws }, async (t) => {
        t.match(await shell.run(`mc event remove --force my/${bucket}; mc event ls my/${bucket}`), { code: 0 })
        const arn = { 'arn:aws:sqs:eu-central-1:111122223333:stories': 'arn:minio:sqs::STORIES:webhook' }
        t.match(await shell.run(example('aws', { 'my-stories': bucket, ...arn })), { code: 0, stderr: '' })
        const before = printed().length
        await checkEvents(t, server, () => printed().slice(before))
      })
    })
  } else {
    t.test('Ceph RGW tells a topic of new and of deleted stories', { skip: noAws }, async (t) => {
      const rgw = engines.find((engine) => engine.name === name) as Engine
      const { Bucket } = await makeBucket(t, rgw)
      const server = await startServerOn(t, rgw, Bucket)
      const port = await freePort()
      const printed = await startReceiver(t, port, server)
      const shell = openShell(t, rgw.endpoint, rgw)
      const topic = `stories-${randomUUID()}`
      const changes = {
        'http://127.0.0.1:7480': rgw.endpoint,
        'http://127.0.0.1:9300/': `http://127.0.0.1:${port}/`,
        'my-stories': Bucket,
        '--name stories': `--name ${topic}`,
        ':default::stories': `:default::${topic}`,
      }
      const made = await shell.run(example('rgw', changes))
      t.equal(made.code, 0, made.stderr)
      await checkEvents(t, server, printed, false)
      await shell.run(`aws sns delete-topic --topic-arn arn:aws:sns:default::${topic}`)
    })
  }
}
t.test('the receiver understands the event that the document shows', async (t) => {
  const server = await startServer({ DATA_DIR: t.testdir() })
  t.teardown(() => server.stop())
  const port = await freePort()
  const printed = await startReceiver(t, port, server)
  const document = await readFile(join(ROOT, 'docs/notifications.md'), 'utf8')
  const event = blocksOf(document).find(({ code }) => code.includes('"Records"'))?.code ?? ''
  const send = (body: string) =>
    fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body }).then(
      ({ status }) => status,
      () => undefined,
    )
  t.ok(await eventually(async () => (await send('')) === 200), 'it listens')
  t.equal(await send(event), 200)
  t.ok(await eventually(() => printed() !== ''))
  t.equal(printed(), '01a205ad-87f4-77cd-a8d8-f60e2cbf53b1 is gone\n')
  await server.stop()
  t.equal(await send(event), 500, 'an event that could not be handled is sent again')
})
