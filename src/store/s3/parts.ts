import { createHash, type Hash, hash } from 'node:crypto'
import type { Body } from '../object-store.ts'

/** What a part is collected in, in bytes: one small block for what fits into it, else large ones. */
export const SMALL_BLOCK = 16 * 1024
export const LARGE_BLOCK = 256 * 1024

/** Most large blocks that are kept for the next parts while nobody uses them: 32 MiB. */
const KEPT = 128

const unused: Buffer[] = []

/** Memory that was written to before costs a third of new memory: no pages to map, nothing for the garbage collector. */
function largeBlock(): Buffer {
  return unused.pop() ?? Buffer.allocUnsafeSlow(LARGE_BLOCK)
}

/**
 * Bytes of a body on their way to the store.
 *
 * They are copied into blocks, but for a first chunk that stays alone: chunks kept by reference can hold far more memory than
 * their own length (300,000 chunks of one byte were seen to hold 157 MB).
 */
export class Part {
  size = 0
  #alone: Uint8Array | undefined
  readonly #full: Buffer[] = []
  #block: Buffer | undefined
  #filled = 0

  /** Takes bytes until the part holds `limit`; returns how many. */
  add(chunk: Uint8Array, limit: number): number {
    const count = Math.min(chunk.length, limit - this.size)
    const taken = count === chunk.length ? chunk : chunk.subarray(0, count)
    if (this.size === 0) this.#alone = taken
    else {
      if (this.#alone) this.#copy(this.#alone, this.size + count)
      this.#alone = undefined
      this.#copy(taken, this.#filled + count)
    }
    this.size += count
    return count
  }

  /** The bytes, in order. */
  get bytes(): Uint8Array[] {
    if (this.#alone) return [this.#alone]
    return this.#block ? [...this.#full, this.#block.subarray(0, this.#filled)] : this.#full
  }

  /** Feeds the digest of something larger. */
  digestInto(digest: Hash): void {
    for (const bytes of this.bytes) digest.update(bytes)
  }

  /** SHA-256 of the part, in hexadecimal. */
  sha256(): string {
    const [first, ...rest] = this.bytes
    if (rest.length === 0) return hash('sha256', first ?? '')
    const digest = createHash('sha256')
    this.digestInto(digest)
    return digest.digest('hex')
  }

  /** Its memory may be used again: for a part that nobody reads any more. */
  release(): void {
    if (this.#block) this.#full.push(this.#block)
    for (const block of this.#full) if (block.length === LARGE_BLOCK && unused.length < KEPT) unused.push(block)
    this.#full.length = 0
    this.#block = undefined
    this.#alone = undefined
    this.size = 0
  }

  #copy(chunk: Uint8Array, wanted: number): void {
    for (let at = 0; at < chunk.length; ) {
      this.#block ??= wanted <= SMALL_BLOCK ? Buffer.allocUnsafeSlow(SMALL_BLOCK) : largeBlock()
      if (this.#filled === this.#block.length) this.#addBlock(this.#block)
      const count = Math.min(chunk.length - at, this.#block.length - this.#filled)
      this.#block.set(at === 0 && count === chunk.length ? chunk : chunk.subarray(at, at + count), this.#filled)
      this.#filled += count
      at += count
    }
  }

  /** A small block moves into a large one; a large one is followed by another. */
  #addBlock(block: Buffer): void {
    this.#block = largeBlock()
    if (block.length === LARGE_BLOCK) {
      this.#full.push(block)
      this.#filled = 0
    } else this.#block.set(block)
  }
}

/**
 * The bytes of a body in parts of exactly `size` bytes, but for the last one, which is shorter and never empty. Each part is the
 * consumer's to release.
 */
export async function* inParts(body: Body, size: number): AsyncGenerator<Part, undefined> {
  let part = new Part()
  try {
    for await (const chunk of body) {
      for (let taken = 0; taken < chunk.length; ) {
        taken += part.add(taken === 0 ? chunk : chunk.subarray(taken), size)
        if (part.size < size) continue
        const full = part
        part = new Part()
        yield full
      }
    }
    if (part.size > 0) {
      const last = part
      part = new Part()
      yield last
    }
    return undefined
  } finally {
    part.release()
  }
}
