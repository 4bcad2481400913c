import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { EditRun } from '../../src/images/metadata/editor.ts'
import { stripMetadata } from '../../src/images/metadata/strip.ts'
import { type Body, bodyOf, checkUpload, compare, fromBucket, makeBody } from '../check.ts'
import { type Contender, fastapiFiles, filesAlone, libStorage, ours, oursUnstripped } from '../contenders.ts'
import { curl, digest, type Load, MULTIPART, makeJpeg, makePhoto, wrk } from '../load.ts'
import { type Running, run, sleep } from '../process.ts'
import { WrongResult } from '../result.ts'
import { CPU, CPU_SECONDS, type Effort, MIB, PEAK, RATE, type Row, size, UPLOAD } from '../row.ts'
import { BUCKET, newFolder, SCRATCH } from '../setup.ts'
import { type Entrant, once, startAll, stopAll, underLoad } from '../side-by-side.ts'
import { at, startTarget, storedObjects } from '../target.ts'

const post = (server: Running, body: Body, connections: number): Load => ({
  url: server.url + UPLOAD,
  connections,
  method: 'POST',
  body: body.path,
  type: MULTIPART,
})

function entrantsOf(
  servers: readonly { readonly contender: Contender; readonly process: Running }[],
  body: Body,
  connections: number,
): Entrant[] {
  return servers.map(({ contender, process }) => ({
    ...contender,
    process,
    load: post(process, body, connections),
  }))
}

export function uploadRow(
  name: string,
  count: number,
  bytes: number,
  connections: number,
  contenders: readonly Contender[],
): Row {
  return {
    name,
    group: 'Uploads to a store that only acknowledges',
    title: () => `${count} × ${size(bytes)} in a request, ${connections} connections`,
    figures: [RATE, CPU, PEAK],
    async measure({ effort, select }) {
      return await measureUploads(select(contenders), await makeBody(count, bytes), connections, effort)
    },
  }
}

/** @param stripped what a contender stores that strips metadata */
async function measureUploads(
  who: readonly Contender[],
  body: Body,
  connections: number,
  effort: Effort,
  stripped = body,
) {
  const checking = await startTarget('null-store', ['--verify'])
  for (const contender of who) {
    await checkUpload(contender, at(checking), contender.keepsMetadata ? body : stripped, async (keys) => {
      const stored = await storedObjects(checking)
      return keys.map((key) => stored[key]?.sha256)
    })
  }
  await checking.stop()
  const store = await startTarget('null-store')
  const servers = await startAll(who, at(store))
  try {
    return await underLoad(entrantsOf(servers, body, connections), effort, store)
  } finally {
    await stopAll([...servers.map(({ process }) => process), store])
  }
}

/** Photos with a position, of which one contender strips the metadata and the other does not. */
export const uploadPhotos: Row = {
  name: 'upload-photos',
  group: 'Uploads to a store that only acknowledges',
  title: () => '8 × 200 KB photos with their place in a request, 16 connections',
  figures: [RATE, CPU, PEAK],
  async measure({ effort, select }) {
    const photos = await Promise.all(Array.from({ length: 8 }, makePhoto))
    const body = await bodyOf(photos)
    const stripped = { ...body, digests: photos.map((photo) => digest(withoutPlace(photo))) }
    return await measureUploads(select([ours, oursUnstripped]), body, 16, effort, stripped)
  },
}

function withoutPlace(photo: Buffer): Buffer {
  const copy = Buffer.from(photo)
  const run = new EditRun(stripMetadata('jpg', copy, 'location', 1))
  return Buffer.concat([...run.push(copy), ...run.end()])
}

export const uploadMinio: Row = {
  name: 'upload-minio',
  group: 'Uploads to MinIO',
  title: () => '8 × 200 KB in a request, 16 connections; directly: 8 anonymous PutObject calls count as one request',
  figures: [RATE, CPU, PEAK],
  async measure({ effort, select, minio }) {
    const { env } = await minio()
    const who = select([ours, libStorage])
    const body = await makeBody(8, 200_000)
    for (const contender of who) await checkUpload(contender, { s3: env }, body, fromBucket(env.S3_ENDPOINT))
    const image = join(await newFolder('image'), '1.jpg')
    writeFileSync(image, makeJpeg(200_000))
    const servers = await startAll(who, { s3: env })
    try {
      const direct: Load = {
        url: env.S3_ENDPOINT,
        connections: 16,
        method: 'PUT',
        body: image,
        type: 'image/jpeg',
        keys: `/${BUCKET}/direct-${Date.now()}/`,
      }
      const limit: Entrant = { name: 'MinIO, directly', role: 'limit', load: direct, divisor: 8 }
      return await underLoad([...entrantsOf(servers, body, 16), limit], effort)
    } finally {
      await stopAll(servers.map(({ process }) => process))
    }
  },
}

