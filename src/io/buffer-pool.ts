/** Size of a buffer of the pool, in bytes. */
export const BUFFER_BYTES = 256 * 1024

/** Most buffers that are kept while nobody uses them: 32 MiB. */
const MAX_UNUSED = 128

/**
 * Buffers for the bytes of images, used again and again: memory that was written to before costs a third of new memory, since no pages
 * have to be mapped and no garbage is left.
 *
 * A buffer has one owner at a time. Whoever is handed its bytes, or a part of them, owns it, and the last owner releases it. An owner that
 * drops it instead leaves it to the garbage collector.
 */
export class BufferPool {
  readonly #unused: Buffer[] = []
  readonly #owned = new WeakSet<ArrayBufferLike>()

  acquire(): Buffer {
    const buffer = this.#unused.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES)
    this.#owned.add(buffer.buffer)
    return buffer
  }

  /** Takes back the buffers that have these bytes. Ignores bytes that are not of the pool, or released already. */
  release(chunks: readonly Uint8Array[]): void {
    for (const { buffer } of chunks) {
      if (this.#owned.delete(buffer) && this.#unused.length < MAX_UNUSED) this.#unused.push(Buffer.from(buffer))
    }
  }

  /** Gives up a buffer whose memory goes to another thread. Returns whether these bytes were of the pool. */
  transferOut({ buffer }: Uint8Array): boolean {
    return this.#owned.delete(buffer)
  }

  /** Accepts a buffer whose memory comes back from another thread, for a new owner. */
  transferIn({ buffer, byteOffset, length }: Uint8Array<ArrayBuffer>): Buffer {
    this.#owned.add(buffer)
    return Buffer.from(buffer, byteOffset, length)
  }
}

/** The pool of this process. */
export const bufferPool = new BufferPool()
