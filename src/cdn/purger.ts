import { setTimeout as sleep } from 'node:timers/promises'

/** Most stories that wait, some 2 MB. Of further ones the CDN is not told. */
export const MAX_WAITING = 20_000

/** How long deletions are gathered for one request, in milliseconds. */
const GATHER_MS = 250

/** How long a request may take, in milliseconds. */
const REQUEST_MS = 10_000

/** Tries of one request, over some 20 minutes. */
const TRIES = 12
const FIRST_DELAY_MS = 1000
const LONGEST_DELAY_MS = 5 * 60_000

/** How long `close` waits, in milliseconds. */
const CLOSE_MS = 10_000

/** A CDN that can forget the images of stories. */
export interface PurgeTarget {
  /** Most stories of one request. */
  readonly batch: number
  /** @throws {PurgeRefused} and errors of the network */
  send(ids: readonly string[], signal: AbortSignal): Promise<void>
}

export interface PurgeEvents {
  readonly onPurged: (count: number) => void
  /** Gets the error of a request, and milliseconds until the next try. */
  readonly onFailed: (error: unknown, delay: number) => void
  /** Gets the stories of which the CDN is not told, and why. */
  readonly onLost: (ids: readonly string[], error: unknown) => void
}

/** A response of the CDN that is not a success. */
export class PurgeRefused extends Error {
  override readonly name = 'PurgeRefused'

  /**
   * @param code of the error, if the CDN names one
   * @param retryAfter seconds
   */
  constructor(
    readonly status: number,
    code: string | undefined,
    readonly retryAfter: number,
  ) {
    super(`The CDN responded with status ${status}${code === undefined ? '' : ` (${code})`}`)
  }
}

class QueueFull extends Error {
  override readonly name = 'QueueFull'
  override readonly message = `More than ${MAX_WAITING} deleted stories wait for the CDN`
}

/** Returns the error of a response that is not a success. */
export function refusalOf(response: Response, code?: string): PurgeRefused {
  const seconds = Number(response.headers.get('retry-after') ?? 0)
  return new PurgeRefused(response.status, code, seconds > 0 ? seconds : 0)
}

/**
 * Tells a CDN of deleted stories, in the background and in batches, one request after another. Nobody waits for it, and it holds their ids
 * in memory only: of those that wait when the process dies, the CDN is not told.
 */
export class Purger {
  readonly #target: PurgeTarget
  readonly #events: PurgeEvents
  readonly #firstDelay: number
  readonly #ids = new Set<string>()
  /** Ends the delays. */
  readonly #closing = new AbortController()
  #deadline: AbortSignal | undefined
  #inRequest = 0
  #running: Promise<void> | undefined

  /** @param firstDelay milliseconds before the second try; each further delay is twice as long */
  constructor(target: PurgeTarget, events: PurgeEvents, firstDelay = FIRST_DELAY_MS) {
    this.#target = target
    this.#events = events
    this.#firstDelay = firstDelay
  }

  /** Stories of which the CDN is still to be told. */
  get waiting(): number {
    return this.#ids.size + this.#inRequest
  }

  /** Adds stories whose images are gone. Never waits, and never throws. */
  readonly add = (ids: readonly string[]): void => {
    const lost: string[] = []
    for (const id of ids) {
      // A copy: an id that is a slice of the keys of a page would keep all of them
      if (this.#ids.size < MAX_WAITING) this.#ids.add(Buffer.from(id).toString())
      else if (!this.#ids.has(id)) lost.push(id)
    }
    if (lost.length > 0) this.#events.onLost(lost, new QueueFull())
    if (this.#ids.size > 0) this.#running ??= this.#run()
  }

  /**
   * Sends what waits, without delays, until a request fails. Resolves when nothing waits, at the latest after 10 seconds. What is added later is
   * sent the same way, and needs another call.
   */
  async close(): Promise<void> {
    this.#closing.abort()
    this.#deadline = AbortSignal.timeout(CLOSE_MS)
    await this.#running
  }

  async #run(): Promise<void> {
    await this.#delay(GATHER_MS)
    while (this.#ids.size > 0) {
      const batch: string[] = []
      for (const id of this.#ids) {
        if (batch.length === this.#target.batch) break
        batch.push(id)
        this.#ids.delete(id)
      }
      this.#inRequest = batch.length
      await this.#purge(batch)
      this.#inRequest = 0
    }
    this.#running = undefined
  }

  async #purge(batch: readonly string[]): Promise<void> {
    for (let tries = 1; ; tries++) {
      const isLast = tries === TRIES || this.#closing.signal.aborted
      try {
        this.#deadline?.throwIfAborted()
        const timeout = AbortSignal.timeout(REQUEST_MS)
        await this.#target.send(batch, this.#deadline ? AbortSignal.any([timeout, this.#deadline]) : timeout)
        return this.#events.onPurged(batch.length)
      } catch (error) {
        if (isLast) return this.#lose(batch, error)
        const retryAfter = error instanceof PurgeRefused ? error.retryAfter * 1000 : 0
        // Servers that failed together do not come back together
        const backoff = this.#firstDelay * 2 ** (tries - 1) * (0.5 + Math.random() / 2)
        const delay = Math.min(LONGEST_DELAY_MS, Math.max(backoff, retryAfter))
        this.#events.onFailed(error, delay)
        await this.#delay(delay)
      }
    }
  }

  /** Gives stories up. Once the process ends, so are those that wait: the CDN does not respond, and there is no time. */
  #lose(batch: readonly string[], error: unknown): void {
    const rest = this.#closing.signal.aborted ? [...this.#ids] : []
    for (const id of rest) this.#ids.delete(id)
    this.#events.onLost([...batch, ...rest], error)
  }

  /** Waits, but not while the process ends. */
  async #delay(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.#closing.signal }).catch(() => {})
  }
}
