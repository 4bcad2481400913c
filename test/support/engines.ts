import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import type { LifecycleRule, S3Client } from '@aws-sdk/client-s3'
import type { Teardown } from './app.ts'

export interface Engine {
  readonly name: string
  /** Whether the server reaches it as it does AWS: by the SDK's variables, without S3_ENDPOINT. */
  readonly isAws?: true
  /** Of the buckets that tests make. */
  readonly versioning?: 'Enabled' | 'Suspended'
  readonly endpoint: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

const env = process.env
const run = promisify(execFile)

const minio: Engine = {
  name: 'MinIO',
  endpoint: env.MINIO_ENDPOINT ?? `http://127.0.0.1:${env.MINIO_PORT ?? 9100}`,
  accessKeyId: env.MINIO_ROOT_USER ?? 'engine-root',
  secretAccessKey: env.MINIO_ROOT_PASSWORD ?? 'engine-root-secret',
}

/** As the scripts in test/engines start them; the same variables move both. */
const KNOWN: Readonly<Record<string, Engine>> = {
  minio,
  'minio-versioned': { ...minio, name: 'MinIO with versioning', versioning: 'Enabled' },
  'minio-suspended': { ...minio, name: 'MinIO with versioning suspended', versioning: 'Suspended' },
  moto: {
    name: 'Moto',
    isAws: true,
    endpoint: env.MOTO_ENDPOINT ?? `http://127.0.0.1:${env.MOTO_PORT ?? 9190}`,
    accessKeyId: 'moto-access',
    secretAccessKey: 'moto-secret-key',
  },
  rgw: {
    name: 'Ceph RGW',
    endpoint: env.RGW_ENDPOINT ?? `http://127.0.0.1:${env.RGW_PORT ?? 7480}`,
    accessKeyId: env.RGW_ACCESS_KEY ?? 'engine-access',
    secretAccessKey: env.RGW_SECRET_KEY ?? 'engine-secret-key',
  },
}

/**
 * The real engines that `TEST_ENGINES` names, say "minio rgw"; none by default, since they have to be started first. One that is
 * named but out of reach makes its tests fail.
 */
export const engines: readonly Engine[] = (env.TEST_ENGINES ?? '')
  .split(/[\s,]+/)
  .filter((name) => name !== '')
  .map((name) => {
    const engine = KNOWN[name]
    if (!engine) throw new Error(`TEST_ENGINES names "${name}"; known are ${Object.keys(KNOWN).join(' and ')}`)
    return engine
  })

/**
 * The key that the server gets in production. For MinIO that is the one which minio/init.sh makes, and which may do there only what
 * the server needs; so each test of the server is a test of that script and its policy too.
 */
export async function serverKey(engine: Engine, bucket: string): Promise<{ id: string; secret: string }> {
  if (!engine.name.startsWith('MinIO')) return { id: engine.accessKeyId, secret: engine.secretAccessKey }
  const { stdout: goPath } = await run('go', ['env', 'GOPATH'])
  const key = { id: bucket.slice(0, 20), secret: randomUUID() }
  await run('sh', ['minio/init.sh'], {
    env: {
      ...env,
      PATH: `${goPath.trim()}/bin:${env.PATH}`,
      MINIO_ENDPOINT: engine.endpoint,
      MINIO_ROOT_USER: engine.accessKeyId,
      MINIO_ROOT_PASSWORD: engine.secretAccessKey,
      S3_BUCKET: bucket,
      STORY_IMAGES_ACCESS_KEY: key.id,
      STORY_IMAGES_SECRET_KEY: key.secret,
    },
  })
  return key
}

type Access = Pick<Engine, 'endpoint'> & Partial<Pick<Engine, 'accessKeyId' | 'secretAccessKey'>>

/** Loads the SDK, since most tests have no engine, and opens a client. The stand-in takes any credentials. */
async function openClient({ endpoint, accessKeyId = 'any', secretAccessKey = 'any' }: Access) {
  const sdk = await import('@aws-sdk/client-s3')
  const credentials = { accessKeyId, secretAccessKey }
  return { sdk, client: new sdk.S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials }) }
}

/** Sets the lifecycle rules of a bucket. */
export async function setLifecycle(access: Access, Bucket: string, Rules: LifecycleRule[]): Promise<void> {
  const { sdk, client } = await openClient(access)
  try {
    await client.send(new sdk.PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration: { Rules } }))
  } finally {
    client.destroy()
  }
}

/** Makes a bucket that goes away with the test, whatever is in it then. */
export async function makeBucket(t: Teardown, engine: Engine): Promise<{ Bucket: string; client: S3Client }> {
  const { sdk, client } = await openClient(engine)
  const Bucket = `test-${randomUUID()}`
  await client.send(new sdk.CreateBucketCommand({ Bucket }))
  // Only a bucket that had versioning can have it suspended
  for (const Status of engine.versioning === 'Suspended' ? (['Enabled', 'Suspended'] as const) : [engine.versioning])
    if (Status) await client.send(new sdk.PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } }))
  t.teardown(async () => {
    while (engine.versioning) {
      const { Versions = [], DeleteMarkers = [] } = await client.send(new sdk.ListObjectVersionsCommand({ Bucket }))
      const Objects = [...Versions, ...DeleteMarkers].map(({ Key, VersionId }) => ({ Key, VersionId }))
      if (Objects.length === 0) break
      await client.send(new sdk.DeleteObjectsCommand({ Bucket, Delete: { Objects: Objects.slice(0, 1000) } }))
    }
    for (;;) {
      const { Contents = [] } = await client.send(new sdk.ListObjectsV2Command({ Bucket }))
      if (Contents.length === 0) break
      await client.send(
        new sdk.DeleteObjectsCommand({ Bucket, Delete: { Objects: Contents.map(({ Key }) => ({ Key })) } }),
      )
    }
    const { Uploads = [] } = await client.send(new sdk.ListMultipartUploadsCommand({ Bucket }))
    for (const { Key, UploadId } of Uploads) {
      await client.send(new sdk.AbortMultipartUploadCommand({ Bucket, Key, UploadId }))
    }
    await client.send(new sdk.DeleteBucketCommand({ Bucket }))
    client.destroy()
  })
  return { Bucket, client }
}
