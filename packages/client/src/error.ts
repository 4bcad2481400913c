import { parseRetryAfter, TRY_AGAIN } from './retry.ts'

/** A response that is not a success. The message is the sentence that the server sent. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** The sentence that says what was wrong. Its wording may change between releases; the status does not. */
  readonly detail: string
  readonly status: number
  /** Seconds after which to try again, or undefined if the server does not say. */
  readonly retryAfter: number | undefined

  constructor(status: number, detail: string, retryAfter: string | null) {
    super(detail)
    this.detail = detail
    this.status = status
    this.retryAfter = parseRetryAfter(retryAfter)
  }

  /** Whether the same request can succeed later. */
  get isTemporary(): boolean {
    return TRY_AGAIN.has(this.status)
  }
}

/** An image that could not be read while it was sent: its file has changed or is gone. The cause says more. */
export class ImageReadError extends Error {
  override readonly name = 'ImageReadError'
  /** The place of the image among those of the upload, from 0. */
  readonly index: number

  constructor(index: number, cause: unknown) {
    super(`File ${index + 1} can't be read`, { cause })
    this.index = index
  }
}

/**
 * Parses the body of a response, which may come from a proxy instead of the server.
 *
 * @throws {ApiError} for a response that is not a success, or not one of story-images
 */
export function contentOf<Content>(
  response: Response,
  body: string,
  isExpected: (content: unknown) => content is Content,
): Content {
  const content = parse(body)
  if (!response.ok) throw errorOf(response, content)
  // Any other server may respond to a deletion with 200
  if (!isExpected(content)) throw new ApiError(response.status, 'The response is not from story-images', null)
  return content
}

/** Returns whether a content is an object with this member. */
export function has(content: unknown, member: string): boolean {
  return typeof content === 'object' && content !== null && member in content
}

function errorOf({ status, headers, type }: Response, content: unknown): ApiError {
  // Browsers hide the status and the target of a redirect that is not followed
  if (type === 'opaqueredirect' || (status >= 300 && status < 400)) {
    const location = headers.get('location')
    return new ApiError(status, `The server responded with a redirect${location ? ` to ${location}` : ''}`, null)
  }
  const { detail } = (content ?? {}) as { detail?: unknown }
  return new ApiError(
    status,
    typeof detail === 'string' ? detail : `The server responded with status ${status}`,
    headers.get('retry-after'),
  )
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}
