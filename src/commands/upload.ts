import { randomUUID } from 'node:crypto'
import { constants, createReadStream, createWriteStream } from 'node:fs'
import { access, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { TRY_AGAIN } from '../../packages/client/src/retry.ts'
import { NoAnswer, Refused, Server, type ServerOptions } from './server.ts'
import { StatusLine } from './status-line.ts'
import { UsageError } from './stopped.ts'

/** How often an upload is sent at most, and the longest wait before the next time, in seconds: a server that asks for more is not asked again. */
const TRIES = 5
const MOST_WAIT = 60

const MIB = 2 ** 20

interface Uploaded {
  readonly story_id: string
  readonly image_paths: readonly string[]
  readonly image_count: number
}

interface File {
  readonly path: string
  /** In bytes. */
  readonly size: number
}

/**
 * Uploads files as one story. What broke on the way is sent again: the key makes one story of all tries (docs/api.md, "Send an
 * upload again").
 */
export async function upload(paths: readonly string[], options: ServerOptions, signal: AbortSignal): Promise<boolean> {
  const server = await Server.open(options, signal)
  // First, so that a path that can't be read is told before standard input is
  const named = await Promise.all(paths.map((path) => (path === STANDARD_INPUT ? undefined : describe(path))))
  const input = paths.includes(STANDARD_INPUT) ? await keepInput(paths, signal) : undefined
  try {
    const files = await Promise.all(named.map((file, index) => file ?? describe(input ?? (paths[index] as string))))
    return await sendAgain(server, files, options, signal)
  } finally {
    if (input) await rm(dirname(input), { recursive: true, force: true })
  }
}

async function sendAgain(
  server: Server,
  files: readonly File[],
  options: ServerOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const key = randomUUID()
  for (let tries = 1; ; tries++) {
    const line = new StatusLine()
    try {
      const story = await send(server, files, key, line).finally(() => line.end())
      if (!process.stderr.isTTY) console.error(`Sent ${files.length} of ${files.length}`)
      if (options.json) console.log(JSON.stringify(story))
      else console.log([story.story_id, ...story.image_paths.map((path) => `  ${server.urlOf(path)}`)].join('\n'))
      return true
    } catch (error) {
      const wait = secondsToWait(error, tries)
      if (wait === undefined) throw error
      console.error(`${(error as Error).message}; trying again in ${wait} s`)
      await sleep(wait * 1000, undefined, { signal }).catch(() => {
        throw signal.reason
      })
    }
  }
}

/** The path that means standard input. */
const STANDARD_INPUT = '-'

/**
 * Keeps standard input in a file, since it may have to be sent more than once.
 *
 * @returns its path, alone in a folder
 */
async function keepInput(paths: readonly string[], signal: AbortSignal): Promise<string> {
  if (paths.filter((path) => path === STANDARD_INPUT).length > 1)
    throw new UsageError('Standard input, -, can be one of the files, and not several')
  if (process.stdin.isTTY) throw new UsageError('Standard input is a terminal; - is for bytes from a file or a pipe')
  const folder = await mkdtemp(join(tmpdir(), 'story-images-'))
  const path = join(folder, 'standard input')
  try {
    await pipeline(process.stdin, createWriteStream(path, { mode: 0o600 }), { signal })
    return path
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    if (signal.aborted) throw signal.reason
    throw new Error(`Standard input can't be kept: ${(error as Error).message}`)
  }
}

async function describe(path: string): Promise<File> {
  const found = await access(path, constants.R_OK)
    .then(() => stat(path))
    .catch((error: Error) => {
      throw new UsageError(`${path} can't be read: ${error.message}`)
    })
  if (!found.isFile()) throw new UsageError(`${path} is not a file`)
  return { path, size: found.size }
}

/** Nothing when another try makes no sense. */
function secondsToWait(error: unknown, tries: number): number | undefined {
  if (tries >= TRIES) return undefined
  const usual = 2 ** (tries - 1)
  if (error instanceof Refused) {
    const wait = Math.max(usual, error.retryAfter ?? 0)
    return TRY_AGAIN.has(error.status) && wait <= MOST_WAIT ? wait : undefined
  }
  if (!(error instanceof NoAnswer)) return undefined
  // A server that was there can come back
  return tries === 1 && !error.canPass ? undefined : usual
}

async function send(server: Server, files: readonly File[], key: string, line: StatusLine): Promise<Uploaded> {
  const boundary = `story-images-${randomUUID()}`
  const heads = files.map((_file, index) => partHead(boundary, index))
  const end = `\r\n--${boundary}--\r\n`
  const total = files.reduce((sum, { size }) => sum + size, 0)
  let sent = 0

  async function* form(): AsyncGenerator<Uint8Array> {
    for (const [index, file] of files.entries()) {
      if (!process.stderr.isTTY) console.error(`Sending ${index + 1} of ${files.length}: ${basename(file.path)}`)
      yield Buffer.from(heads[index] as string)
      for await (const chunk of bytesOf(file)) {
        sent += chunk.length
        line.show(() => progressBar(sent, total))
        yield chunk
      }
    }
    yield Buffer.from(end)
  }

  const { body } = await server.ask<Uploaded>('POST', 'api/v1/images/upload', 'image_paths', {
    headers: {
      'content-type': `multipart/form-data; boundary=${boundary}`,
      'content-length': String(total + heads.join('').length + end.length),
      'idempotency-key': key,
    },
    body: form(),
  })
  return body
}

/** RFC 7578; the server looks at the bytes, and at no name. */
function partHead(boundary: string, index: number): string {
  const disposition = `Content-Disposition: form-data; name="files"; filename="${index + 1}"`
  return `${index === 0 ? '' : '\r\n'}--${boundary}\r\n${disposition}\r\nContent-Type: application/octet-stream\r\n\r\n`
}

/** Just the bytes that were announced. */
async function* bytesOf({ path, size }: File): AsyncGenerator<Uint8Array> {
  let read = 0
  try {
    if (size > 0)
      for await (const chunk of createReadStream(path, { end: size - 1 })) {
        read += chunk.length
        yield chunk
      }
  } catch (error) {
    throw new Error(`${path} can't be read: ${(error as Error).message}`)
  }
  if (read < size) throw new Error(`${path} became shorter while it was sent`)
}

function progressBar(sent: number, total: number): string {
  const share = total === 0 ? 1 : sent / total
  const filled = Math.round(30 * share)
  const bar = `${'#'.repeat(filled)}${'.'.repeat(30 - filled)}`
  return `[${bar}] ${Math.floor(100 * share)} %  ${(sent / MIB).toFixed(1)} of ${(total / MIB).toFixed(1)} MiB`
}
