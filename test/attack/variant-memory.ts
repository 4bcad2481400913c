/**
 * Searches for the image of which a variant takes the most memory: makes hostile and unusual images of each format, at first by chance and
 * then like those that took the most so far, has a real worker process make a variant of each, and writes which took the most. Ends with 1
 * if a worker ever had more memory in use than docs/variants.md promises, or crashed. Linux only.
 *
 * `npm run search-variant-memory -- --files 500 --seconds 3600 --seed 1 --formats png,jpeg`
 *
 * The same seed draws the same images by chance. Memory does not depend on the speed of the machine.
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
/** How many of the worst are gone on from, and shown. */
const WORST = 10
/** Twice what an image gets in the server, where the time is not measured. */
const WORK_MS = 60_000

interface Try {
  readonly genes: Genes
  readonly peak: number
  readonly what: string
}

const formats = values.formats.split(',')
/** Share of the images that are drawn by chance. */
const DRAWN = 0.6
const FORMS = ['plain', 'jpeg', 'webp', 'avif'] as const
const until = performance.now() + Number(values.seconds) * 1000
const random = randomFrom(Number(values.seed))
let isGood = true
console.log(`seed ${values.seed}, ${FILES} images of each format, worker of Node.js ${process.version}`)

for (const format of formats) {
  const make = HOSTILE_IMAGES[format]
  if (!make) throw new Error(`There is no format ${format}, only ${Object.keys(HOSTILE_IMAGES)}`)
  // What one format leaves behind does not count for the next
  const worker = new MeasuredWorker(() => new WorkerProcess(WORK_MS))
  const outcomes: Record<string, number> = {}
  let worst: Try[] = []
  const share = (until - performance.now()) / (formats.length - formats.indexOf(format))
  const end = performance.now() + share
  let files = 0
  while (files < FILES && performance.now() < end) {
    const isDrawn = worst.length < WORST || files < FILES * DRAWN
    const genes = isDrawn ? new Genes(random) : oneOf(worst, random).genes.child()
    let image: Buffer
    try {
      image = await make(genes)
    } catch (error) {
      // Not everything can be encoded: libwebp gives up on much noise, for instance
      console.log(`${format}: not made: ${error}, ${JSON.stringify(genes.choices)}`)
      continue
    }
    files++
    const form = genes.oneOf('form', FORMS)
    const { peak, outcome, size } = await worker.measure(image, genes.oneOf('w', [160, 160, 1920, 9999]), form)
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    const what = `${image.length} bytes, ${outcome}, ${size} bytes, ${JSON.stringify(genes.choices)}`
    if (outcome === 'died' || peak > PROMISED_MEMORY) {
      isGood = false
      console.log(`FAILED: ${format}: ${Math.round(peak / MIB)} MiB, ${what}`)
    }
    worst = [...worst, { genes, peak, what }].sort((one, other) => other.peak - one.peak).slice(0, WORST)
    if (files % 100 === 0)
      console.log(`${format}: ${files} images, ${Math.round((worst[0]?.peak ?? 0) / MIB)} MiB at most`)
  }
  await worker.end()
  console.log(`\n${format}: ${files} images, ${JSON.stringify(outcomes)}. The ${WORST} that took the most:`)
  for (const { peak, what } of worst) console.log(`${Math.round(peak / MIB)} MiB, ${what}`)
  if (files < FILES) console.log(`The time was up before all ${FILES} images were tried`)
}
console.log(isGood ? `\nNo worker had more than ${PROMISED_MEMORY / MIB} MiB in use` : '\nFAILED')
process.exitCode = isGood ? 0 : 1
