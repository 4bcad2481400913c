import { createCipheriv, createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { run } from './process.ts'

const SCRIPT = fileURLToPath(new URL('wrk.lua', import.meta.url))
const IMAGE = readFileSync(new URL('../docs/images/image1.jpg', import.meta.url))
const BOUNDARY = 'bench-boundary-7d1f0c'
export const MULTIPART = `multipart/form-data; boundary=${BOUNDARY}`

/** The request that wrk repeats on each of its connections. */
export interface Load {
  readonly url: string
  readonly connections: number
  readonly method?: 'GET' | 'POST' | 'PUT'
  /** Path of the file with the body, and its type. */
  readonly body?: string
  readonly type?: string
  /** Start of the paths of objects to put, each under a new name. */
  readonly keys?: string
}

export interface LoadResult {
  readonly requests: number
  readonly seconds: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  /** Responses with a status above 399. */
  readonly refused: number
}

/**
 * Makes a JPEG of exactly this many bytes, whose compressed data is mostly noise: none of the servers decodes it. Another seed gives other
 * noise.
 */
export function makeJpeg(bytes: number, seed = 0): Buffer {
  const start = IMAGE.subarray(0, -2)
  const noise = createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16)).update(
    Buffer.alloc(bytes - start.length - END_OF_IMAGE.length),
  )
  // As an encoder does, so that no byte is taken for a marker (T.81 section F.1.2.3)
  for (let at = noise.indexOf(0xff); at >= 0; at = noise.indexOf(0xff, at + 2)) noise[at + 1] = 0
  if (noise.at(-1) === 0xff) noise[noise.length - 1] = 0
  return Buffer.concat([start, noise, END_OF_IMAGE])
}

const END_OF_IMAGE = Buffer.from([0xff, 0xd9])

/** Makes a JPEG like that of a phone, of 200 KB or a little more or less: its Exif data says which phone, when, and where. */
export async function makePhoto(): Promise<Buffer> {
  const noise = { type: 'gaussian', mean: 128, sigma: 60 } as const
  return await sharp({ create: { width: 1440, height: 1080, channels: 3, background: '#888', noise } })
    .blur(2)
    .withExif({
      IFD0: { Make: 'Bench', Model: 'Phone', Software: '1.0', DateTime: '2024:03:20 10:30:00' },
      IFD2: { DateTimeOriginal: '2024:03:20 10:30:00', FNumber: '28/10', ExposureTime: '1/250', LensModel: 'Lens' },
      IFD3: {
        GPSLatitudeRef: 'N',
        GPSLatitude: '47/1 59/1 15/1',
        GPSLongitudeRef: 'E',
        GPSLongitude: '11/1 14/1 4/1',
        GPSAltitude: '500/1',
      },
    })
    .jpeg()
    .toBuffer()
}

/** Returns what comes before image `number`, from 1, in the body of an upload. */
export function partHead(number: number): string {
  const disposition = `Content-Disposition: form-data; name="files"; filename="${number}.jpg"`
  return `${number === 1 ? '' : '\r\n'}--${BOUNDARY}\r\n${disposition}\r\nContent-Type: image/jpeg\r\n\r\n`
}

/** What comes after the last image. */
export const BODY_END = `\r\n--${BOUNDARY}--\r\n`

/** Writes the body of an upload. */
export function writeUpload(path: string, images: readonly Buffer[]): void {
  const parts = images.flatMap((content, index) => [Buffer.from(partHead(index + 1)), content])
  writeFileSync(path, Buffer.concat([...parts, Buffer.from(BODY_END)]))
}

export function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/**
 * Runs wrk. Counts half of the requests that are under way at the end: with slow servers they are many.
 *
 * @throws {Error} when a connection broke
 */
export async function wrk(load: Load, seconds: number): Promise<LoadResult> {
  const env: NodeJS.ProcessEnv = { PATH: process.env.PATH, BENCH_METHOD: load.method ?? 'GET' }
  if (load.body !== undefined) env.BENCH_BODY = load.body
  if (load.type !== undefined) env.BENCH_TYPE = load.type
  if (load.keys !== undefined) env.BENCH_KEYS = load.keys
  const args = ['-t1', `-c${load.connections}`, `-d${seconds}s`, '--timeout', '60s', '-s', SCRIPT, load.url]
  const { stdout } = await run('wrk', args, { env })
  const line = /^BENCH (.*)$/m.exec(stdout)?.[1]
  if (line === undefined) throw new Error(`wrk said nothing: ${stdout}`)
  const result = JSON.parse(line) as Record<'requests' | 'microseconds' | 'broken' | 'refused' | 'p50' | 'p99', number>
  if (result.broken > 0) throw new Error(`${load.url} failed: ${line}`)
  return {
    requests: result.requests + load.connections / 2,
    seconds: result.microseconds / 1e6,
    p50: result.p50 / 1000,
    p99: result.p99 / 1000,
    refused: result.refused,
  }
}

/** Makes a request with curl. Writes the response to a file, since it can be large. */
export async function curl(
  url: string,
  output: string,
  ...args: string[]
): Promise<{ firstByte: number; seconds: number }> {
  const format = '%{http_code} %{time_starttransfer} %{time_total}'
  const { stdout } = await run('curl', ['-sS', '-o', output, '-w', format, '-H', 'Expect:', ...args, url])
  const [status, firstByte = 0, seconds = 0] = stdout.split(' ').map(Number)
  if (status !== 200) throw new Error(`${url} responded ${status}: ${readFileSync(output, 'utf8').slice(0, 500)}`)
  return { firstByte, seconds }
}
