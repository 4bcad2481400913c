import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import { type S3StandIn, startS3StandIn } from '../support/s3-stand-in.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'

/** A store of one test's own, and a way to look into it without the server. */
export interface TestStore {
  readonly name: string
  /** What the server needs to use it. */
  readonly environment: Readonly<Record<string, string>>
  /** Only of the stand-in. */
  readonly standIn?: S3StandIn
  /** Everything that is in there, in order: objects, and what unfinished writes left. */
  content(): Promise<string[]>
  /** Puts an object in, as somebody without this server would. */
  place(key: string, body: Buffer, contentType?: string): Promise<void>
  remove(): Promise<void>
}

export async function diskStore(): Promise<TestStore> {
  const folder = await mkdtemp(join(tmpdir(), 'story-images-disk-'))
  return {
    name: 'disk',
    environment: { DATA_DIR: folder },
    async content() {
      const entries = await readdir(folder, { recursive: true, withFileTypes: true })
      return entries
        .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1) + (entry.isDirectory() ? '/' : ''))
        .filter((path) => path !== '.tmp/' && path !== 'stories/')
        .sort()
    },
    async place(key, body) {
      await mkdir(dirname(join(folder, key)), { recursive: true })
      await writeFile(join(folder, key), body)
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

/** The server's settings for the stand-in. */
export function standInEnvironment(standIn: S3StandIn): Record<string, string> {
  return {
    S3_ENDPOINT: standIn.endpoint,
    S3_BUCKET: standIn.bucket,
    AWS_ACCESS_KEY_ID: 'stand-in',
    AWS_SECRET_ACCESS_KEY: 'stand-in-secret',
  }
}

export async function standInStore(): Promise<TestStore> {
  const standIn = await startS3StandIn()
  return {
    name: 'the stand-in',
    environment: standInEnvironment(standIn),
    standIn,
    content: async () => [
      ...[...standIn.objects.keys()].sort(),
      ...[...standIn.multipartUploads.values()].map(({ key }) => `unfinished ${key}`),
    ],
    place: async (key, body, contentType) =>
      standIn.place(key, body, contentType === undefined ? {} : { contentType }),
    remove: () => standIn.close(),
  }
}

interface Engine {
  readonly endpoint: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/** What test/engines/*.sh start. */
const ENGINES: Readonly<Record<string, Engine>> = {
  minio: {
    endpoint: process.env.MINIO_ENDPOINT ?? `http://127.0.0.1:${process.env.MINIO_PORT ?? 9100}`,
    accessKeyId: process.env.MINIO_ROOT_USER ?? 'engine-root',
    secretAccessKey: process.env.MINIO_ROOT_PASSWORD ?? 'engine-root-secret',
  },
  rgw: {
    endpoint: process.env.RGW_ENDPOINT ?? `http://127.0.0.1:${process.env.RGW_PORT ?? 7480}`,
    accessKeyId: process.env.RGW_ACCESS_KEY ?? 'engine-access',
    secretAccessKey: process.env.RGW_SECRET_KEY ?? 'engine-secret-key',
  },
}

export async function engineStore(name: string): Promise<TestStore> {
  const engine = ENGINES[name]
  if (!engine) throw new Error(`TEST_ENGINES names an engine that is not known: ${name}`)
  const { endpoint, ...credentials } = engine
  const s3 = new S3Client({ endpoint, credentials, region: 'us-east-1', forcePathStyle: true })
  const Bucket = `acceptance-${randomUUID()}`
  await s3.send(new CreateBucketCommand({ Bucket }))

  async function keys(): Promise<string[]> {
    const found: string[] = []
    let after: string | undefined
    for (;;) {
      const page = await s3.send(new ListObjectsV2Command({ Bucket, ...(after !== undefined && { StartAfter: after }) }))
      found.push(...(page.Contents ?? []).map(({ Key = '' }) => Key))
      if (!page.IsTruncated) return found
      after = found.at(-1)
    }
  }
  // MinIO lists the unfinished uploads of an exact key only, and removes them by itself
  const unfinished = async () => (await s3.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads ?? []

  return {
    name,
    environment: {
      S3_ENDPOINT: endpoint,
      S3_BUCKET: Bucket,
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    },
    content: async () => [...(await keys()), ...(await unfinished()).map(({ Key }) => `unfinished ${Key}`)],
    async place(key, body, contentType) {
      await s3.send(new PutObjectCommand({ Bucket, Key: key, Body: body, ContentType: contentType }))
    },
    async remove() {
      for (const Key of await keys()) await s3.send(new DeleteObjectCommand({ Bucket, Key }))
      for (const { Key, UploadId } of await unfinished()) {
        await s3.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }))
      }
      await s3.send(new DeleteBucketCommand({ Bucket }))
      s3.destroy()
    },
  }
}

/** The engines to test on, beside the disk and the stand-in: TEST_ENGINES="minio rgw". */
export const engines: readonly string[] = (process.env.TEST_ENGINES ?? '').split(/[\s,]+/).filter(Boolean)

const openers: readonly (readonly [string, () => Promise<TestStore>])[] = [
  ['disk', diskStore],
  ['the stand-in', standInStore],
  ...engines.map((name) => [name, () => engineStore(name)] as const),
]

/** Runs a test on every store: each time with a store and a server of its own, which has to end well. */
export function onEachStore(
  name: string,
  promise: (t: Test, server: ServerProcess, store: TestStore) => Promise<void>,
  environment: Readonly<Record<string, string>> = {},
): void {
  for (const [storeName, open] of openers) {
    t.test(`${name} (${storeName})`, async (t) => {
      const store = await open()
      const server = await serverOn(t, store, environment)
      await promise(t, server, store)
    })
  }
}

/** A server on a store; when the test is over the server has to end well, and the store is removed. */
export async function serverOn(
  t: Test,
  store: TestStore,
  environment: Readonly<Record<string, string>> = {},
): Promise<ServerProcess> {
  let server: ServerProcess | undefined
  t.teardown(async () => {
    const exit = await server?.stop()
    await store.remove()
    if (exit && exit.code !== 0 && exit.signal !== 'SIGKILL') {
      throw new Error(`The server ended with ${JSON.stringify(exit)}: ${server?.output.stderr}`)
    }
  })
  server = await startServer({ ...store.environment, ...environment })
  return server
}
