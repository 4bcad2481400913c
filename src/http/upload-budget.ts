import { UploadsBusy } from '../errors.ts'

interface Waiter {
  readonly bytes: number
  readonly admit: () => void
}

/**
 * Memory for the bytes of all uploads of this process. An upload reserves once, before its body is read, and never asks for
 * more, so uploads cannot deadlock on each other; its sender's bytes wait in the socket meanwhile. Whoever does not fit waits in
 * order. Small uploads have a quarter of the memory for themselves, so that large slow ones do not hold them up.
 */
export class UploadBudget {
  readonly #lanes: { readonly small: Lane; readonly large: Lane }

  /**
   * @param bytes memory for all uploads
   * @param window most that one upload is ever given, in bytes
   * @param small uploads of at most this many bytes have a lane of their own
   * @param patience milliseconds after which a waiting upload is refused
   */
  constructor(
    bytes: number,
    readonly window: number,
    readonly small: number,
    patience: number,
  ) {
    const quarter = Math.floor(bytes / 4)
    this.#lanes = { small: new Lane(quarter, patience), large: new Lane(bytes - quarter, patience) }
  }

  /**
   * Waits for room. Rejects with `UploadsBusy` when there is none in time, or with the signal's reason.
   *
   * @param length bytes of the request's body, if it says so
   * @returns gives the room back; calling it again does nothing
   */
  async reserve(length: number | undefined, signal: AbortSignal): Promise<() => void> {
    const lane = length !== undefined && length <= this.small ? this.#lanes.small : this.#lanes.large
    return lane.reserve(Math.min(length ?? this.window, this.window), signal)
  }
}

class Lane {
  #free: number
  readonly #waiting: Waiter[] = []

  constructor(
    bytes: number,
    readonly patience: number,
  ) {
    this.#free = bytes
  }

  async reserve(bytes: number, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    if (this.#waiting.length > 0 || bytes > this.#free) await this.#wait(bytes, signal)
    else this.#free -= bytes
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#free += bytes
      this.#admit()
    }
  }

  #wait(bytes: number, signal: AbortSignal): Promise<void> {
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
        bytes,
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
    for (let next = this.#waiting[0]; next && next.bytes <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#free -= next.bytes
      next.admit()
    }
  }
}
