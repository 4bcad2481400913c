import { createHash, type Hash, hash } from 'node:crypto'
import type { Body } from '../object-store.ts'

/** Blocks are powers of two between these, in bytes: at most twice what is in them, and few enough sizes to use them again. */
const SMALLEST_BLOCK = 16 * 1024
const LARGEST_BLOCK = 256 * 1024

/** Most bytes of blocks that are kept for the next parts while nobody uses them. */
const KEPT_BYTES = 32 * 1024 * 1024

const unused = new Map<number, Buffer[]>()
let unusedBytes = 0

/** Memory that was written to before costs a third of new memory: no pages to map, nothing for the garbage collector. */
function takeBlock(wanted: number): Buffer {
  let size = SMALLEST_BLOCK
  while (size < wanted && size < LARGEST_BLOCK) size *= 2
  const block = unused.get(size)?.pop()
  if (!block) return Buffer.allocUnsafeSlow(size)
  unusedBytes -= size
  return block
}

function giveBlock(block: Buffer): void {
  if (unusedBytes + block.length > KEPT_BYTES) return
  unusedBytes += block.length
  const others = unused.get(block.length)
  if (others) others.push(block)
  else unused.set(block.length, [block])
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
    for (const block of this.#full) giveBlock(block)
    if (this.#block) giveBlock(this.#block)
    this.#full.length = 0
    this.#block = undefined
    this.#alone = undefined
    this.size = 0
  }

  #copy(chunk: Uint8Array, wanted: number): void {
    for (let at = 0; at < chunk.length; ) {
      if (!this.#block) this.#block = takeBlock(this.#full.length > 0 ? LARGEST_BLOCK : wanted)
      if (this.#filled === this.#block.length) this.#grow(wanted)
      const count = Math.min(chunk.length - at, this.#block.length - this.#filled)
      this.#block.set(at === 0 && count === chunk.length ? chunk : chunk.subarray(at, at + count), this.#filled)
      this.#filled += count
      at += count
    }
  }

  /** Goes on in a larger block, or behind a largest one in a new one. */
  #grow(wanted: number): void {
    const block = this.#block as Buffer
    if (block.length === LARGEST_BLOCK) {
      this.#full.push(block)
      this.#block = takeBlock(LARGEST_BLOCK)
      this.#filled = 0
    } else {
      this.#block = takeBlock(Math.max(wanted, 2 * block.length))
      this.#block.set(block)
      giveBlock(block)
    }
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
