import { setTimeout as sleep } from 'node:timers/promises'

/** Most stories in the queue, some 2 MB. Further ones are lost. */
export const MAX_QUEUED = 20_000

/** How long the first deletion waits for others, to share a request with them, in milliseconds. */
const BATCH_DELAY_MS = 250

/** How long a request may take, in milliseconds. */
const REQUEST_TIMEOUT_MS = 10_000

/** Most tries to purge a batch. With the delays between them they take about a quarter of an hour. */
const MAX_ATTEMPTS = 12

/** First and longest delay between two tries, in milliseconds. */
const FIRST_DELAY_MS = 1000
const MAX_DELAY_MS = 5 * 60_000

/** How long `close` waits, in milliseconds. */
const CLOSE_TIMEOUT_MS = 10_000

/** A CDN that can forget the images of stories. */
export interface PurgeTarget {
  /** Most stories of one request. */
  readonly maxBatch: number
  /** @throws {PurgeRefused} and errors of the network */
  send(ids: readonly string[], signal: AbortSignal): Promise<void>
  /** Purges all stories, which is done when more than `maxBatch` wait. Rejects as `send` does. */
  readonly sendAll?: (signal: AbortSignal) => Promise<void>
}

export interface PurgeEvents {
  readonly onPurged: (count: number) => void
  /** Gets the error of a request, and milliseconds until the next try. */
  readonly onFailed: (error: unknown, delay: number) => void
  /** Gets stories that are given up, and the error. */
  readonly onLost: (batch: Batch, error: unknown) => void
}

/** Deleted stories of which the CDN is told together. */
export interface Batch {
  readonly count: number
  /** None where a purge of all stories stands for them. */
  readonly ids: readonly string[]
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
  override readonly message = `More than ${MAX_QUEUED} deleted stories wait for the CDN`
}

/** Returns the error of a response that is not a success. */
export function refusalOf(response: Response, code?: string): PurgeRefused {
  const seconds = Number(response.headers.get('retry-after') ?? 0)
  return new PurgeRefused(response.status, code, seconds > 0 ? seconds : 0)
}

/**
 * Tells a CDN of deleted stories, in the background and in batches, one request after another. Callers do not wait. The queue is in memory
 * only: what is in it is lost if the process dies.
 */
export class Purger {
  readonly #target: PurgeTarget
  readonly #events: PurgeEvents
  readonly #firstDelay: number
  readonly #ids = new Set<string>()
  /** Deleted stories for which a purge of all waits. */
  #inAll = 0
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
    return this.#ids.size + this.#inAll + this.#inRequest
  }

  /** Adds stories whose images are gone. Never waits, and never throws. */
  readonly add = (ids: readonly string[]): void => {
    const { maxBatch, sendAll } = this.#target
    const lost: string[] = []
    for (const id of ids) {
      if (this.#ids.has(id)) continue
      if (this.#inAll > 0) this.#inAll += 1
      else if (this.#ids.size < (sendAll ? maxBatch : MAX_QUEUED)) {
        // A copy: an id that is a slice of the keys of a page would keep all of them
        this.#ids.add(Buffer.from(id).toString())
      } else if (sendAll) {
        this.#inAll = this.#ids.size + 1
        this.#ids.clear()
      } else lost.push(id)
    }
    if (lost.length > 0) this.#events.onLost({ count: lost.length, ids: lost }, new QueueFull())
    if (this.#hasWork) this.#running ??= this.#run()
  }

  /**
   * Sends the queue without delays, and waits for that. Gives up the whole queue when a request fails, or after 10 seconds. Stories that
   * are added later are sent in the same way; another call waits for them and gives them another 10 seconds.
   */
  async close(): Promise<void> {
    this.#closing.abort()
    this.#deadline = AbortSignal.timeout(CLOSE_TIMEOUT_MS)
    await this.#running
  }

  async #run(): Promise<void> {
    while (this.#hasWork) {
      await this.#delay(BATCH_DELAY_MS)
      const batch = this.#takeBatch()
      this.#inRequest = batch.count
      await this.#purge(batch)
      this.#inRequest = 0
    }
    this.#running = undefined
  }

  get #hasWork(): boolean {
    return this.#ids.size + this.#inAll > 0
  }

  #takeBatch(): Batch {
    const count = this.#inAll
    this.#inAll = 0
    if (count > 0) return { count, ids: [] }
    const ids: string[] = []
    for (const id of this.#ids) {
      if (ids.length === this.#target.maxBatch) break
      ids.push(id)
      this.#ids.delete(id)
    }
    return { count: ids.length, ids }
  }

  /** Rejects with the signal's reason when it aborts, whatever the target waits for. */
  #send({ ids }: Batch, signal: AbortSignal): Promise<void> {
    const { send, sendAll } = this.#target
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason))
      const sent = ids.length === 0 && sendAll ? sendAll(signal) : send(ids, signal)
      sent.then(resolve, reject)
    })
  }

  async #purge(batch: Batch): Promise<void> {
    for (let tries = 1; ; tries++) {
      const isLast = tries === MAX_ATTEMPTS || this.#closing.signal.aborted
      try {
        this.#deadline?.throwIfAborted()
        const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MS)
        await this.#send(batch, this.#deadline ? AbortSignal.any([timeout, this.#deadline]) : timeout)
        return this.#events.onPurged(batch.count)
      } catch (error) {
        if (isLast) return this.#lose(batch, error)
        const retryAfter = error instanceof PurgeRefused ? error.retryAfter * 1000 : 0
        // Servers that failed together do not come back together
        const backoff = this.#firstDelay * 2 ** (tries - 1) * (0.5 + Math.random() / 2)
        const delay = Math.min(MAX_DELAY_MS, Math.max(backoff, retryAfter))
        this.#events.onFailed(error, delay)
        await this.#delay(delay)
      }
    }
  }

  /** Gives up a batch and, during a shutdown, the rest of the queue too. */
  #lose(batch: Batch, error: unknown): void {
    let { count, ids } = batch
    if (this.#closing.signal.aborted) {
      count += this.#ids.size + this.#inAll
      ids = [...ids, ...this.#ids]
      this.#ids.clear()
      this.#inAll = 0
    }
    this.#events.onLost({ count, ids }, error)
  }

  /** Waits, or returns at once during a shutdown. */
  async #delay(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.#closing.signal }).catch(() => {})
  }
}
