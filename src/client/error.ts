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
    this.retryAfter = retryAfter !== null && /^\d+$/.test(retryAfter) ? Number(retryAfter) : undefined
  }
}

/** Of an answer with its body as text, which a proxy in between may have written. */
export function errorOf({ status, headers }: Response, body: string): ApiError {
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
