import { bufferPool } from '../../io/buffer-pool.ts'
import { NO_BYTES } from '../scan.ts'

/** Returns the index in a chunk, from `at` on, where to stop, or -1 if the whole rest is to be passed. */
export type Finder = (chunk: Buffer, at: number) => number

/** What an edit requests next: what to do with a number of bytes, or with those up to where a finder stops; or bytes to put. */
export interface EditRequest {
  readonly action: 'keep' | 'drop' | 'hold' | 'put'
  readonly bytes: number
  readonly until: Finder | undefined
  readonly put: Uint8Array
}

/** All requests have one shape, since the run looks at tens of them for each image. A negative number of bytes is taken for none. */
function request(
  action: EditRequest['action'],
  bytes: number,
  until?: Finder | undefined,
  put: Uint8Array = NO_BYTES,
): EditRequest {
  return { action, bytes: Math.max(0, bytes), until, put }
}

/** Rewrites a file while it streams through. The result of `yield` are the bytes that were held. What follows its end is dropped. */
export type Edit<T = void> = Generator<EditRequest, T, Buffer>

/** Passes the next bytes on as they are, however many. */
export function keep(bytes: number): EditRequest {
  return request('keep', bytes)
}

/** Passes bytes on until a finder, called with each chunk in turn, returns where to stop. Costs less than many requests. */
export function keepUntil(finder: Finder): EditRequest {
  return request('keep', 0, finder)
}

/** Leaves out the next bytes, however many. */
export function drop(bytes: number): EditRequest {
  return request('drop', bytes)
}

export function dropUntil(finder: Finder): EditRequest {
  return request('drop', 0, finder)
}

/** Takes a copy of the next bytes, fewer at the end of the file. They are left out unless they are put. Held in memory, so take few. */
export function hold(bytes: number): EditRequest {
  return request('hold', bytes)
}

/** Writes bytes, which then belong to whoever reads the file. */
export function put(bytes: Uint8Array): EditRequest {
  return request('put', 0, undefined, bytes)
}

/** Overwrites the next bytes, however many. */
export function blank(bytes: number, value = 0): EditRequest {
  let left = Math.max(0, bytes)
  return keepUntil((chunk, at) => {
    const end = Math.min(at + left, chunk.length)
    chunk.fill(value, at, end)
    left -= end - at
    return left > 0 ? -1 : end
  })
}

/** Most bytes of a block of metadata to hold. Larger ones are removed, or blanked while they stream. */
export const MAX_BLOCK = 256 * 1024

/**
 * Most blocks of metadata in an image, after which the rest of the file is removed or blanked: a file made to be slow costs less than
 * half a second. Real files have some tens, and animations one a frame.
 */
export const MAX_BLOCKS = 100_000

/**
 * Runs an edit on a stream. Changes chunks in place and holds no more bytes than the edit holds at once. Of the chunks that it returns
 * for one chunk, at most one is a view of it: a buffer of the pool has one owner.
 */
export class EditRun {
  readonly #edit: Edit
  #state: IteratorResult<EditRequest, void>
  /** What has arrived of the bytes to hold, if they arrive in several chunks. */
  #held: Buffer = NO_BYTES
  /** How many of the requested bytes have been kept, dropped or held. */
  #done = 0

  constructor(edit: Edit) {
    this.#edit = edit
    this.#state = edit.next()
  }

  /** Returns what to write for the next chunk of the file, which belongs to the run from now on. */
  push(bytes: Uint8Array): Uint8Array[] {
    const written: Uint8Array[] = []
    let chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    /** Where to read next, and before it, where to write next. */
    let at = 0
    let end = 0
    const flush = () => {
      if (end > 0) written.push(chunk.subarray(0, end))
    }
    while (!this.#state.done) {
      const { action, bytes: all, until, put } = this.#state.value
      if (action === 'put') {
        if (end + put.length <= at) {
          chunk.set(put, end)
          end += put.length
        } else {
          // In a copy, or there would be two views of the chunk
          const rest = end > 0 ? Buffer.from(chunk.subarray(at)) : chunk.subarray(at)
          flush()
          written.push(put)
          chunk = rest
          at = 0
          end = 0
        }
        this.#resume(NO_BYTES)
        continue
      }
      if (at === chunk.length && (until || this.#done < all)) break
      const found = until ? until(chunk, at) : at + all - this.#done
      const isWhole = found >= 0 && found <= chunk.length
      const stop = isWhole ? found : chunk.length
      if (action === 'hold') this.#hold(chunk, at, stop)
      if (!until) this.#done += stop - at
      if (action === 'keep') {
        if (at > end) chunk.copyWithin(end, at, stop)
        end += stop - at
      }
      at = stop
      if (!isWhole) break
      this.#resume(this.#held)
    }
    flush()
    return fitted(bytes, written)
  }

  /** Ends the file: the edit gets what it waits for, as far as it has arrived, and then nothing. Returns what it puts. */
  end(): Uint8Array[] {
    const written: Uint8Array[] = []
    while (!this.#state.done) {
      const { put } = this.#state.value
      if (put.length > 0) written.push(put)
      this.#resume(this.#held)
    }
    return written
  }

  /** Copies as much as has arrived, and takes memory for no more: a file of a few bytes can claim a large block. */
  #hold(chunk: Buffer, start: number, end: number): void {
    if (start === end) return
    const held = Buffer.allocUnsafe(this.#held.length + end - start)
    held.set(this.#held)
    chunk.copy(held, this.#held.length, start, end)
    this.#held = held
  }

  #resume(held: Buffer): void {
    this.#held = NO_BYTES
    this.#done = 0
    this.#state = this.#edit.next(held)
  }
}

/**
 * Releases the buffer of a chunk of which more than a sixteenth was dropped. What is left gets memory of its own size, so that chunks take
 * as much memory as their length says.
 */
function fitted(chunk: Uint8Array, written: Uint8Array[]): Uint8Array[] {
  const index = written.findIndex(({ buffer }) => buffer === chunk.buffer)
  const left = written[index]
  if (left && left.length >= chunk.length * (15 / 16)) return written
  if (left) written[index] = new Uint8Array(left)
  bufferPool.release([chunk])
  return written
}
