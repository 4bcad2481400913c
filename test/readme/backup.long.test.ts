import { randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { HeadObjectCommand } from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import { buildApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { LAYOUT } from '../../src/layout/layout.ts'
import { openStore } from '../../src/store/open-store.ts'
import { filePart, multipart, type Teardown } from '../support/app.ts'
import { engines, makeBucket } from '../support/engines.ts'
import { examplesOf, isInstalled, ROOT } from '../support/examples.ts'
import { openShell } from './shell.ts'

/** The commands of docs/backup.md: copies of a store whose server takes uploads and deletions meanwhile, and what is in them. */
const example = await examplesOf('docs/backup.md')
const images = await Promise.all(['image1.jpg', 'image2.png'].map((name) => readFile(join(ROOT, 'docs/images', name))))
const without = (program: string) => !isInstalled(program) && `there is no ${program}`

/** A server in this process. */
async function serve(t: Teardown, environment: Record<string, string>) {
  const config = readConfig({ LOG_LEVEL: 'silent', MAX_EVENT_LOOP_DELAY: '1m', ...environment })
  const store = await openStore(config, LAYOUT)
  const app = await buildApp(config, store)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    await app.close()
    await store.close()
  })
  const upload = async (headers = {}): Promise<string> => {
    const answer = await fetch(`${url}/api/v1/images/upload`, {
      method: 'POST',
      headers: { 'content-type': 'multipart/form-data; boundary=XX', ...headers },
      body: Uint8Array.from(multipart(images.map((image) => filePart(image)))),
    })
    if (!answer.ok) throw new Error(await answer.text())
    return ((await answer.json()) as { story_id: string }).story_id
  }
  const remove = async (id: string) => {
    const { ok, status } = await fetch(`${url}/api/v1/images/${id}`, { method: 'DELETE' })
    if (!ok) throw new Error(`${status}`)
  }
  return { url, upload, remove }
}
type Server = Awaited<ReturnType<typeof serve>>

/** Uploads stories, and deletes every third of them, until the work is done. */
async function whileBusy<T>({ upload, remove }: Server, work: Promise<T>): Promise<T> {
  let done = false
  const finished = work.finally(() => {
    done = true
  })
  for (let n = 0; !done; n++) {
    const id = await upload()
    if (n % 3 === 0) await remove(id)
    await sleep(200)
  }
  return finished
}

/** A server on the copy has these stories, each as it was sent. */
async function checkCopy(t: Test, environment: Record<string, string>, ids: string[], width: string | null) {
  const { url } = await serve(t, environment)
  for (const id of ids) {
    const story = (await (await fetch(`${url}/api/v1/images/${id}`)).json()) as { path: string }[]
    for (const [index, sent] of images.entries()) {
      const image = await fetch(`${url}${story[index]?.path}`)
      t.ok(Buffer.from(await image.arrayBuffer()).equals(sent), `image ${index + 1} of ${id}`)
      if (index === 0) t.equal(image.headers.get('x-image-width'), width)
    }
  }
}

