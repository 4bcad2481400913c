import type { ServiceError } from '../errors.ts'

interface Waiter {
  readonly units: number
  readonly who: string
  readonly admit: () => void
  readonly refuse: () => void
}

export interface RoomOptions {
  /** Milliseconds after which whoever waits is refused. */
  readonly patience: number
  /** Most that may wait; further ones are refused at once. */
  readonly waiting: number
  /** The refusal. */
  readonly busy: () => ServiceError
}

/**
 * Something that there is only so much of: who does not fit waits, in a queue that is bounded in length and in time. Next comes who
 * holds least of it, and of those the first, so that one sender of many requests does not keep the others out.
 */
export class Room {
  /** How much there is of it. */
  readonly units: number
  #free: number
  readonly #options: RoomOptions
  readonly #waiting: Waiter[] = []
  /** What each sender has taken. */
  readonly #held = new Map<string, number>()

  constructor(units: number, options: RoomOptions) {
    this.units = units
    this.#free = units
    this.#options = options
  }

  /** What nobody has taken. */
  get free(): number {
    return this.#free
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Whether somebody waits. */
  get isScarce(): boolean {
    return this.#waiting.length > 0
  }

  /** Whether it could be taken: it fits, and nobody waits. */
  tryTake(units: number, who: string): boolean {
    if (this.isScarce || units > this.#free) return false
    this.#hold(units, who)
    return true
  }

  /**
   * Takes it, when it is its turn.
   *
   * @param who the sender, for instance its address
   * @throws {ServiceError} the refusal; or the signal's reason
   */
  async take(units: number, who: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.tryTake(units, who)) return
    if (this.#waiting.length >= this.#options.waiting) this.#makePlace(who)
    await this.#wait(units, who, signal)
  }

  give(units: number, who: string): void {
    this.#hold(-units, who)
    this.#admit()
  }

  #hold(units: number, who: string): void {
    this.#free -= units
    const held = (this.#held.get(who) ?? 0) + units
    if (held === 0) this.#held.delete(who)
    else this.#held.set(who, held)
  }

  /** The last one of the sender that waits most often goes, if a sender with fewer comes. */
  #makePlace(who: string): void {
    const counts = new Map<string, number>()
    for (const waiter of this.#waiting) counts.set(waiter.who, (counts.get(waiter.who) ?? 0) + 1)
    const [most, count] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a), ['', 0] as const)
    if (count <= (counts.get(who) ?? 0) + 1) throw this.#options.busy()
    this.#waiting.findLast((waiter) => waiter.who === most)?.refuse()
  }

  #wait(units: number, who: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (error: unknown) => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1)
        done()
        reject(error)
        this.#admit()
      }
      const aborted = () => leave(signal.reason)
      const refuse = () => leave(this.#options.busy())
      const timer = setTimeout(refuse, this.#options.patience)
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', aborted)
      }
      const admit = () => {
        done()
        resolve()
      }
      const waiter = { units, who, admit, refuse }
      signal.addEventListener('abort', aborted)
      this.#waiting.push(waiter)
    })
  }

  #admit(): void {
    for (let next = this.#next(); next && next.units <= this.#free; next = this.#next()) {
      this.#waiting.splice(this.#waiting.indexOf(next), 1)
      this.#hold(next.units, next.who)
      next.admit()
    }
  }

  #next(): Waiter | undefined {
    const heldBy = (waiter: Waiter) => this.#held.get(waiter.who) ?? 0
    let next = this.#waiting[0]
    for (const waiter of this.#waiting) if (next && heldBy(waiter) < heldBy(next)) next = waiter
    return next
  }
}