export const diskUpload: Row = {
  name: 'disk-upload',
  group: 'Uploads to disk',
  title: () =>
    '8 × 200 KB in a request, 16 connections; story-images syncs every file and folder, the peer syncs nothing',
  figures: [RATE, CPU, PEAK],
  async measure({ effort, select }) {
    const body = await makeBody(8, 200_000)
    const servers: { contender: Contender; process: Running }[] = []
    for (const contender of select([ours, fastapiFiles])) {
      const folder = await newFolder('disk')
      await checkUpload(contender, { folder }, body, async (keys) =>
        keys.map((key) => digest(readFileSync(join(folder, key)))),
      )
      servers.push(...(await startAll([contender], { folder })))
    }
    const alone = await startAll(select([filesAlone]), { folder: await newFolder('disk') })
    try {
      const limits = alone.map(({ contender, process }): Entrant => {
        return { ...contender, process, load: { url: process.url, connections: 16 } }
      })
      return await underLoad([...entrantsOf(servers, body, 16), ...limits], effort)
    } finally {
      await stopAll([...servers, ...alone].map(({ process }) => process))
    }
  },
}

export const largeUpload: Row = {
  name: 'upload-64mb',
  group: 'Uploads to MinIO',
  title: () => '1 × 64 MB, one after another',
  figures: [{ name: 'Speed', unit: 'MB/s', better: 'more' }, CPU_SECONDS, PEAK],
  async measure({ effort, select, minio }) {
    const { env } = await minio()
    const file = join(await newFolder('large'), '1.jpg')
    const bytes = 64_000_000
    const content = makeJpeg(bytes)
    writeFileSync(file, content)
    const uploads = effort.quick ? 1 : 5
    const who = select([ours, libStorage])
    const read = fromBucket(env.S3_ENDPOINT)
    return await once(who, { s3: env }, Math.min(3, effort.rounds), async (server, { name }) => {
      const output = join(SCRATCH, 'upload.json')
      const before = server.cpu()
      let seconds = 0
      for (let upload = 0; upload < uploads; upload++) {
        seconds += (await curl(server.url + UPLOAD, output, '-F', `files=@${file};type=image/jpeg`)).seconds
      }
      const figures = [(bytes / 1e6 / seconds) * uploads, (server.cpu() - before) / 1000 / uploads, server.peak() / MIB]
      const { image_paths } = JSON.parse(readFileSync(output, 'utf8')) as { image_paths: string[] }
      compare(name, [digest(content)], await read(image_paths.map((path) => path.slice('/images/'.length))))
      return figures
    })
  },
}

export const slowSenders: Row = {
  name: 'slow-senders',
  group: 'Many slow uploads at once',
  title: ({ quick }) =>
    `${quick ? '20 senders of 10 MB' : '200 senders of 50 MB'} at 5 MB/s each; meanwhile uploads of 20 KB on 2 connections`,
  figures: [
    { name: 'Responses 200', unit: '', better: 'more' },
    { name: 'Time of all', unit: 's', better: 'less' },
    PEAK,
    { name: 'Small uploads, p99', unit: 'ms', better: 'less' },
    { name: 'The same on the idle server', unit: 'ms', better: 'less' },
  ],
  async measure({ effort: { quick }, select }) {
    const [senders, bytes, seconds] = quick ? [20, 10_000_000, 2] : [200, 50_000_000, 10]
    const store = await startTarget('null-store')
    const small = await makeBody(1, 20_000)
    const notes: string[] = []
    try {
      const result = await once(
        select([ours]),
        at(store),
        1,
        async (server, { name }) => {
          await wrk(post(server, small, 2), 1)
          const idle = await wrk(post(server, small, 2), seconds)
          await storedObjects(store)
          const script = fileURLToPath(new URL('../slow-senders.ts', import.meta.url))
          const env = {
            ...process.env,
            URL: server.url,
            SENDERS: String(senders),
            BYTES: String(bytes),
            SPEED: '5000000',
          }
          const slow = run(process.execPath, [...process.execArgv, script], { env })
          await sleep(1000)
          const [busy, { stdout }] = await Promise.all([wrk(post(server, small, 2), seconds), slow])
          const { statuses, seconds: all } = JSON.parse(stdout) as { statuses: Record<string, number>; seconds: number }
          const whole = Object.values(await storedObjects(store)).filter(({ size }) => size === bytes).length
          const ok = statuses[200] ?? 0
          if (whole !== ok)
            throw new WrongResult(`${name} responded ${ok} uploads with 200, and ${whole} are stored whole`)
          if (ok < senders) notes.push(`The responses: ${JSON.stringify(statuses)}.`)
          if (busy.refused > 0) notes.push(`Refused small uploads: ${busy.refused} of ${busy.requests}.`)
          return [ok, all, server.peak() / MIB, busy.p99, idle.p99]
        },
        store,
      )
      return { ...result, notes: [...result.notes, ...notes] }
    } finally {
      await store.stop()
    }
  },
}
