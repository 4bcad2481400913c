import { UploadsBusy } from '../../errors.ts'
import type { ObjectStore } from '../../store/object-store.ts'
import { FairQueue, type FairQueueOptions } from './fair-queue.ts'

const MIB = 1024 * 1024

/** Largest upload of the small pool, in bytes. None of its images is a multipart upload to the bucket. */
export const SMALL_BYTES = 5 * MIB

/**
 * Memory that an upload takes besides the bytes of its images, at most. Nine images are in the process at once, in buffers of 16 KiB or,
 * if they are larger, of 256 KiB, of which the last one is not full. The image that is being read needs a copy of a block of its metadata,
 * of 256 KiB at most. The parser needs the rest.
 */
const BASE_BYTES = 160 * 1024
const MAX_PER_BYTE = 16
const SLACK_BYTES = 2.5 * MIB

/** Memory that an upload may use. */
export interface Reservation {
  /** Whether the upload may read on while it sends a part to the store. */
  readonly readAhead: boolean
  /** Returns whether other uploads wait for this memory. */
  hasWaiters(): boolean
  /** Gives the memory back; calling it again does nothing. */
  release(): void
}

export interface Sender {
  /** The queue is fair between clients. */
  readonly clientId?: string
  /** Resolves when the body has begun to arrive; called only when memory is scarce. */
  readonly bodyStarted?: () => Promise<void>
}

/**
 * Memory for the bytes of all uploads of this process. An upload reserves once, before its body is read, and never asks for
 * more, so uploads cannot deadlock on each other. An upload that does not fit waits; the bytes of its client stay in the socket
 * meanwhile. A quarter of the memory is a pool of its own for small uploads, so that large slow ones do not hold them up. Once half of
 * the large pool is taken, large uploads send one part at a time, so that more of them run at once.
 *
 * While at least half of a pool is free, it takes every upload. After that it takes only uploads whose body has begun to arrive:
 * thousands of clients that open an upload and send a byte a second do not keep the others out.
 */
export class UploadBudget {
  readonly #small: Pool
  readonly #large: Pool
  readonly #putMemory: ObjectStore['putMemory']

  /**
   * @param bytes memory for all uploads
   * @param putMemory what one large image on its way to the store holds
   * @param timeoutMs after which a waiting upload is refused
   * @param maxQueued most uploads that may wait for each pool
   */
  constructor(bytes: number, putMemory: ObjectStore['putMemory'], timeoutMs: number, maxQueued: number) {
    this.#putMemory = putMemory
    const quarter = Math.floor(bytes / 4)
    const options = { timeoutMs, maxQueued, refusal: () => new UploadsBusy() }
    this.#small = new Pool(quarter, options)
    this.#large = new Pool(bytes - quarter, options)
  }

  /** The queues for the memory of small and large uploads, in bytes. */
  get queues(): { readonly small: FairQueue; readonly large: FairQueue } {
    return { small: this.#small.queue, large: this.#large.queue }
  }

  /**
   * Waits for memory. Rejects with `UploadsBusy` when there is none in time, or with the signal's reason.
   *
   * @param length of the request's body in bytes; undefined if it is unknown
   */
  async reserve(length: number | undefined, signal: AbortSignal, sender: Sender = {}): Promise<Reservation> {
    if (length !== undefined && length <= SMALL_BYTES) {
      const bytes = BASE_BYTES + Math.min(MAX_PER_BYTE * length, length + SLACK_BYTES)
      return this.#small.reserve(bytes, bytes, signal, sender)
    }
    // A store may copy what it holds
    const most = length === undefined ? Number.POSITIVE_INFINITY : 2 * length
    const bytesFor = (put: number) => Math.min(put, most) + SLACK_BYTES
    const { minBytes, maxBytes } = this.#putMemory
    return this.#large.reserve(bytesFor(minBytes), bytesFor(maxBytes), signal, sender)
  }
}

class Pool {
  readonly queue: FairQueue
  readonly #half: number

  constructor(bytes: number, options: FairQueueOptions) {
    this.queue = new FairQueue(bytes, options)
    this.#half = bytes / 2
  }

  /**
   * @param minBytes that the upload needs
   * @param maxBytes with which it can read ahead
   */
  async reserve(
    minBytes: number,
    maxBytes: number,
    signal: AbortSignal,
    { clientId = '', bodyStarted }: Sender,
  ): Promise<Reservation> {
    const { queue } = this
    if (bodyStarted && queue.free - minBytes < this.#half) await bodyStarted()
    await queue.take(minBytes, clientId, signal)
    const more = maxBytes - minBytes
    const readAhead = more === 0 || (queue.free - more >= this.#half && queue.tryTake(more, clientId))
    let held = readAhead ? maxBytes : minBytes
    return {
      readAhead,
      hasWaiters: () => held > 0 && queue.hasWaiters,
      release: () => {
        queue.give(held, clientId)
        held = 0
      },
    }
  }
}
