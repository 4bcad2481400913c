import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { HeadObjectCommand, ListMultipartUploadsCommand } from '@aws-sdk/client-s3'
import type { Test } from 'tap'
import { openDiskStore } from '../../src/store/disk/disk-store.ts'
import type { ObjectStore } from '../../src/store/object-store.ts'
import { openS3Store, type S3Settings } from '../../src/store/s3/s3-store.ts'
import { forEach, putBytes } from './bodies.ts'
import { type Engine, engines, makeBucket } from './engines.ts'
import { ALL } from './extent.ts'
import type { Dialect } from './s3-in-memory.ts'
import { type S3StandIn, type StandInOptions, startS3StandIn } from './s3-stand-in.ts'

/** A store and what can be seen of it from outside. */
export interface InspectedStore {
  readonly store: ObjectStore
  /** Names of what was begun and is neither an object nor cleaned up, the upload of `key` above all. */
  leftovers(key: string): Promise<string[]>
  /** The headers by which a cache goes that reads the object from the bucket itself; undefined on disk. */
  readonly cacheHeaders?: (key: string) => Promise<{ cacheControl: string | undefined; tag: string | undefined }>
  /** Files or requests that the store holds now; nothing where that can't be seen. */
  held(): Promise<number | undefined>
  /** Stores many objects of one byte, past the store where that is faster. */
  fill(keys: readonly string[]): Promise<void>
}

export interface StoreUnderTest {
  readonly name: string
  readonly open: (t: Test) => Promise<ObjectStore>
  readonly inspect: (t: Test) => Promise<InspectedStore>
}

/** What engines do that can't be started here. */
const DIALECTS: readonly Dialect[] = [
  { versioning: 'Enabled', ifNoneMatch: 'ignored', deleteObjects: 'md5' },
  { versioning: 'Suspended', ifNoneMatch: 'refused', deleteObjects: 'missing' },
]

/** An empty store of each kind: what the contract suite runs against. Each goes away with its test. */
export const storesUnderTest: readonly StoreUnderTest[] = [
  underTest('disk', inspectDisk),
  // The next one checks signatures beside
  ...(ALL ? [underTest('S3 stand-in', (t) => inspectStandIn(t, ''))] : []),
  underTest('S3 stand-in below a path', (t) => inspectStandIn(t, '', true, { path: '/storage/v1/s3', secret: 'any' })),
  ...(ALL
    ? DIALECTS.map((dialect) =>
        underTest(`S3 stand-in, ${JSON.stringify(dialect)}`, (t) => inspectStandIn(t, '', true, { dialect })),
      )
    : []),
  ...(ALL ? [underTest('S3 stand-in below a prefix', (t) => inspectStandIn(t, 'images/'))] : []),
  ...(ALL && engines.length === 0
    ? [underTest('S3 stand-in by the SDK alone', (t) => inspectStandIn(t, '', false))]
    : []),
  ...engines.flatMap((engine) => [
    underTest(engine.name, (t) => inspectEngine(t, engine)),
    // What the SDK sends is the same to all of them
    ...(engine === engines[0]
      ? [underTest(`${engine.name} by the SDK alone`, (t) => inspectEngine(t, engine, false))]
      : []),
  ]),
]

function underTest(name: string, inspect: StoreUnderTest['inspect']): StoreUnderTest {
  return { name, inspect, open: async (t) => (await inspect(t)).store }
}

/** A folder that goes away with the test; not t.testdir(), which is one folder for a whole file. */
export async function makeFolder(t: Test, parent = tmpdir()): Promise<string> {
  const folder = await mkdtemp(join(parent, 'store-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

async function inspectDisk(t: Test): Promise<InspectedStore> {
  const root = await makeFolder(t)
  return {
    store: await openDiskStore(root),
    leftovers: () => readdir(join(root, '.tmp')),
    held: async () => (process.platform === 'linux' ? openFilesBelow(root) : undefined),
    fill: async (keys) => {
      for (const key of keys) {
        mkdirSync(dirname(join(root, key)), { recursive: true })
        writeFileSync(join(root, key), 'x')
      }
    },
  }
}

async function openFilesBelow(root: string): Promise<number> {
  const targets = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  )
  return targets.filter((target) => target.startsWith(root)).length
}

async function inspectStandIn(
  t: Test,
  prefix: string,
  fastPath = true,
  options: StandInOptions = {},
): Promise<InspectedStore> {
  const standIn = await startStandIn(t, options)
  return {
    store: await openOnStandIn(t, standIn, { prefix, fastPath }),
    cacheHeaders: async (key) => {
      const object = standIn.objects.get(prefix + key)
      return { cacheControl: object?.cacheControl, tag: object?.metadata['cache-tag'] }
    },
    leftovers: async () => [...standIn.multipartUploads.values()].map((upload) => upload.key),
    held: async () => standIn.runningRequests,
    fill: async (keys) => {
      for (const key of keys) standIn.place(prefix + key, 'x')
    },
  }
}

/** A stand-in that goes away with the test. */
export async function startStandIn(t: Test, options: Parameters<typeof startS3StandIn>[0] = {}): Promise<S3StandIn> {
  const standIn = await startS3StandIn(options)
  t.teardown(() => standIn.close())
  return standIn
}

/** The S3 store on a stand-in, which checks no signatures: any credentials do. */
export async function openOnStandIn(t: Test, standIn: S3StandIn, settings: Partial<S3Settings> = {}) {
  setCredentials({ accessKeyId: 'any', secretAccessKey: 'any' })
  const store = await openS3Store({
    bucket: standIn.bucket,
    prefix: '',
    endpoint: standIn.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    timeout: 5000,
    ...settings,
  })
  t.teardown(() => store.close())
  return store
}

async function inspectEngine(t: Test, engine: Engine, fastPath = true): Promise<InspectedStore> {
  const { Bucket, client } = await makeBucket(t, engine)
  const store = await openOnEngine(t, engine, Bucket, '', fastPath)
  return {
    store,
    async cacheHeaders(Key) {
      const { CacheControl, Metadata } = await client.send(new HeadObjectCommand({ Bucket, Key }))
      return { cacheControl: CacheControl, tag: Metadata?.['cache-tag'] }
    },
    // MinIO lists multipart uploads by exact key only
    leftovers: async (key) => {
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: key }))
      return Uploads.map((upload) => upload.Key ?? '')
    },
    held: async () => undefined,
    fill: (keys) => forEach(keys, (key) => putBytes(store, key, 'x')),
  }
}

export async function openOnEngine(
  t: Test,
  engine: Engine,
  bucket: string,
  prefix: string,
  fastPath = true,
): Promise<ObjectStore> {
  setCredentials(engine)
  const store = await openS3Store({
    bucket,
    prefix,
    endpoint: engine.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    timeout: 60_000,
    fastPath,
  })
  t.teardown(() => store.close())
  // The first call reads the credentials, once and for all
  await store.ready()
  return store
}

/** The store finds its credentials where the SDK looks for them first. */
function setCredentials(credentials: { accessKeyId: string; secretAccessKey: string }): void {
  process.env.AWS_ACCESS_KEY_ID = credentials.accessKeyId
  process.env.AWS_SECRET_ACCESS_KEY = credentials.secretAccessKey
}
