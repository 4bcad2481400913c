import type { Dirent } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Teardown } from '../support/app.ts'
import { type Engine, engines, makeBucket, serverKey } from '../support/engines.ts'
import { ALL } from '../support/extent.ts'
import type { Dialect } from '../support/s3-in-memory.ts'
import { type S3StandIn, startS3StandIn } from '../support/s3-stand-in.ts'

/** A store of one test's own, and a way to look into it without the server. */
export interface TestStore {
  readonly name: string
  /** What the server needs to use it. */
  readonly environment: Readonly<Record<string, string>>
  /** Only of the stand-in. */
  readonly standIn?: S3StandIn
  /** Everything that is in there, in order: objects, and what unfinished writes left. Not what is kept of deleted objects. */
  content(): Promise<string[]>
  /** Puts an object in, as somebody without this server would. */
  place(key: string, body: Buffer, contentType?: string): Promise<void>
}

export async function diskStore(t: Teardown): Promise<TestStore> {
  const folder = await mkdtemp(join(tmpdir(), 'story-images-disk-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return {
    name: 'disk',
    environment: { DATA_DIR: folder },
    async content() {
      const entries = await readAll(folder)
      return entries
        .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1) + (entry.isDirectory() ? '/' : ''))
        .filter((path) => !['.tmp/', '.lock', 'stories/', 'variants/'].includes(path) && !path.startsWith('.trash/'))
        .sort()
    },
    async place(key, body) {
      await mkdir(dirname(join(folder, key)), { recursive: true })
      await writeFile(join(folder, key), body)
    },
  }
}

/** Everything below a folder in which somebody is at work: one that goes away meanwhile is no error. */
async function readAll(folder: string): Promise<Dirent[]> {
  for (;;) {
    try {
      return await readdir(folder, { recursive: true, withFileTypes: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
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

export async function standInStore(
  t: Teardown,
  options?: Parameters<typeof startS3StandIn>[0],
): Promise<TestStore & { readonly standIn: S3StandIn }> {
  const standIn = await startS3StandIn(options)
  t.teardown(() => standIn.close())
  return {
    name: 'the stand-in',
    environment: standInEnvironment(standIn),
    standIn,
    content: async () => [
      ...[...standIn.objects.keys()].sort(),
      ...[...standIn.multipartUploads.values()].map(({ key }) => `unfinished ${key}`),
    ],
    place: async (key, body, contentType) => standIn.place(key, body, contentType === undefined ? {} : { contentType }),
  }
}

export async function engineStore(t: Teardown, engine: Engine): Promise<TestStore> {
  const sdk = await import('@aws-sdk/client-s3')
  const { Bucket, client } = await makeBucket(t, engine)
  const key = await serverKey(engine, Bucket)

  async function keys(): Promise<string[]> {
    const found: string[] = []
    for (let after: string | undefined; ; after = found.at(-1)) {
      const page = await client.send(new sdk.ListObjectsV2Command({ Bucket, StartAfter: after }))
      found.push(...(page.Contents ?? []).map(({ Key = '' }) => Key))
      if (!page.IsTruncated) return found
    }
  }

  return {
    name: engine.name,
    environment: {
      ...(engine.isAws
        ? { AWS_ENDPOINT_URL_S3: engine.endpoint, AWS_REGION: 'us-east-1' }
        : { S3_ENDPOINT: engine.endpoint }),
      S3_BUCKET: Bucket,
      AWS_ACCESS_KEY_ID: key.id,
      AWS_SECRET_ACCESS_KEY: key.secret,
    },
    async content() {
      // MinIO lists the unfinished uploads of an exact key only, so there this shows none
      const { Uploads = [] } = await client.send(new sdk.ListMultipartUploadsCommand({ Bucket }))
      return [...(await keys()), ...Uploads.map(({ Key }) => `unfinished ${Key}`)]
    },
    async place(key, body, contentType) {
      await client.send(new sdk.PutObjectCommand({ Bucket, Key: key, Body: body, ContentType: contentType }))
    },
  }
}

const [engine] = engines

type Opener = readonly [string, (t: Teardown) => Promise<TestStore>]

/** What the stand-in does otherwise than AWS, as JSON. */
const dialect: Dialect = JSON.parse(process.env.TEST_DIALECT ?? '{}')

const bucket: Opener = engine
  ? [engine.name, (t) => engineStore(t, engine)]
  : ['the stand-in', (t) => standInStore(t, { dialect })]

/** The disk, and the first engine of TEST_ENGINES, or without one the stand-in. */
export const allOpeners: readonly Opener[] = [['disk', diskStore], bucket]

/** Those on which the built server is tried; with `npm test` the disk alone, and the bucket alone for a bucket of a kind. */
export const openers = process.env.TEST_BUCKET_ONLY ? [bucket] : ALL ? allOpeners : allOpeners.slice(0, 1)
