import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { openDiskStore } from '../../src/store/disk/disk-store.ts'
import type { ObjectStore } from '../../src/store/object-store.ts'
import { openS3Store } from '../../src/store/s3/s3-store.ts'
import { fillDisk, freeDisk, whyNoMount } from '../support/small-disk.ts'
import type { StoreAccess } from './fault-proxy.ts'

/** Where the server under test keeps its objects, and ways to look into it and to harm it without the server. */
export interface Storage {
  /** What a server or a command needs to use it. */
  readonly environment: Readonly<Record<string, string>>
  /** Of an S3 store: what a proxy in front of it needs. */
  readonly access?: StoreAccess
  /** Takes all room and gives it back. Of a disk of its own; of a bucket it is the proxy that says that there is none. */
  readonly room?: { take(): Promise<void>; giveBack(): Promise<void> }
  /** Kills a node and starts it again. Only of a cluster. */
  readonly node?: { kill(): Promise<void>; start(): Promise<void> }
  /** Opens it as the server does, without the proxy. */
  open(): Promise<ObjectStore>
  /** Every key, in order; of the disk also the hidden files beside objects. */
  keys(after?: string): Promise<string[]>
  place(key: string, body: Uint8Array): Promise<void>
  remove(): Promise<void>
}

const run = promisify(execFile)

export type StorageName = 'disk' | 'minio' | 'minio-versioned' | 'cluster' | 'rgw'

export async function openStorage(name: StorageName): Promise<Storage> {
  if (name === 'disk') return diskStorage()
  const env = process.env
  if (name === 'rgw') {
    return s3Storage({
      nodes: [env.RGW_ENDPOINT ?? `http://127.0.0.1:${env.RGW_PORT ?? 7480}`],
      accessKeyId: env.RGW_ACCESS_KEY ?? 'engine-access',
      secretAccessKey: env.RGW_SECRET_KEY ?? 'engine-secret-key',
    })
  }
  const root = {
    accessKeyId: env.MINIO_ROOT_USER ?? 'engine-root',
    secretAccessKey: env.MINIO_ROOT_PASSWORD ?? 'engine-root-secret',
  }
  if (name !== 'cluster') {
    const nodes = [env.MINIO_ENDPOINT ?? `http://127.0.0.1:${env.MINIO_PORT ?? 9100}`]
    return s3Storage({ nodes, ...root }, name === 'minio-versioned')
  }
  return clusterStorage(root)
}

/** Size of the small disk. Stories take a few MB at a time; what was deleted may take the rest. */
const DISK = '208m'

/** Bytes of this disk that are kept free of the servers' files. A full disk still has room for a story that the torture places. */
const RESERVE = 16 * 2 ** 20

/** That of the servers, by default. */
const RETENTION_MS = 168 * 3_600_000

async function diskStorage(): Promise<Storage> {
  const disk = await mkdtemp(join(tmpdir(), 'story-images-torture-'))
  const whyNot = whyNoMount()
  if (whyNot === false) await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK}`, 'tmpfs', disk])
  else console.error(`The disk is never full in this run: ${whyNot}`)
  const folder = join(disk, 'data')
  const reserve = join(disk, 'reserve')
  await writeFile(reserve, Buffer.alloc(RESERVE))
  return {
    environment: { DATA_DIR: folder },
    ...(whyNot === false && { room: { take: () => fillDisk(disk), giveBack: () => freeDisk(disk) } }),
    open: () => openDiskStore(folder, [], RETENTION_MS),
    async keys(after = '') {
      const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(missing)
      return entries
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
        .filter((path) => !/^\.(tmp|trash)\//.test(path) && path !== '.lock' && path > after)
        .sort()
    },
    async place(key, body) {
      await mkdir(dirname(join(folder, key)), { recursive: true })
      await writeFile(join(folder, key), body).catch(async (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOSPC') throw error
        await rm(reserve, { force: true })
        await writeFile(join(folder, key), body)
      })
    },
    async remove() {
      if (whyNot === false) await run('umount', [disk])
      await rm(disk, { recursive: true, force: true })
    },
  }
}

/** A folder that was deleted while it was read. */
function missing(error: NodeJS.ErrnoException): [] {
  if (error.code !== 'ENOENT') throw error
  return []
}

/** @param isVersioned whether the bucket keeps what is deleted */
async function s3Storage(access: StoreAccess, isVersioned = false): Promise<Storage> {
  const { accessKeyId, secretAccessKey, nodes } = access
  const endpoint = nodes[0] as string
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    maxAttempts: 5,
  })
  const Bucket = `torture-${randomUUID()}`
  await client.send(new CreateBucketCommand({ Bucket }))
  if (isVersioned) {
    const VersioningConfiguration = { Status: 'Enabled' } as const
    await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }))
  }
  const credentials = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey }

  async function keys(after?: string): Promise<string[]> {
    const found: string[] = []
    for (let last = after; ; last = found.at(-1)) {
      const page = await client.send(new ListObjectsV2Command({ Bucket, StartAfter: last }))
      found.push(...(page.Contents ?? []).map(({ Key = '' }) => Key))
      if (!page.IsTruncated) return found
    }
  }

  return {
    environment: { S3_BUCKET: Bucket, S3_ENDPOINT: endpoint, ...credentials },
    access,
    open() {
      Object.assign(process.env, credentials)
      return openS3Store({
        bucket: Bucket,
        prefix: '',
        endpoint,
        region: 'us-east-1',
        forcePathStyle: true,
        timeout: 20_000,
      })
    },
    keys,
    async place(Key, Body) {
      await client.send(new PutObjectCommand({ Bucket, Key, Body }))
    },
    async remove() {
      for (;;) {
        const page = await client.send(new ListObjectVersionsCommand({ Bucket }))
        const found = [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])]
        if (found.length === 0) break
        const Objects = found.map(({ Key, VersionId }) => ({ Key, VersionId }))
        await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }))
      }
      await client.send(new DeleteBucketCommand({ Bucket })).catch(() => {})
      client.destroy()
    },
  }
}

const NODES = 4
const SCRIPT = fileURLToPath(new URL('../engines/minio.sh', import.meta.url))

/** Four MinIO servers on this machine, made and removed with the run; one of them may be killed. */
async function clusterStorage(root: { accessKeyId: string; secretAccessKey: string }): Promise<Storage> {
  const port = Number(process.env.MINIO_CLUSTER_PORT ?? 9300)
  const folder = join(tmpdir(), `story-images-minio-${port}`)
  const env = { ...process.env, MINIO_NODES: String(NODES), MINIO_PORT: String(port), MINIO_DIR: folder }
  await run('bash', [SCRIPT, 'up'], { env })
  const nodes = Array.from({ length: NODES }, (_, node) => `http://127.0.0.1:${port + node}`)
  // Always the same one, to which the server sends nothing, as behind a balancer: a MinIO node that has just come back and does not see
  // the others yet lists what was deleted without it
  const killed = NODES - 1
  const storage = await s3Storage({ nodes: nodes.slice(0, killed), ...root })
  return {
    ...storage,
    node: {
      async kill() {
        process.kill(Number(await readFile(join(folder, `${killed}.pid`), 'utf8')), 'SIGKILL')
      },
      async start() {
        await run('bash', [SCRIPT, 'start', String(killed)], { env })
      },
    },
    async remove() {
      await run('bash', [SCRIPT, 'down'], { env })
    },
  }
}
