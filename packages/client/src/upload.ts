import type { components } from './api.ts'
import { ApiError, contentOf, has } from './error.ts'
import { Form, type ImageSource, randomKey, type UploadProgress } from './form.ts'
import { type FormRequest, send } from './send.ts'

export type Story = components['schemas']['Story']

export interface Retry {
  /** Why the try before has failed: an `ApiError`, or a `TypeError` without a connection. */
  readonly error: Error
  /** The number of the retry, from 1. */
  readonly retry: number
  /** Milliseconds until the retry. */
  readonly delay: number
  /** Ends the delay. */
  readonly retryNow: () => void
}

export interface UploadOptions {
  /** Called at the beginning of each try, with no bytes sent, and while the request is sent. */
  readonly onProgress?: ((progress: UploadProgress) => void) | undefined
  /** Called before the delay of each retry. What it throws ends the upload. */
  readonly onRetry?: ((retry: Retry) => void) | undefined
  /** Ends the upload, and the delay before a retry. */
  readonly signal?: AbortSignal | undefined
  /** The `upload_url` of a ticket, which needs no key. A ticket makes one story, whatever the idempotency key is. */
  readonly uploadUrl?: string | undefined
  /** All uploads with the same key make one story: 1 to 255 visible ASCII characters, random by default. */
  readonly idempotencyKey?: string | undefined
  /** The most retries; 4 by default. */
  readonly retries?: number | undefined
  /** The most seconds that the server may ask for before a retry; 60 by default. */
  readonly maxRetryAfter?: number | undefined
}

/** The most milliseconds before the first retry; twice as many before each further one. */
const FIRST_DELAY_MS = 1000

/**
 * Uploads images as one story. Retries where that can help; the idempotency key makes one story of all tries.
 *
 * @throws {ApiError} for a response that is not a success
 * @throws {ImageReadError} for an image that can't be read
 * @throws {TypeError} without a connection, as `fetch` does
 * @throws the reason of the signal
 */
export async function upload(
  { url, headers, fetch }: Pick<FormRequest, 'url' | 'headers' | 'fetch'>,
  images: Iterable<Blob | ImageSource>,
  options: UploadOptions = {},
): Promise<Story> {
  const { onProgress, onRetry, signal, idempotencyKey = randomKey(), retries = 4, maxRetryAfter = 60 } = options
  const form = new Form(images)
  const allHeaders = { ...headers, 'idempotency-key': idempotencyKey }
  // Headers or a URL that can't be sent fail here, without a retry
  new Request(url, { headers: allHeaders })
  for (let retry = 1; ; retry++) {
    signal?.throwIfAborted()
    onProgress?.(form.progress(0))
    const failed = new AbortController()
    try {
      const sending = withSignal(signal, failed.signal)
      const response = await send({ url, headers: allHeaders, form, signal: sending, onProgress, fetch })
      return contentOf(response, await response.text(), isStory)
    } catch (error) {
      // Or the rest of the body would still be sent
      failed.abort()
      const delay = retryDelay(error, retry, maxRetryAfter)
      if (signal?.aborted || delay === undefined) throw error
      await form.checkImages()
      if (retry > retries) throw error
      const skip = new AbortController()
      onRetry?.({ error: error as Error, retry, delay, retryNow: () => skip.abort() })
      await sleep(delay, withSignal(signal, skip.signal))
    }
  }
}

function withSignal(signal: AbortSignal | undefined, other: AbortSignal): AbortSignal {
  return signal ? AbortSignal.any([signal, other]) : other
}

function isStory(content: unknown): content is Story {
  return has(content, 'image_paths')
}

/** Returns milliseconds; undefined if another try would not help. */
function retryDelay(error: unknown, retry: number, maxRetryAfter: number): number | undefined {
  // Clients that failed together do not come back together
  const delay = FIRST_DELAY_MS * 2 ** (retry - 1) * (0.5 + Math.random() / 2)
  if (!(error instanceof ApiError)) return delay
  const { isTemporary, retryAfter = 0 } = error
  return isTemporary && retryAfter <= maxRetryAfter ? Math.max(delay, retryAfter * 1000) : undefined
}

/** Waits, or returns as soon as the signal is aborted. */
function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, signal.aborted ? 0 : milliseconds)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
