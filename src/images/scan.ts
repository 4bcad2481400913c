/** What a scan asks for next: bytes to look at, bytes to pass over, or to pass over everything before the next byte of this value. */
type Want = { readonly take: number } | { readonly skip: number } | { readonly seek: number }

/**
 * A reader of a header that takes its bytes as they come. It gets what it asked for as the result of `yield`; at the end of the
 * file that is less, or nothing.
 */
export type Scan<T> = Generator<Want, T, Buffer>

/**
 * The next bytes; fewer at the end of the file. They are held in memory, so ask for little, and they may be the caller's, so read them
 * before the next `yield`.
 */
export function* take(bytes: number): Scan<Buffer> {
  return yield { take: bytes }
}

/** Passes over bytes, however many, without holding them. */
export function* skip(bytes: number): Scan<void> {
  if (bytes > 0) yield { skip: bytes }
}

/** Passes over everything before the next byte of this value. */
export function* seek(byte: number): Scan<void> {
  yield { seek: byte }
}

/**
 * Most requests of one scan. Real headers take a few hundred, an AVIF grid of 1,000 tiles some 7,000, and each 2.5 MB of XMP before the
 * first frame of a GIF 20,000. Beyond that the image is broken, so that a file made to be slow costs less than half a second.
 */
const MOST_STEPS = 100_000

/** Runs a scan over bytes that come piece by piece. Holds no more than the scan asks for at once. */
export class ScanRun<T> {
  readonly #scan: Scan<T>
  #state: IteratorResult<Want, T> | undefined
  #steps = 0
  /** Bytes of the wanted ones that have come, if they did not come at once. */
  #taken: Buffer = NO_BYTES
  /** How many of the wanted bytes have come, or were passed over. */
  #done = 0

  constructor(scan: Scan<T>) {
    this.#scan = scan
    this.#state = scan.next()
  }

  get isDone(): boolean {
    return this.#want === undefined
  }

  /** What the scan returned; undefined while it is not done, and if it took too many steps. */
  get result(): T | undefined {
    return this.#state?.done ? this.#state.value : undefined
  }

  get #want(): Want | undefined {
    return this.#state?.done || this.#steps > MOST_STEPS ? undefined : this.#state?.value
  }

  /** Takes the next bytes of the file, which are not kept. */
  push(chunk: Buffer): void {
    let at = 0
    for (let want = this.#want; want; want = this.#want) {
      if ('seek' in want) {
        const found = chunk.indexOf(want.seek, at)
        if (found < 0) return
        at = found
        this.#resume(NO_BYTES)
        continue
      }
      const all = 'take' in want ? want.take : want.skip
      const part = chunk.subarray(at, at + Math.min(all - this.#done, chunk.length))
      at += part.length
      if ('take' in want && part.length < all) {
        if (this.#done === 0) this.#taken = Buffer.alloc(all)
        part.copy(this.#taken, this.#done)
      }
      this.#done += part.length
      if (this.#done < all) return
      this.#resume('skip' in want ? NO_BYTES : part.length === all ? part : this.#taken)
    }
  }

  /** The file is over: the scan gets what has come, and nothing more. */
  end(): T | undefined {
    while (this.#want) this.#resume(this.#taken.subarray(0, this.#done))
    return this.result
  }

  #resume(bytes: Buffer): void {
    this.#taken = NO_BYTES
    this.#done = 0
    this.#steps += 1
    this.#state = this.#scan.next(bytes)
  }
}

export const NO_BYTES: Buffer = Buffer.alloc(0)
