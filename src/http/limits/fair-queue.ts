import type { ServiceError } from '../../errors.ts'

interface Waiter {
  readonly units: number
  readonly clientId: string
  readonly admit: () => void
  readonly refuse: () => void
}

export interface FairQueueOptions {
  /** Milliseconds after which a waiter is refused. */
  readonly timeoutMs: number
  /** Most waiters; further ones are refused at once. */
  readonly maxQueued: number
  readonly refusal: () => ServiceError
}

/**
 * A semaphore with a queue that is bounded in length and time. The next unit goes to the waiter whose client holds the fewest units,
 * and of those to the first, so that one client with many requests does not keep the others out.
 */
export class FairQueue {
  /** Units in all. */
  readonly capacity: number
  #free: number
  readonly #options: FairQueueOptions
  readonly #waiters: Waiter[] = []
  /** Units by client. */
  readonly #held = new Map<string, number>()

  constructor(capacity: number, options: FairQueueOptions) {
    this.capacity = capacity
    this.#free = capacity
    this.#options = options
  }

  /** Units that nobody holds. */
  get free(): number {
    return this.#free
  }

  /** How many wait. */
  get length(): number {
    return this.#waiters.length
  }

  get hasWaiters(): boolean {
    return this.#waiters.length > 0
  }

  /** Takes the units if they are free and nobody waits. */
  tryTake(units: number, clientId: string): boolean {
    if (this.hasWaiters || units > this.#free) return false
    this.#hold(units, clientId)
    return true
  }

  /**
   * Takes the units when it is the client's turn.
   *
   * @throws {ServiceError} the refusal; or the signal's reason
   */
  async take(units: number, clientId: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.tryTake(units, clientId)) return
    if (this.#waiters.length >= this.#options.maxQueued) this.#displaceFor(clientId)
    await this.#wait(units, clientId, signal)
  }

  give(units: number, clientId: string): void {
    this.#hold(-units, clientId)
    this.#admit()
  }

  #hold(units: number, clientId: string): void {
    this.#free -= units
    const held = (this.#held.get(clientId) ?? 0) + units
    if (held === 0) this.#held.delete(clientId)
    else this.#held.set(clientId, held)
  }

  /** Refuses the last waiter of the client with the most waiters, or the new waiter if its client would have as many with it. */
  #displaceFor(clientId: string): void {
    const counts = new Map<string, number>()
    for (const waiter of this.#waiters) counts.set(waiter.clientId, (counts.get(waiter.clientId) ?? 0) + 1)
    const [most, count] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a), ['', 0] as const)
    if (count <= (counts.get(clientId) ?? 0) + 1) throw this.#options.refusal()
    this.#waiters.findLast((waiter) => waiter.clientId === most)?.refuse()
  }

  #wait(units: number, clientId: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (error: unknown) => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
        done()
        reject(error)
        this.#admit()
      }
      const aborted = () => leave(signal.reason)
      const refuse = () => leave(this.#options.refusal())
      const timer = setTimeout(refuse, this.#options.timeoutMs)
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', aborted)
      }
      const admit = () => {
        done()
        resolve()
      }
      const waiter = { units, clientId, admit, refuse }
      signal.addEventListener('abort', aborted)
      this.#waiters.push(waiter)
    })
  }

  #admit(): void {
    for (let next = this.#next(); next && next.units <= this.#free; next = this.#next()) {
      this.#waiters.splice(this.#waiters.indexOf(next), 1)
      this.#hold(next.units, next.clientId)
      next.admit()
    }
  }

  #next(): Waiter | undefined {
    const heldBy = (waiter: Waiter) => this.#held.get(waiter.clientId) ?? 0
    let next = this.#waiters[0]
    for (const waiter of this.#waiters) if (next && heldBy(waiter) < heldBy(next)) next = waiter
    return next
  }
}
