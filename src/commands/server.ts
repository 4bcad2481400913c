import { readFile } from 'node:fs/promises'
import { type Dispatcher, request } from 'undici'
import { parseRetryAfter } from '../../packages/client/src/retry.ts'
import { UsageError } from './stopped.ts'

/** What every command that talks to a server is told. */
export interface ServerOptions {
  /** Ends with a slash. */
  readonly server: URL
  readonly keyFile?: string
  readonly json?: boolean
}

/** An answer that is no success; the message is the server's own sentence. */
export class Refused extends Error {
  constructor(
    detail: string,
    readonly status: number,
    /** Seconds, where the server says that another try makes sense. */
    readonly retryAfter: number | undefined,
  ) {
    super(detail)
  }
}

/** Why there is no connection, by the codes of Node and undici. */
const ABSENT: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no such host',
  EHOSTUNREACH: 'no network leads there',
  ENETUNREACH: 'no network leads there',
  ERR_SSL_WRONG_VERSION_NUMBER: 'what listens there has no TLS, so its URL begins with http://',
}

/** What can happen to one, and does not happen each time. */
const BROKEN: Readonly<Record<string, string>> = {
  EAI_AGAIN: 'its name could not be looked up',
  ECONNRESET: 'the connection broke',
  EPIPE: 'the connection broke',
  UND_ERR_SOCKET: 'the connection broke',
  ETIMEDOUT: 'it took too long',
  UND_ERR_CONNECT_TIMEOUT: 'it took too long',
  UND_ERR_HEADERS_TIMEOUT: 'it took too long',
  UND_ERR_BODY_TIMEOUT: 'it took too long',
}

/** There was no answer. */
export class NoAnswer extends Error {
  /** Whether there can be one the next time. */
  readonly canPass: boolean

  constructor(server: URL, { code, message }: { readonly code: string; readonly message: string }) {
    // Where each of several addresses failed, there is no message
    super(`No answer from ${server.origin}: ${BROKEN[code] ?? ABSENT[code] ?? (message.trim() || code)}`)
    this.canPass = code in BROKEN
  }
}

export interface Answer<Body> {
  readonly body: Body
  readonly headers: Dispatcher.ResponseData['headers']
}

/** One server, under the key that the command was given. */
export class Server {
  readonly #url: URL
  readonly #headers: Readonly<Record<string, string>>
  readonly #signal: AbortSignal

  private constructor(url: URL, key: string | undefined, signal: AbortSignal) {
    this.#url = url
    this.#headers = key === undefined ? {} : { authorization: `Bearer ${key}` }
    this.#signal = signal
  }

  /** @throws {UsageError} when the key can't be read or used */
  static async open({ server, keyFile }: ServerOptions, signal: AbortSignal): Promise<Server> {
    const key = keyFile === undefined ? process.env.STORY_IMAGES_KEY : await readKey(keyFile)
    if (key && !/^[!-~]+$/.test(key))
      throw new UsageError('The API key has to be visible ASCII characters, without spaces or a line end')
    return new Server(server, key || undefined, signal)
  }

  /** The URL of a path that an answer has named. */
  urlOf(path: string): string {
    return new URL(path.replace(/^\//, ''), this.#url).href
  }

  /**
   * @param path below the server's URL, without a slash in front
   * @param member what the body has or, if it is an array, each of its items
   * @throws {Refused | NoAnswer} or the signal's reason, or the body's own error, which has no `code`
   */
  async ask<Body>(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    member: string,
    upload?: { headers: Record<string, string>; body: AsyncIterable<Uint8Array> },
  ): Promise<Answer<Body>> {
    const headers = { ...this.#headers, ...upload?.headers }
    try {
      const answer = await request(new URL(path, this.#url), {
        method,
        headers,
        body: upload ? (upload.body as unknown as Dispatcher.DispatchOptions['body'] & object) : null,
        signal: this.#signal,
      })
      const text = await answer.body.text()
      if (answer.statusCode !== 200) throw refusal(answer, text)
      const body = parse(text)
      // Or a deletion would be said to be done by whoever answers 200
      if (![body].flat().every((item) => typeof item === 'object' && item !== null && member in item))
        throw new Error(`${this.#url.origin} is no story-images: its answer is another one`)
      return { body: body as Body, headers: answer.headers }
    } catch (error) {
      if (this.#signal.aborted) throw this.#signal.reason
      const { code, message } = error as NodeJS.ErrnoException
      throw code === undefined ? error : new NoAnswer(this.#url, { code, message })
    }
  }
}

async function readKey(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    throw new UsageError(`The key file can't be read: ${(error as Error).message}`)
  }
}

function refusal({ statusCode, headers }: Dispatcher.ResponseData, text: string): Refused {
  const { detail } = (parse(text) ?? {}) as { detail?: unknown }
  const { location } = headers
  return new Refused(
    // Without one it is the answer of something in between
    typeof detail === 'string'
      ? detail
      : `The server answered ${statusCode}${location ? `: it is at ${location}` : ''}`,
    statusCode,
    parseRetryAfter([headers['retry-after']].flat()[0]),
  )
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
