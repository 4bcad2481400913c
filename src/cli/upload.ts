import { constants, createReadStream, createWriteStream } from 'node:fs'
import { access, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { type Client, ImageReadError, type ImageSource, type UploadOptions } from '../../packages/client/src/index.ts'
import { isBroken, onServer, type ServerOptions, sentenceOf, urlOf } from './on-server.ts'
import { StatusLine } from './status-line.ts'
import { UsageError } from './stopped.ts'

/** The path that means standard input. */
const STANDARD_INPUT = '-'

const MIB = 2 ** 20

interface ImageFile extends ImageSource {
  readonly path: string
}

/** Uploads files as one story, and prints its id and the URLs of its images. */
export async function upload(paths: readonly string[], options: ServerOptions, signal: AbortSignal): Promise<boolean> {
  return onServer(options, async (client) => {
    // Before standard input, which may take long to arrive
    const named = await Promise.all(paths.map((path) => (path === STANDARD_INPUT ? undefined : openFile(path))))
    const input = paths.includes(STANDARD_INPUT) ? await keepInput(paths, signal) : undefined
    try {
      const files = await Promise.all(named.map((file, index) => file ?? openFile(input ?? (paths[index] as string))))
      await send(client, files, options, signal)
      return true
    } finally {
      if (input) await rm(dirname(input), { recursive: true, force: true })
    }
  })
}

async function send(
  client: Client,
  files: readonly ImageFile[],
  options: ServerOptions,
  signal: AbortSignal,
): Promise<void> {
  const { server, json } = options
  let line = new StatusLine()
  let begun = 0
  const total = files.reduce((sum, { size }) => sum + size, 0)
  const onProgress: UploadOptions['onProgress'] = ({ images }) => {
    line.show(() =>
      progressBar(
        images.reduce((sum, sent) => sum + sent),
        total,
      ),
    )
    if (process.stderr.isTTY) return
    for (const last = images.findLastIndex((sent) => sent > 0); begun <= last; begun++)
      console.error(`Sending ${begun + 1} of ${files.length}: ${basename(files[begun]?.path ?? '')}`)
  }
  const onRetry: UploadOptions['onRetry'] = ({ error, retry, delay }) => {
    // A server that was there can come back
    if (retry === 1 && error instanceof TypeError && !isBroken(error)) throw error
    line.end()
    console.error(`${sentenceOf(error, server)}; trying again in ${Math.ceil(delay / 1000)} s`)
    line = new StatusLine()
    begun = 0
  }
  try {
    const story = await client.upload(files, { signal, onProgress, onRetry })
    line.end()
    if (!process.stderr.isTTY) console.error(`Sent ${files.length} of ${files.length}`)
    if (json) console.log(JSON.stringify(story))
    else console.log([story.story_id, ...story.image_paths.map((path) => `  ${urlOf(path, options)}`)].join('\n'))
  } catch (error) {
    if (error instanceof ImageReadError)
      throw new Error(`${files[error.index]?.path} can't be read`, { cause: error.cause })
    throw error
  } finally {
    line.end()
  }
}

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

async function openFile(path: string): Promise<ImageFile> {
  const found = await access(path, constants.R_OK)
    .then(() => stat(path))
    .catch((error: Error) => {
      throw new UsageError(`${path} can't be read: ${error.message}`)
    })
  if (!found.isFile()) throw new UsageError(`${path} is not a file`)
  const { size } = found
  return { path, size, stream: () => createReadStream(path, { end: Math.max(0, size - 1) }) }
}

function progressBar(sent: number, total: number): string {
  const share = total === 0 ? 1 : sent / total
  const filled = Math.round(30 * share)
  const bar = `${'#'.repeat(filled)}${'.'.repeat(30 - filled)}`
  return `[${bar}] ${Math.floor(100 * share)} %  ${(sent / MIB).toFixed(1)} of ${(total / MIB).toFixed(1)} MiB`
}
