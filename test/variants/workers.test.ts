import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmod, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import sharp from 'sharp'
import t from 'tap'
import { HugeImage, ServerBusy, StoreFailure, UnreadableImage } from '../../src/errors.ts'
import type { Format } from '../../src/layout/variant.ts'
import { WorkerProcess } from '../../src/variants/worker-process.ts'
import { Workers } from '../../src/variants/workers.ts'
import { readAll } from '../support/bodies.ts'
import { ALL } from '../support/extent.ts'
import { makeImage } from '../support/images.ts'
import { PATIENCE } from '../support/patience.ts'

const photo = await makeImage({ type: 'jpg', width: 200, height: 150 })
const large = await makeImage({ type: 'jpg', width: 3000, height: 2000 })

function make(worker: WorkerProcess, image = photo, { width = 20, format = 'webp' as Format } = {}): Promise<Buffer> {
  const job = { size: image.length, width, format }
  return worker.make({ body: Readable.from([image]) }, job, ({ body }) => readAll(Readable.from(body)))
}

t.test('a worker is used again until it has been idle for too long', async (t) => {
  const workers = new Workers({ idleMs: 200 })
  const used: WorkerProcess[] = []
  const use = () => workers.use((worker) => make(worker).finally(() => used.push(worker)))
  await use()
  await use()
  t.equal(used[0], used[1])
  await used[0]?.ended
  t.equal(used[0]?.isAlive, false)
  await use()
  t.not(used[2], used[0])
  await workers.close()
})

if (ALL)
  t.test('a worker that holds a lot of memory is not used again', async (t) => {
    const workers = new Workers({ jobTimeoutMs: PATIENCE })
    const used: WorkerProcess[] = []
    const side = 3600
    const noise = sharp(randomBytes(side * side * 4), { raw: { width: side, height: side, channels: 4 } })
    const image = await noise.png({ compressionLevel: 0 }).toBuffer()
    await workers.use(async (worker) => {
      used.push(worker)
      // An image of 52 MB
      await make(worker, image, { width: side, format: 'plain' })
    })
    await workers.use(async (worker) => {
      used.push(worker)
      await make(worker)
    })
    t.not(used[1], used[0])
    await workers.close()
  })

for (const [what, limits, type] of [
  [
    'an image that takes too much processor time is too large',
    { maxProcessorSeconds: 1, jobTimeoutMs: PATIENCE },
    HugeImage,
  ],
  ['the server is busy if a variant is not made in time', { jobTimeoutMs: 1 }, ServerBusy],
] as const)
  t.test(`${what}, and the worker ends`, async (t) => {
    const worker = new WorkerProcess(limits)
    await t.rejects(make(worker, large, { width: 3000, format: 'avif' }), type)
    t.notOk(worker.isAlive)
    await worker.ended
  })

t.test('a worker that has used half of its processor time is not used again', async (t) => {
  const worker = new WorkerProcess({ maxProcessorSeconds: 2 })
  while (worker.isReusable) await make(worker)
  t.ok(worker.isAlive, 'and could make another variant')
  worker.end()
  await worker.ended
})

t.test('a worker goes on after a broken image', async (t) => {
  const worker = new WorkerProcess()
  await t.rejects(make(worker, photo.subarray(0, 300)), UnreadableImage)
  t.equal((await make(worker)).toString('latin1', 8, 12), 'WEBP')
  worker.end()
  await worker.ended
})

const skip = process.platform !== 'linux' && 'only Linux shows the files that a process has open'

t.test('a worker reads a file that the server has open, and the server none of its bytes', { skip }, async (t) => {
  const path = join(t.testdir(), '1.jpg')
  await writeFile(path, photo)
  const worker = new WorkerProcess()
  for (const image of [photo, photo.subarray(0, 300), photo]) {
    await writeFile(path, image)
    const handle = await open(path)
    const body = handle.createReadStream()
    const file = { descriptor: handle.fd, wasRead: false }
    const closed = once(body, 'close')
    const making = worker.make({ body, file }, { size: image.length, width: 20, format: 'webp' }, ({ body }) =>
      readAll(Readable.from(body)),
    )
    if (image === photo) t.equal((await making).toString('latin1', 8, 12), 'WEBP')
    else await t.rejects(making, UnreadableImage)
    await closed
    t.same([file.wasRead, body.bytesRead], [true, 0])
  }
  worker.end()
  await worker.ended
})

t.test('the bytes of a file that a worker cannot read are sent to it', async (t) => {
  const worker = new WorkerProcess()
  for (let time = 0; time < 2; time++) {
    const file = { descriptor: 1_000_000, wasRead: false }
    const job = { size: photo.length, width: 20, format: 'webp' } as const
    const made = await worker.make({ body: Readable.from([photo]), file }, job, ({ body }) =>
      readAll(Readable.from(body)),
    )
    t.equal(made.toString('latin1', 8, 12), 'WEBP')
    t.notOk(file.wasRead)
  }
  worker.end()
  await worker.ended
})

t.test('a file that is shorter than it was is a failure of the store', async (t) => {
  const path = join(t.testdir(), '1.jpg')
  await writeFile(path, photo.subarray(0, -1))
  const handle = await open(path)
  const worker = new WorkerProcess()
  const image = { body: handle.createReadStream(), file: { descriptor: handle.fd, wasRead: false } }
  const job = { size: photo.length, width: 20, format: 'webp' } as const
  await t.rejects(
    worker.make(image, job, async () => {}),
    StoreFailure,
  )
  await worker.ended
})

t.test('a worker that is told to end before it has started ends', async () => {
  const worker = new WorkerProcess()
  worker.end()
  await worker.ended
})

t.test('the server is busy if no process can be started, and goes on', async (t) => {
  const { execPath } = process
  // Ends as a shell does that cannot find a program, without its line on standard error
  process.execPath = join(t.testdir({ node: '#!/bin/sh\nexit 127\n' }), 'node')
  await chmod(process.execPath, 0o755)
  t.teardown(() => {
    process.execPath = execPath
  })
  const workers = new Workers()
  await t.rejects(
    workers.use((worker) => make(worker)),
    ServerBusy,
  )
  process.execPath = execPath
  t.ok((await workers.use((worker) => make(worker))).length > 0)
  await workers.close()
})
