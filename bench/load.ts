import { createCipheriv, createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
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

/** Makes a valid JPEG of exactly this many bytes: noise follows the end of the image. Another seed gives other noise. */
export function makeJpeg(bytes: number, seed = 0): Buffer {
  const noise = createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16))
  return Buffer.concat([IMAGE, noise.update(Buffer.alloc(bytes - IMAGE.length))])
}

/** Returns what comes before image `number`, from 1, in the body of an upload. */
export function partHead(number: number): string {
  const disposition = `Content-Disposition: form-data; name="files"; filename="${number}.jpg"`
  return `${number === 1 ? '' : '\r\n'}--${BOUNDARY}\r\n${disposition}\r\nContent-Type: image/jpeg\r\n\r\n`
}

/** What comes after the last image. */
export const BODY_END = `\r\n--${BOUNDARY}--\r\n`

/** Writes the body of an upload. Returns the digests of its images. */
export function writeUpload(path: string, count: number, bytes: number): string[] {
  const images = Array.from({ length: count }, (_, index) => makeJpeg(bytes, index))
  const parts = images.flatMap((content, index) => [Buffer.from(partHead(index + 1)), content])
  writeFileSync(path, Buffer.concat([...parts, Buffer.from(BODY_END)]))
  return images.map(digest)
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
