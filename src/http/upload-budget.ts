import { UploadsBusy } from '../errors.ts'

const MIB = 1024 * 1024

/** Uploads of at most this many bytes, one part of a multipart upload, have a lane of their own. */
export const SMALL_BYTES = 5 * MIB

/**
 * What an upload holds beside the bytes of its images, at most: nine of them are in the process at once, in blocks of 16 KiB, or of
 * 256 KiB if they are larger; and what the parser holds.
 */
const LEAST_BYTES = 160 * 1024
const MOST_PER_BYTE = 16
const SLACK_BYTES = 2.5 * MIB

/** One part, and two: with the second the client goes on while the first is on its way to the store. */
export const LEAN_BYTES = SMALL_BYTES + SLACK_BYTES
export const WINDOW_BYTES = 2 * SMALL_BYTES + SLACK_BYTES

/** What an upload may hold. */
export interface Reservation {
  /** Whether it may read on while a part is on its way to the store. */
  readonly readAhead: boolean
  /** Gives the room back; calling it again does nothing. */
  release(): void
}

interface Waiter {
  readonly lean: number
  readonly admit: () => void
}

/**
 * Memory for the bytes of all uploads of this process. An upload reserves once, before its body is read, and never asks for
 * more, so uploads cannot deadlock on each other; its sender's bytes wait in the socket meanwhile. Whoever does not fit waits in
 * order. Small uploads have a quarter of the memory for themselves, so that large slow ones do not hold them up. Once half of the
 * rest is taken, large ones get by with one part, so that more of them run at once.
 */
export class UploadBudget {
  readonly #small: Lane
  readonly #large: Lane

  /**
   * @param bytes memory for all uploads
   * @param patience milliseconds after which a waiting upload is refused
   */
  constructor(bytes: number, patience: number) {
    const quarter = Math.floor(bytes / 4)
    this.#small = new Lane(quarter, patience)
    this.#large = new Lane(bytes - quarter, patience)
  }

  /**
   * Waits for room. Rejects with `UploadsBusy` when there is none in time, or with the signal's reason.
   *
   * @param length bytes of the request's body, if it says so
   */
  async reserve(length: number | undefined, signal: AbortSignal): Promise<Reservation> {
    if (length !== undefined && length <= SMALL_BYTES) {
      const bytes = LEAST_BYTES + Math.min(MOST_PER_BYTE * length, length + SLACK_BYTES)
      return this.#small.reserve(bytes, bytes, signal)
    }
    const bytes = length === undefined ? WINDOW_BYTES : Math.min(WINDOW_BYTES, length + SLACK_BYTES)
    return this.#large.reserve(Math.min(LEAN_BYTES, bytes), bytes, signal)
  }
}

class Lane {
  #free: number
  readonly #half: number
  readonly #waiting: Waiter[] = []

  constructor(
    bytes: number,
    readonly patience: number,
  ) {
    this.#free = bytes
    this.#half = bytes / 2
  }

  async reserve(lean: number, window: number, signal: AbortSignal): Promise<Reservation> {
    signal.throwIfAborted()
    if (this.#waiting.length > 0 || lean > this.#free) await this.#wait(lean, signal)
    else this.#free -= lean
    const more = window - lean
    const readAhead = more === 0 || this.#free - more >= this.#half
    let held = lean
    if (readAhead) {
      this.#free -= more
      held += more
    }
    return {
      readAhead,
      release: () => {
        this.#free += held
        held = 0
        this.#admit()
      },
    }
  }

  #wait(lean: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (error: unknown) => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1)
        done()
        reject(error)
        this.#admit()
      }
      const aborted = () => leave(signal.reason)
      const timer = setTimeout(() => leave(new UploadsBusy()), this.patience)
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', aborted)
      }
      const waiter = {
        lean,
        admit: () => {
          done()
          resolve()
        },
      }
      signal.addEventListener('abort', aborted)
      this.#waiting.push(waiter)
    })
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next && next.lean <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#free -= next.lean
      next.admit()
    }
  }
}
