import { parseRetryAfter } from '../packages/client/src/retry.ts'
import { askForKey, currentKey } from './key.ts'

/** An answer that is an error; its message is the server's sentence. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    detail: string,
    /** Seconds. */
    readonly retryAfter: number | undefined,
  ) {
    super(detail)
  }
}

/** No answer came. */
export class Unreachable extends Error {
  constructor() {
    super(navigator.onLine ? 'The server can’t be reached.' : 'This device is offline.')
  }
}

/** Whether another API key could open what was refused. */
export function needsKey(error: unknown): error is Refusal {
  return error instanceof Refusal && (error.status === 401 || error.status === 403)
}

/**
 * Sends a request to the API, and asks for an API key when it needs one.
 *
 * @param path relative to the page, which may be behind a prefix of a proxy
 * @param body to be sent as JSON
 * @throws {Refusal | Unreachable}
 */
export async function call(method: string, path: string, body?: unknown): Promise<Response> {
  for (;;) {
    try {
      return await send(method, path, body)
    } catch (error) {
      if (!needsKey(error) || !(await askForKey(error.message))) throw error
    }
  }
}

async function send(method: string, path: string, body: unknown): Promise<Response> {
  const headers = new Headers(keyHeader())
  if (body !== undefined) headers.set('content-type', 'application/json')
  const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) }
  const answer = await fetch(path, init).catch(() => {
    throw new Unreachable()
  })
  if (!answer.ok) throw refusal(answer.status, await answer.text(), answer.headers.get('retry-after'))
  return answer
}

export function keyHeader(): Record<string, string> {
  const key = currentKey()
  return key === null ? {} : { authorization: `Bearer ${key}` }
}

/** In words for people: the server tells programs how to send a key, and a proxy in front of it may answer no JSON. */
export function refusal(status: number, body: string, retryAfter: string | null): Refusal {
  let detail = `The server answered with status ${status}.`
  try {
    const told: unknown = JSON.parse(body).detail
    if (typeof told === 'string') detail = /[.!?]$/.test(told) ? told : `${told}.`
  } catch {
    // The status has to do
  }
  if (status === 401 && currentKey() === null) detail = 'This needs an API key.'
  return new Refusal(status, detail, parseRetryAfter(retryAfter))
}
