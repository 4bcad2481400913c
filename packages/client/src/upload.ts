import type { components } from './api.ts'
import { ApiError, contentOf } from './error.ts'
import { TRY_AGAIN } from './retry.ts'
import { type OnProgress, send } from './send.ts'

export type Story = components['schemas']['Story']

export interface UploadOptions {
  /** Called while the body is sent; it begins anew with each try. */
  readonly onProgress?: OnProgress | undefined
  /** Ends the upload, and the wait for another try. */
  readonly signal?: AbortSignal | undefined
  /** The `upload_url` of a ticket, which needs no key. It makes one story, whatever the idempotency key is. */
  readonly uploadUrl?: string | undefined
  /** What makes one story of all tries, also of later ones: 1 to 255 visible ASCII characters. A random one unless given. */
  readonly idempotencyKey?: string | undefined
  /** How often a try that failed is made again; 3 unless given. */
  readonly retries?: number | undefined
}

/** Milliseconds before the first try that follows one whose answer did not say when. Each further one waits twice as long. */
const FIRST_WAIT_MS = 500
/** A server that asks for more patience than this, in seconds, gets no further try. */
const LONGEST_WAIT = 60

/**
 * Uploads images as one story. A try that got no answer, or the answer that another one makes sense, is made again: the idempotency
 * key sees to it that there is one story.
 *
 * @throws {ApiError} the refusal of the server
 * @throws {TypeError} when no connection holds, as `fetch` does
 * @throws the reason of the signal
 */
export async function upload(
  to: Pick<Parameters<typeof send>[0], 'url' | 'headers' | 'fetch'>,
  images: Iterable<Blob>,
  { onProgress, signal, idempotencyKey = randomKey(), retries = 3 }: UploadOptions = {},
): Promise<Story> {
  const body = multipart(images)
  const headers = { ...to.headers, 'content-type': body.type, 'idempotency-key': idempotencyKey }
  // What can never be sent fails here, and not once for each try
  new Request(to.url, { headers })
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted()
    try {
      const response = await send({ ...to, headers, body, signal, onProgress })
      return contentOf(response, await response.text(), isStory)
    } catch (error) {
      const wait = waitAfter(error, attempt)
      if (signal?.aborted || attempt >= retries || wait === undefined) throw error
      await sleep(wait, signal)
    }
  }
}

function isStory(content: unknown): content is Story {
  return typeof content === 'object' && content !== null && 'image_paths' in content
}

/** Milliseconds; nothing when another try would not help. */
function waitAfter(error: unknown, attempt: number): number | undefined {
  const usual = FIRST_WAIT_MS * 2 ** attempt * (1 + Math.random())
  if (!(error instanceof ApiError)) return usual
  const { status, retryAfter } = error
  if (!TRY_AGAIN.has(status) || (retryAfter ?? 0) > LONGEST_WAIT) return undefined
  // Not all at the same moment, and not at once when the moment has passed
  return Math.max(usual, (retryAfter ?? 0) * 1000)
}

function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      if (signal?.aborted) reject(signal.reason)
      else resolve()
    }
    const timer = setTimeout(end, milliseconds)
    signal?.addEventListener('abort', end)
  })
}

/** A form with the images in it (RFC 7578). The bytes stay where they are, in a file for instance, until they are sent. */
function multipart(images: Iterable<Blob>): Blob {
  const boundary = `story-images-${randomKey()}`
  const pieces: BlobPart[] = []
  for (const image of images) {
    // The server looks at neither, but without a name the part would be a text field
    const head =
      'Content-Disposition: form-data; name="files"; filename="image"\r\nContent-Type: application/octet-stream'
    pieces.push(`--${boundary}\r\n${head}\r\n\r\n`, image, '\r\n')
  }
  pieces.push(`--${boundary}--\r\n`)
  return new Blob(pieces, { type: `multipart/form-data; boundary=${boundary}` })
}

/** 128 random bits. `crypto.randomUUID` is only there for pages of secure origins. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
