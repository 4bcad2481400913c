import { readFileSync } from 'node:fs'
import sharp from 'sharp'
import t from 'tap'
import type { Format } from '../../src/layout/variant.ts'
import { WorkerProcess } from '../../src/variants/worker-process.ts'
import { Genes } from '../attack/genes.ts'
import { HOSTILE_IMAGES, png, withSize } from '../attack/hostile-images.ts'
import { MIB } from '../support/bodies.ts'
import { makeImage } from '../support/images.ts'
import { PATIENCE } from '../support/patience.ts'
import { MeasuredWorker, PROMISED_MEMORY } from './measured-worker.ts'

// The tests look at the child processes of this one
t.jobs = 1

type Case = readonly [what: string, image: Buffer, width?: number, format?: Format, height?: number]

const flat = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, background: { r: 200, g: 30, b: 30 } } })

/** A busy machine makes variants late, not larger. */
const PATIENT = { jobTimeoutMs: PATIENCE }

/** Makes all variants with one worker. */
async function measure(cases: readonly Case[]) {
  const worker = new MeasuredWorker(() => new WorkerProcess(PATIENT))
  const results: { what: string; outcome: string; peak: number }[] = []
  for (const [what, image, width = 320, format = 'webp', height] of cases)
    results.push({ what, ...(await worker.measure(image, { width, height, format })) })
  await worker.end()
  return results
}

t.test('a small file whose image would take gigabytes is refused and takes little memory', async (t) => {
  const results = await measure([
    ['one row of ten megapixels', png({ width: 10_000_000, height: 10 })],
    ['16 bits', png({ width: 3_000_000, height: 33, depth: 16 })],
    ['a hundred rows', png({ width: 1_000_000, height: 100, depth: 16 })],
    ['one bit', png({ width: 10_000_000, height: 10, depth: 1, colour: 0 })],
    ['four hundred rows', png({ width: 250_000, height: 400, depth: 16 })],
    ['the longest side', png({ width: 65_535, height: 1525, depth: 16, isInterlaced: true })],
    ['interlaced', png({ width: 10_000, height: 10_000, depth: 16, isInterlaced: true })],
  ])
  for (const { what, outcome, peak } of results) {
    t.equal(outcome, 'too large', what)
    t.ok(peak < 160 * MIB, `${what}: ${peak / MIB} MiB`)
  }
})

t.test('variants of large photos are made, and the most demanding ones stay below the documented memory', async (t) => {
  const small = await flat(64, 64).jpeg().toBuffer()
  const progressive = await flat(64, 64).jpeg({ progressive: true, chromaSubsampling: '4:2:0' }).toBuffer()
  const fine = await flat(64, 64).jpeg({ progressive: true, chromaSubsampling: '4:4:4' }).toBuffer()
  const results = await measure([
    ['100 megapixels', withSize(small, 10_000, 10_000), 1920, 'avif'],
    ['100 megapixels, progressive', withSize(progressive, 12_500, 8000), 1920, 'avif'],
    ['80 megapixels, progressive, 4:4:4', withSize(fine, 10_000, 8000), 1920, 'avif'],
    ['36 megapixels, 16 bits, interlaced', png({ width: 6000, height: 6000, depth: 16, isInterlaced: true }), 1920],
    ['30 megapixels of AVIF', await flat(6324, 4743).avif({ effort: 0 }).toBuffer(), 1920, 'avif'],
    ['100 megapixels, cropped', withSize(small, 10_000, 10_000), 640, 'avif', 480],
    ['40 megapixels in a strip, cropped', withSize(small, 65_000, 640), 640, 'avif', 480],
    ['texts of 790 MB', png({ width: 10, height: 10, texts: [100, 7_900_000] })],
  ])
  for (const { what, outcome, peak } of results) {
    t.equal(outcome, 'made', what)
    t.ok(peak > 0 && peak < PROMISED_MEMORY, `${what}: ${peak / MIB} MiB`)
  }
})

t.test('an animation whose frames are all in memory stays below the documented memory', async (t) => {
  // 186 frames of 680 by 680 pixels of noise, of 113 MB, turned by 90 degrees
  const choices = { frames: 0.492, area: 0.917, lossless: 0.9, channels: 0.9, 'own canvas': 0.9, orientation: 0.5 }
  const animation = await HOSTILE_IMAGES.webp?.(
    new Genes(() => 0, new Map(Object.entries({ ...choices, 'has ballast': 0.9 }))),
  )
  if (!animation) throw new Error('No WebP can be made')
  const results = await measure([
    ['small', animation, 160],
    ['as it is', animation, 1920],
    ['cropped', animation, 160, 'webp', 120],
  ])
  t.same(
    results.map(({ outcome }) => outcome),
    ['made', 'too large', 'made'],
  )
  for (const { what, peak } of results) t.ok(peak < PROMISED_MEMORY, `${what}: ${peak / MIB} MiB`)
})

t.test('a worker cannot get more memory than its limit, and an image that needs more is too large', async (t) => {
  const gif = Buffer.concat([
    Buffer.from(
      'GIF89a\x28\x23\x28\x23\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x0c\0\0\0\0,\0\0\0\0\x28\x23\x28\x23\0',
      'latin1',
    ),
    Buffer.from([2, 2, 0x44, 1, 0, 0x3b]),
  ])
  for (const [what, image] of [
    // For the first libvips reports that there is no memory; for the second GLib ends the process
    ['PNG', png({ width: 6000, height: 6000, depth: 16, isInterlaced: true })],
    ['GIF', gif],
  ] as const) {
    const worker = new MeasuredWorker(() => new WorkerProcess({ ...PATIENT, maxDataKib: 250 * 1024 }))
    const { outcome, peak } = await worker.measure(image, { width: 320, format: 'webp' })
    t.equal(outcome, 'too large', what)
    t.ok(peak < 350 * MIB, `${what}: ${peak / MIB} MiB`)
    t.equal((await worker.measure(await makeImage({ type: 'png' }), { width: 320, format: 'webp' })).outcome, 'made')
    await worker.end()
  }
})

t.test('when memory runs short the kernel kills a worker first, which writes no core file', async (t) => {
  const worker = new MeasuredWorker()
  await worker.measure(await makeImage({ type: 'png' }), { width: 320, format: 'webp' })
  t.equal(readFileSync(`/proc/${worker.pid}/oom_score_adj`, 'utf8').trim(), '1000')
  t.match(readFileSync(`/proc/${worker.pid}/limits`, 'utf8'), /^Max core file size +0 +0 /m)
  await worker.end()
})
