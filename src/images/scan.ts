/** What a scan asks for next: bytes to look at, bytes to pass over, or to pass over everything before the next byte of this value. */
type Want = { readonly take: number } | { readonly skip: number } | { readonly seek: number }

/**
 * A reader of a header that takes its bytes as they come. It gets what it asked for as the result of `yield`; at the end of the
 * file that is less, or nothing.
 */
export type Scan<T> = Generator<Want, T, Buffer>

/** The next bytes; fewer at the end of the file. They are held in memory, so ask for little. */
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
 * Most requests of one scan. Real headers take a few hundred; an AVIF grid of 1,000 tiles takes some 7,000, and megabytes of XMP in a
 * GIF some 20,000. Beyond that the image is broken, so that a file made to be slow costs less than a tenth of a second.
 */
const MOST_STEPS = 100_000

/** Runs a scan over bytes that come piece by piece. Holds no more than the scan asks for at once. */
export class ScanRun<T> {
  readonly #scan: Scan<T>
  #state: IteratorResult<Want, T>
  #steps = 0
  /** Bytes of the wanted ones that have come, and how many were passed over. */
  #taken: Buffer = Buffer.alloc(0)
  #skipped = 0

  constructor(scan: Scan<T>) {
    this.#scan = scan
    this.#state = scan.next()
  }

  get isDone(): boolean {
    return this.#state.done === true || this.#steps > MOST_STEPS
  }

  /** What the scan returned; undefined while it is not done, and if it took too many steps. */
  get result(): T | undefined {
    return this.#state.done ? this.#state.value : undefined
  }

  /** Takes the next bytes of the file, which are not kept. */
  push(chunk: Buffer): void {
    let at = 0
    while (!this.#state.done && this.#steps <= MOST_STEPS) {
      const want = this.#state.value
      if ('take' in want) {
        const part = chunk.subarray(at, at + want.take - this.#taken.length)
        at += part.length
        const bytes = this.#taken.length === 0 ? part : Buffer.concat([this.#taken, part])
        if (bytes.length < want.take) {
          // A copy: the chunk is used again
          this.#taken = Buffer.from(bytes)
          return
        }
        this.#resume(bytes)
      } else if ('skip' in want) {
        const bytes = Math.min(chunk.length - at, want.skip - this.#skipped)
        at += bytes
        this.#skipped += bytes
        if (this.#skipped < want.skip) return
        this.#resume(NONE)
      } else {
        const found = chunk.indexOf(want.seek, at)
        if (found < 0) return
        at = found
        this.#resume(NONE)
      }
    }
  }

  /** The file is over: the scan gets what has come, and nothing more. */
  end(): T | undefined {
    while (!this.#state.done && this.#steps <= MOST_STEPS) this.#resume(this.#taken)
    return this.result
  }

  #resume(bytes: Buffer): void {
    this.#taken = NONE
    this.#skipped = 0
    this.#steps += 1
    this.#state = this.#scan.next(bytes)
  }
}

const NONE: Buffer = Buffer.alloc(0)
