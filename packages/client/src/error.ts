import { parseRetryAfter } from './retry.ts'

/** An answer that is no success. Its message is the sentence that the server gave. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** The sentence that says what was wrong; the wording may change between releases, the status does not. */
  readonly detail: string
  readonly status: number
  /** Seconds after which it makes sense to try again; nothing when another try would not help. */
  readonly retryAfter: number | undefined

  constructor(status: number, detail: string, retryAfter: string | null) {
    super(detail)
    this.detail = detail
    this.status = status
    this.retryAfter = parseRetryAfter(retryAfter)
  }
}

/**
 * Parses the body of a response, which a proxy in between may have written.
 *
 * @throws {ApiError} for a refusal, and for a body that is not what the server sends
 */
export function contentOf<Content>(
  response: Response,
  body: string,
  isExpected: (content: unknown) => content is Content,
): Content {
  if (!response.ok) throw errorOf(response, body)
  let content: unknown
  try {
    content = JSON.parse(body)
  } catch {
    throw new ApiError(response.status, 'The answer is not JSON, so it is not one of story-images', null)
  }
  if (!isExpected(content)) throw new ApiError(response.status, 'The answer is not one of story-images', null)
  return content
}

function errorOf({ status, headers, type }: Response, body: string): ApiError {
  // Browsers hide the status of a redirect that is not followed
  if (type === 'opaqueredirect' || (status >= 300 && status < 400))
    return new ApiError(status, 'The server answered with a redirect, which an upload does not follow', null)
  let detail: unknown
  try {
    detail = JSON.parse(body).detail
  } catch {
    // Not the server's
  }
  return new ApiError(
    status,
    typeof detail === 'string' ? detail : `The server answered with status ${status}`,
    headers.get('retry-after'),
  )
}
