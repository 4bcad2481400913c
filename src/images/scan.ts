/** What a scan requests next: to take or skip a number of bytes, or to skip to the next byte with a value. */
type ScanRequest = { readonly take: number } | { readonly skip: number } | { readonly seek: number }

/**
 * Reads a header from a stream. The result of `yield` is what was requested; fewer bytes, or none, at the end of the file.
 */
export type Scan<T> = Generator<ScanRequest, T, Buffer>

/**
 * Takes the next bytes; fewer at the end of the file. They are held in memory, so take few. They may be a view of the caller's chunk, so
 * read them before the next `yield`.
 */
export function* take(bytes: number): Scan<Buffer> {
  return yield { take: bytes }
}

/** Skips bytes, however many, without holding them. */
export function* skip(bytes: number): Scan<void> {
  if (bytes > 0) yield { skip: bytes }
}

/** Skips everything before the next byte with this value. */
export function* seek(byte: number): Scan<void> {
  yield { seek: byte }
}

/**
 * Most requests of a scan, after which the image is broken: a file made to be slow costs less than half a second. Real headers take a few
 * hundred, an AVIF grid of 1,000 tiles some 7,000, and 2.5 MB of XMP before the first frame of a GIF 20,000.
 */
const MAX_STEPS = 100_000

/** Runs a scan on a stream. Holds no more bytes than the scan takes at once. */
export class ScanRun<T> {
  readonly #scan: Scan<T>
  #state: IteratorResult<ScanRequest, T> | undefined
  #steps = 0
  /** What has arrived of the bytes to take, if they arrive in several chunks. */
  #taken: Buffer = NO_BYTES
  /** How many of the requested bytes have been taken or skipped. */
  #done = 0

  constructor(scan: Scan<T>) {
    this.#scan = scan
    this.#state = scan.next()
  }

  get isDone(): boolean {
    return this.#request === undefined
  }

  /** The scan's result; undefined if it is not done or took too many steps. */
  get result(): T | undefined {
    return this.#state?.done ? this.#state.value : undefined
  }

  get #request(): ScanRequest | undefined {
    return this.#state?.done || this.#steps > MAX_STEPS ? undefined : this.#state?.value
  }

  /** Reads the next chunk of the file and does not keep it. */
  push(chunk: Buffer): void {
    let at = 0
    for (let request = this.#request; request; request = this.#request) {
      if ('seek' in request) {
        const found = chunk.indexOf(request.seek, at)
        if (found < 0) return
        at = found
        this.#resume(NO_BYTES)
        continue
      }
      const all = 'take' in request ? request.take : request.skip
      const part = chunk.subarray(at, at + Math.min(all - this.#done, chunk.length))
      at += part.length
      if ('take' in request && part.length < all) {
        if (this.#done === 0) this.#taken = Buffer.alloc(all)
        part.copy(this.#taken, this.#done)
      }
      this.#done += part.length
      if (this.#done < all) return
      this.#resume('skip' in request ? NO_BYTES : part.length === all ? part : this.#taken)
    }
  }

  /** Ends the file: the scan gets what has arrived, and then nothing. */
  end(): T | undefined {
    while (this.#request) this.#resume(this.#taken.subarray(0, this.#done))
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