for (const engine of engines.filter(({ name }) => name === 'MinIO')) {
  process.env.AWS_ACCESS_KEY_ID = engine.accessKeyId
  process.env.AWS_SECRET_ACCESS_KEY = engine.secretAccessKey
  const onS3 = (bucket: string, prefix = '') => ({
    S3_ENDPOINT: engine.endpoint,
    S3_BUCKET: bucket,
    S3_PREFIX: prefix,
  })
  const alias = (name: string) =>
    `mc alias set ${name} '${engine.endpoint}' '${engine.accessKeyId}' '${engine.secretAccessKey}' >&2\n`
  const remote = (name: string) => {
    const settings = { TYPE: 's3', PROVIDER: 'Minio', ENV_AUTH: 'true', ENDPOINT: engine.endpoint }
    return Object.fromEntries(Object.entries(settings).map(([key, value]) => [`RCLONE_CONFIG_${name}_${key}`, value]))
  }

  t.test('copies of a bucket that is in use', { skip: without('aws') || without('rclone') }, async (t) => {
    const { Bucket: from, client } = await makeBucket(t, engine)
    const server = await serve(t, onS3(from))
    const key = { 'idempotency-key': randomUUID() }
    const ids = [await server.upload(), await server.upload(key)]
    const shell = openShell(t, engine.endpoint, engine)

    const copy = async (tool: 'aws' | 'mc' | 'rclone', before = '', env = {}) => {
      const { Bucket: to } = await makeBucket(t, engine)
      const names = { 'my-stories': from, 'my-backup': to }
      return { tool, to, names, copied: await shell.run(`set +e\n${before}${example(tool, names)}`, env) }
    }
    const copies = await whileBusy(
      server,
      Promise.all([
        copy('aws'),
        copy('mc', alias('my') + alias('backup')),
        copy('rclone', '', { ...remote('MY'), ...remote('BACKUP') }),
      ]),
    )
    for (const { tool, to, copied } of copies) {
      // What is deleted between being listed and being read makes a copy complain, and does no harm
      t.ok(copied.code === 0 || /NoSuchKey|404|not found|does not exist/i.test(copied.stderr), copied.stderr)
      await checkCopy(t, onS3(to), ids, '320')
      const verified = await shell.run(example('verify', { 'my-backup': to }), onS3(to))
      t.match(verified, { code: 0, stdout: /, 0 damaged/ }, `the copy by ${tool} is whole`)
      const head = new HeadObjectCommand({ Bucket: to, Key: `stories/${ids[0]}/1.jpg` })
      const described = {
        CacheControl: 'public, max-age=86400, immutable',
        Metadata: { 'written-by': 'story-images', 'cache-tag': ids[0] },
      }
      t.match(await client.send(head), described, `the copy by ${tool} has what a CDN needs`)
    }

    const [{ to, names }] = copies
    t.equal(await (await serve(t, onS3(to))).upload(key), ids[1], 'the copy knows the idempotency keys')
    await server.remove(ids[0] ?? '')
    t.match(await shell.run(example('one-story', names), { STORY: ids[0] ?? '' }), { code: 0, stderr: '' })
    await checkCopy(t, onS3(from), ids, '320')
  })

  t.test('from disk to a bucket, to another prefix, and back to disk', { skip: without('aws') }, async (t) => {
    const { Bucket } = await makeBucket(t, engine)
    const shell = openShell(t, engine.endpoint, engine)
    const server = await serve(t, { DATA_DIR: join(shell.folder, 'data') })
    const ids = [await server.upload(), await server.upload({ 'idempotency-key': randomUUID() })]

    const names = { 'my-stories': Bucket }
    t.match(await shell.run(example('disk-to-bucket', names)), { code: 0, stderr: '' })
    // The sizes come from the records
    await checkCopy(t, onS3(Bucket), ids, '320')

    const moved = await shell.run(example('prefix', names), { S3_ENDPOINT: engine.endpoint })
    t.match(moved, { code: 0, stdout: /2 stories, 0 damaged/ })
    await checkCopy(t, onS3(Bucket, 'images/'), ids, '320')

    const back = await shell.run(example('bucket-to-disk', { 'my-stories data': `${Bucket}/images again` }))
    t.match(back, { code: 0, stderr: '' })
    // The document says that pixel sizes are lost
    await checkCopy(t, { DATA_DIR: join(shell.folder, 'again') }, ids, null)
  })
}

t.test('copies of the disk store', async (t) => {
  const shell = openShell(t, 'http://127.0.0.1:1', { accessKeyId: 'none', secretAccessKey: 'none' })
  const server = await serve(t, { DATA_DIR: join(shell.folder, 'data') })
  const ids = [await server.upload(), await server.upload({ 'idempotency-key': randomUUID() })]

  await t.test('rsync, while the server is in use', { skip: without('rsync') }, async (t) => {
    const copied = await whileBusy(server, shell.run(`set +e\n${example('rsync')}`))
    // 24: files vanished
    t.ok([0, 24].includes(Number(copied.code)), copied.stderr)
    const backup = { DATA_DIR: join(shell.folder, 'backup') }
    await checkCopy(t, backup, ids, '320')
    t.match(await shell.run('npm run verify', backup), { code: 0, stdout: /, 0 damaged/ })
  })

  await t.test('tar', async (t) => {
    t.match(await shell.run(example('tar')), { code: 0, stderr: '' })
    t.match(await shell.run('mkdir restored; tar -xzf stories.tar.gz -C restored'), { code: 0 })
    t.notOk((await readdir(join(shell.folder, 'restored'))).includes('.tmp'))
    await checkCopy(t, { DATA_DIR: join(shell.folder, 'restored') }, ids, '320')
  })
})
