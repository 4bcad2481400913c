import { UploadsBusy } from '../errors.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { Room, type RoomOptions } from './room.ts'

const MIB = 1024 * 1024

/** Uploads of at most this many bytes have a lane of their own. None of their images is a multipart upload to the bucket. */
export const SMALL_BYTES = 5 * MIB

/**
 * What an upload holds beside the bytes of its images, at most: nine of them are in the process at once, in blocks of 16 KiB, or of
 * 256 KiB if they are larger; and what the parser holds.
 */
const LEAST_BYTES = 160 * 1024
const MOST_PER_BYTE = 16
const SLACK_BYTES = 2.5 * MIB

/** What an upload may hold. */
export interface Reservation {
  /** Whether it may read on while a part is on its way to the store. */
  readonly readAhead: boolean
  /** Whether others wait for what it holds. */
  isWanted(): boolean
  /** Gives the room back; calling it again does nothing. */
  release(): void
}

export interface Sender {
  /** Of several senders the one that holds least comes next. */
  readonly who?: string
  /** Resolves when the body has begun to arrive; asked only when room is scarce. */
  readonly begun?: () => Promise<void>
}

/**
 * Memory for the bytes of all uploads of this process. An upload reserves once, before its body is read, and never asks for
 * more, so uploads cannot deadlock on each other; its sender's bytes wait in the socket meanwhile. Whoever does not fit
 * waits. Small uploads have a quarter of the memory for themselves, so that large slow ones do not hold them up. Once half of the
 * rest is taken, large ones send one part at a time, so that more of them run at once.
 *
 * While at least half is free, nobody is asked for anything. Beyond that only an upload whose body has begun to arrive gets room:
 * thousands of senders who open an upload and drip do not keep the others out.
 */
export class UploadBudget {
  readonly #small: Lane
  readonly #large: Lane
  readonly #putMemory: ObjectStore['putMemory']

  /**
   * @param bytes memory for all uploads
   * @param putMemory what one large image on its way to the store holds
   * @param patience milliseconds after which a waiting upload is refused
   * @param waiting most uploads that may wait for each half of the house, the small and the large ones
   */
  constructor(bytes: number, putMemory: ObjectStore['putMemory'], patience: number, waiting: number) {
    this.#putMemory = putMemory
    const quarter = Math.floor(bytes / 4)
    const options = { patience, waiting, busy: () => new UploadsBusy() }
    this.#small = new Lane(quarter, options)
    this.#large = new Lane(bytes - quarter, options)
  }

  /** The memory of small uploads, and that of large ones, in bytes. */
  get rooms(): { readonly small: Room; readonly large: Room } {
    return { small: this.#small.room, large: this.#large.room }
  }

  /**
   * Waits for room. Rejects with `UploadsBusy` when there is none in time, or with the signal's reason.
   *
   * @param length bytes of the request's body, if it says so
   */
  async reserve(length: number | undefined, signal: AbortSignal, sender: Sender = {}): Promise<Reservation> {
    if (length !== undefined && length <= SMALL_BYTES) {
      const bytes = LEAST_BYTES + Math.min(MOST_PER_BYTE * length, length + SLACK_BYTES)
      return this.#small.reserve(bytes, bytes, signal, sender)
    }
    // A store may copy what it holds
    const most = length === undefined ? Number.POSITIVE_INFINITY : 2 * length
    const bytesFor = (put: number) => Math.min(put, most) + SLACK_BYTES
    const { lean, readAhead } = this.#putMemory
    return this.#large.reserve(bytesFor(lean), bytesFor(readAhead), signal, sender)
  }
}

class Lane {
  readonly room: Room
  readonly #half: number

  constructor(bytes: number, options: RoomOptions) {
    this.room = new Room(bytes, options)
    this.#half = bytes / 2
  }

  async reserve(lean: number, window: number, signal: AbortSignal, { who = '', begun }: Sender): Promise<Reservation> {
    const { room } = this
    if (begun && room.free - lean < this.#half) await begun()
    await room.take(lean, who, signal)
    const more = window - lean
    const readAhead = more === 0 || (room.free - more >= this.#half && room.tryTake(more, who))
    let held = readAhead ? window : lean
    return {
      readAhead,
      isWanted: () => held > 0 && room.isScarce,
      release: () => {
        room.give(held, who)
        held = 0
      },
    }
  }
}
