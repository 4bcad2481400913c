import { TRY_AGAIN } from '../packages/client/src/retry.ts'
import { keyHeader, needsKey, Refusal, refusal, Unreachable } from './api.ts'

export interface Uploaded {
  readonly story_id: string
  readonly image_paths: readonly string[]
}

/**
 * Sends files as one story. With XMLHttpRequest, since `fetch` does not say how much is sent.
 *
 * @param onProgress with the bytes of each file that were sent so far
 * @throws {Refusal | Unreachable}
 */
export function sendStory(
  files: readonly File[],
  idempotencyKey: string,
  onProgress: (sent: readonly number[]) => void,
  signal: AbortSignal,
): Promise<Uploaded> {
  const form = new FormData()
  for (const file of files) form.append('files', file)
  const request = new XMLHttpRequest()
  request.open('POST', 'api/v1/images/upload')
  request.setRequestHeader('Idempotency-Key', idempotencyKey)
  for (const [name, value] of Object.entries(keyHeader())) request.setRequestHeader(name, value)
  const abort = () => request.abort()
  signal.addEventListener('abort', abort)
  return new Promise<Uploaded>((resolve, reject) => {
    request.upload.onprogress = ({ loaded, total }) => onProgress(shares(files, loaded, total))
    request.onload = () => {
      const story = request.status === 200 ? readStory(request.responseText) : undefined
      if (story) resolve(story)
      else reject(refusal(request.status, request.responseText, request.getResponseHeader('retry-after')))
    }
    request.onerror = () => reject(new Unreachable())
    request.onabort = () => reject(signal.reason)
    request.send(form)
  }).finally(() => signal.removeEventListener('abort', abort))
}

/** Nothing for what is no story: a network that wants a login first answers with a page of its own, and 200. */
function readStory(body: string): Uploaded | undefined {
  try {
    const story = JSON.parse(body) as Partial<Uploaded>
    return story.story_id && story.image_paths ? (story as Uploaded) : undefined
  } catch {
    return undefined
  }
}

/** The files go one after another, each with the head of its part in front. */
function shares(files: readonly File[], loaded: number, total: number): number[] {
  const bytes = files.reduce((sum, { size }) => sum + size, 0)
  const head = Math.max(0, total - bytes) / files.length
  let start = 0
  return files.map(({ size }) => {
    const sent = Math.max(0, Math.min(size, loaded - start - head))
    start += head + size
    return sent
  })
}

/** Whether the same upload, sent again, is likely to succeed: also once a full store (507, RFC 4918 section 11.5) has room again. */
export function canHeal(error: unknown): boolean {
  if (error instanceof Unreachable) return true
  return error instanceof Refusal && (TRY_AGAIN.has(error.status) || error.status === 507)
}

/** Whether it can succeed at all: what the server says of the files themselves it will say again. */
export function mayHeal(error: unknown): boolean {
  return canHeal(error) || needsKey(error) || !(error instanceof Refusal && error.status >= 400 && error.status < 500)
}
