import { bufferPool } from '../../buffer-pool.ts'

/** Bytes of a body on their way to the store in one call. */
export class Part {
  readonly bytes: Uint8Array[] = []
  size = 0

  add(bytes: Uint8Array): void {
    this.bytes.push(bytes)
    this.size += bytes.length
  }

  /** Its memory may be used again: for a part that nobody reads any more. */
  release(): void {
    bufferPool.release(this.bytes)
    this.bytes.length = 0
    this.size = 0
  }
}
