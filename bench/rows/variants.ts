import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { type Contender, ipx, ours } from '../contenders.ts'
import { type Running, start } from '../process.ts'
import { type Figure, WrongResult } from '../result.ts'
import { MIB, PEAK, type Row, UPLOAD } from '../row.ts'
import { newFolder } from '../setup.ts'
import { stopAll } from '../side-by-side.ts'

const WIDTH = 640
const FORMATS = ['jpeg', 'webp'] as const
type Format = (typeof FORMATS)[number]

/** Requests of each kind in a round. */
const REQUESTS = 20
const percentile95 = (times: number[]) => times.toSorted((a, b) => a - b)[Math.ceil(times.length * 0.95) - 1] as number

const first = (format: Format): Figure => ({ name: `First ${format.toUpperCase()}`, unit: 'ms', better: 'less' })

export const variants: Row = {
  name: 'variants',
  group: 'Smaller images',
  title: () => `a 12-megapixel JPEG, ${WIDTH} pixels wide, one request at a time: the 95th percentile`,
  figures: [...FORMATS.map(first), { name: 'Repeated', unit: 'ms', better: 'less' }, PEAK],
  async measure({ effort, select }) {
    const image = await photo()
    const entrants: Entrant[] = []
    try {
      for (const contender of select([ours, ipx])) {
        const folder = await newFolder('variants')
        if (contender === ipx) writeFileSync(join(folder, '1.jpg'), image)
        const process = await start((port) => contender.command({ folder }, port))
        entrants.push({ contender, process, paths: [], samples: variants.figures.map(() => []) })
      }
      // The first round starts workers and is not measured
      for (let round = -1; round < effort.rounds; round++) {
        const figures: number[][] = []
        for (const entrant of entrants) {
          const count = round < 0 ? 2 : REQUESTS
          const isPeer = entrant.contender === ipx
          entrant.paths = isPeer ? Array<string>(count).fill('/1.jpg') : await upload(entrant.process, image, count)
        }
        for (const format of FORMATS) figures.push(await inTurn(entrants, format))
        for (const { paths } of entrants) paths.fill(paths[0] as string)
        figures.push(await inTurn(entrants, 'webp'))
        figures.push(entrants.map(({ process }) => process.peak() / MIB))
        if (round < 0) continue
        for (const [index, { samples }] of entrants.entries())
          for (const [figure, values] of figures.entries()) samples[figure]?.push(values[index] as number)
      }
      return {
        contenders: entrants.map(({ contender: { name, role }, samples }) => ({ name, role, samples })),
        notes: [
          'ipx keeps nothing, and is meant to stand behind a cache: to it a repeated request is a first one.',
          'Both encode with a quality of 80 and one thread; story-images with less priority than others on the machine, and it stores the result durably before it responds.',
        ],
      }
    } finally {
      await stopAll(entrants.map(({ process }) => process))
    }
  },
}

interface Entrant {
  readonly contender: Contender
  readonly process: Running
  /** Paths of the images, in the order of the requests. */
  paths: string[]
  readonly samples: number[][]
}

/** Requests the images of all entrants in turn. Returns the 95th percentile of the times of each, in milliseconds. */
async function inTurn(entrants: readonly Entrant[], format: Format): Promise<number[]> {
  const times = entrants.map(() => [] as number[])
  for (const number of entrants[0]?.paths.keys() ?? []) {
    for (const [index, { contender, process, paths }] of entrants.entries()) {
      const path =
        contender === ipx ? `/f_${format},w_${WIDTH},q_80/1.jpg` : `${paths[number]}?w=${WIDTH}&format=${format}`
      const begin = performance.now()
      const response = await fetch(process.url + path)
      const bytes = Buffer.from(await response.arrayBuffer())
      times[index]?.push(performance.now() - begin)
      const { width, height } = response.ok ? await sharp(bytes).metadata() : { width: 0, height: 0 }
      const isRight = response.headers.get('content-type') === `image/${format}` && width === WIDTH && height === 480
      if (!isRight) throw new WrongResult(`${contender.name} responded ${response.status} with ${width} × ${height}`)
    }
  }
  return times.map(percentile95)
}

/** Makes an image of large shapes with grain, about as large as a phone's photo. */
async function photo(): Promise<Buffer> {
  const noise = (width: number, height: number, sigma: number) =>
    sharp({ create: { width, height, channels: 3, background: 'gray', noise: { type: 'gaussian', mean: 128, sigma } } })
      .png({ compressionLevel: 1 })
      .toBuffer()
  const shapes = await sharp(await noise(40, 30, 60))
    .resize(4000, 3000, { kernel: 'cubic' })
    .png({ compressionLevel: 1 })
    .toBuffer()
  return sharp(shapes)
    .composite([{ input: await noise(4000, 3000, 8), blend: 'soft-light' }])
    .jpeg({ quality: 90 })
    .toBuffer()
}

async function upload(server: Running, image: Buffer, count: number): Promise<string[]> {
  const form = new FormData()
  for (let n = 0; n < count; n++) form.append('files', new Blob([new Uint8Array(image)]), 'a.jpg')
  const response = await fetch(server.url + UPLOAD, { method: 'POST', body: form })
  if (!response.ok) throw new WrongResult(`The upload got ${response.status}: ${await response.text()}`)
  return ((await response.json()) as { image_paths: string[] }).image_paths
}
