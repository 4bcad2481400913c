/**
 * Searches for the image whose variant takes the most memory: makes hostile and unusual images of each format, first at random and then
 * like those that took the most so far, makes a variant of each with a real worker process, and prints which took the most. Exits with 1
 * if a worker ever had more memory in use than docs/variants.md promises, or crashed. Linux only.
 *
 * `npm run search-variant-memory -- --files 500 --seconds 3600 --seed 1 --formats png,jpeg`
 *
 * The same seed draws the same random images. Memory does not depend on the speed of the machine.
 */
import { parseArgs } from 'node:util'
import { WorkerProcess } from '../../src/variants/worker-process.ts'
import { oneOf, randomFrom } from '../support/random.ts'
import { MeasuredWorker, PROMISED_MEMORY } from '../variants/measured-worker.ts'
import { Genes } from './genes.ts'
import { HOSTILE_IMAGES } from './hostile-images.ts'

const { values } = parseArgs({
  options: {
    /** Of each format. */
    files: { type: 'string', default: '500' },
    /** In all. */
    seconds: { type: 'string', default: '7200' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    formats: { type: 'string', default: Object.keys(HOSTILE_IMAGES).join() },
  },
})
const FILES = Number(values.files)
const MIB = 1024 * 1024
/** How many of the worst images are bred from and shown. */
const WORST = 10
/** Longer than in the server, since time is not measured here. */
const WORK_MS = 600_000

interface Try {
  readonly genes: Genes
  readonly peak: number
  readonly what: string
}

const types = values.formats.split(',')
/** Share of the images that are drawn at random. */
const DRAWN = 0.6
const FORMATS = ['plain', 'jpeg', 'webp', 'avif'] as const
const until = performance.now() + Number(values.seconds) * 1000
const random = randomFrom(Number(values.seed))
let isGood = true
console.log(`seed ${values.seed}, ${FILES} images of each format, worker of Node.js ${process.version}`)

for (const type of types) {
  const make = HOSTILE_IMAGES[type]
  if (!make) throw new Error(`There is no format ${type}, only ${Object.keys(HOSTILE_IMAGES)}`)
  // A new worker, without the memory that another format has left
  const worker = new MeasuredWorker(() => new WorkerProcess({ jobTimeoutMs: WORK_MS }))
  const outcomes: Record<string, number> = {}
  let worst: Try[] = []
  const share = (until - performance.now()) / (types.length - types.indexOf(type))
  const end = performance.now() + share
  let files = 0
  while (files < FILES && performance.now() < end) {
    const isDrawn = worst.length < WORST || files < FILES * DRAWN
    const genes = isDrawn ? new Genes(random) : oneOf(worst, random).genes.child()
    let image: Buffer
    try {
      image = await make(genes)
    } catch (error) {
      // Not everything can be encoded: libwebp, for instance, gives up on much noise
      console.log(`${type}: not made: ${error}, ${JSON.stringify(genes.choices)}`)
      continue
    }
    files++
    const format = genes.oneOf('format', FORMATS)
    const width = genes.oneOf('w', [160, 160, 1920, 9999])
    const height = genes.oneOf('h', [undefined, undefined, 120, 1440, 9999])
    const { peak, outcome, size } = await worker.measure(image, { width, height, format })
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    const what = `${image.length} bytes, ${outcome}, ${size} bytes, ${JSON.stringify(genes.choices)}`
    if (outcome === 'died' || peak > PROMISED_MEMORY) {
      isGood = false
      console.log(`FAILED: ${type}: ${Math.round(peak / MIB)} MiB, ${what}`)
    }
    worst = [...worst, { genes, peak, what }].sort((one, other) => other.peak - one.peak).slice(0, WORST)
    if (files % 100 === 0)
      console.log(`${type}: ${files} images, ${Math.round((worst[0]?.peak ?? 0) / MIB)} MiB at most`)
  }
  await worker.end()
  console.log(`\n${type}: ${files} images, ${JSON.stringify(outcomes)}. The ${WORST} that took the most:`)
  for (const { peak, what } of worst) console.log(`${Math.round(peak / MIB)} MiB, ${what}`)
  if (files < FILES) console.log(`The time was up before all ${FILES} images were tried`)
}
console.log(isGood ? `\nNo worker had more than ${PROMISED_MEMORY / MIB} MiB in use` : '\nFAILED')
process.exitCode = isGood ? 0 : 1
