import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { type Contender, ipx, ours } from '../contenders.ts'
import { type Running, start } from '../process.ts'
import { type Figure, WrongResult } from '../result.ts'
import { type Row, UPLOAD } from '../row.ts'
import { newFolder } from '../setup.ts'
import { stopAll } from '../side-by-side.ts'

const WIDTH = 640
const FORMATS = ['jpeg', 'webp'] as const
type Format = (typeof FORMATS)[number]

/** Requests of each kind in a round, and of them the one that is told: 95 of 100 are not slower. */
const REQUESTS = 20
const percentile = (times: number[]) => times.toSorted((a, b) => a - b)[Math.ceil(times.length * 0.95) - 1] as number

const first = (format: Format): Figure => ({ name: `First ${format.toUpperCase()}`, unit: 'ms', better: 'less' })

export const variants: Row = {
  name: 'variants',
  group: 'Smaller images',
  title: () => `a 12-megapixel JPEG, ${WIDTH} pixels wide, one request at a time: the 95th percentile`,
  figures: [...FORMATS.map(first), { name: 'Repeated', unit: 'ms', better: 'less' }],
  async measure({ effort }) {
    const picture = await photo()
    const folder = await newFolder('ipx')
    writeFileSync(join(folder, '1.jpg'), picture)
    const peer = await start((port) => ipx.command({ folder }, port))
    const place = { folder: await newFolder('variants') }
    const own = await start((port) => ours.command(place, port))
    try {
      const entrants = [
        { contender: ours, url: (path: string, format: Format) => `${own.url}${path}?w=${WIDTH}&format=${format}` },
        { contender: ipx, url: (_: string, format: Format) => `${peer.url}/f_${format},w_${WIDTH},q_80/1.jpg` },
      ].map((entrant) => ({ ...entrant, samples: [] as number[][] }))
      // The first picture of all, for which a worker is started, is none of those that are measured
      for (let round = -1; round < effort.rounds; round++) {
        const count = round < 0 ? 2 : REQUESTS
        const paths = await upload(own, picture, count)
        for (const [index, format] of FORMATS.entries()) await inTurn(entrants, paths, format, round < 0 ? -1 : index)
        await inTurn(entrants, paths.fill(paths[0] as string), 'webp', round < 0 ? -1 : FORMATS.length)
      }
      return {
        contenders: entrants.map(({ contender: { name, role }, samples }) => ({ name, role, samples })),
        notes: [
          'ipx keeps nothing, and is meant to stand behind a cache: to it a repeated request is a first one.',
          'Both encode with a quality of 80 and one thread; story-images with less priority than others on the machine, and it stores the result durably before it answers.',
        ],
      }
    } finally {
      await stopAll([own, peer])
    }
  },
}

interface Measured {
  readonly contender: Contender
  readonly url: (path: string, format: Format) => string
  readonly samples: number[][]
}

/** One request to each entrant, again and again. */
async function inTurn(entrants: Measured[], paths: string[], format: Format, figure: number): Promise<void> {
  const times = entrants.map(() => [] as number[])
  for (const path of paths) {
    for (const [index, { contender, url }] of entrants.entries()) {
      const begin = performance.now()
      const answer = await fetch(url(path, format))
      const bytes = Buffer.from(await answer.arrayBuffer())
      times[index]?.push(performance.now() - begin)
      const { width, height } = answer.ok ? await sharp(bytes).metadata() : { width: 0, height: 0 }
      const isRight = answer.headers.get('content-type') === `image/${format}` && width === WIDTH && height === 480
      if (!isRight) throw new WrongResult(`${contender.name} answered ${answer.status} with ${width} × ${height}`)
    }
  }
  if (figure < 0) return
  for (const [index, { samples }] of entrants.entries()) {
    samples[figure] ??= []
    samples[figure].push(percentile(times[index] ?? []))
  }
}

/** Large shapes with grain on them, of about the size of a phone's picture. */
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

async function upload(server: Running, picture: Buffer, count: number): Promise<string[]> {
  const form = new FormData()
  for (let n = 0; n < count; n++) form.append('files', new Blob([new Uint8Array(picture)]), 'a.jpg')
  const answer = await fetch(server.url + UPLOAD, { method: 'POST', body: form })
  if (!answer.ok) throw new WrongResult(`The upload was answered ${answer.status}: ${await answer.text()}`)
  return ((await answer.json()) as { image_paths: string[] }).image_paths
}
