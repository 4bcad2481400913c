import { createHash, type Hash, hash } from 'node:crypto'
import { giveBack, keepOut } from '../../blocks.ts'
import type { Body } from '../object-store.ts'

/** Bytes of a body on their way to the store. Those of more than one chunk are digested as they come, not all at once. */
export class Part {
  readonly bytes: Uint8Array[] = []
  size = 0
  #digest: Hash | undefined

  add(bytes: Uint8Array): void {
    if (this.bytes.length === 1) this.#digest = createHash('sha256').update(this.bytes[0] as Uint8Array)
    this.#digest?.update(bytes)
    this.bytes.push(bytes)
    this.size += bytes.length
  }

  /** SHA-256 of the part, in hexadecimal. To be asked once. */
  sha256(): string {
    return this.#digest ? this.#digest.digest('hex') : hash('sha256', this.bytes[0] ?? '')
  }

  /** For a digest of something that begins with this part; before `sha256`. */
  copyDigest(): Hash {
    return this.#digest ? this.#digest.copy() : createHash('sha256').update(this.bytes[0] ?? '')
  }

  /** Its memory may be used again: for a part that nobody reads any more. */
  release(): void {
    for (const bytes of this.bytes) giveBack(bytes)
    this.bytes.length = 0
    this.size = 0
  }
}

/**
 * The bytes of a body in parts of exactly `size` bytes, but for the last one, which is shorter and never empty.
 *
 * @param onBytes is given each piece that goes into a part
 */
export async function* inParts(
  body: Body,
  size: number,
  onBytes?: (bytes: Uint8Array) => void,
): AsyncGenerator<Part, undefined> {
  let part = new Part()
  for await (const chunk of body) {
    // Two parts will hold it
    if (part.size + chunk.length > size) keepOut(chunk)
    for (let at = 0; at < chunk.length; ) {
      const count = Math.min(chunk.length - at, size - part.size)
      const bytes = count === chunk.length ? chunk : chunk.subarray(at, at + count)
      part.add(bytes)
      onBytes?.(bytes)
      at += count
      if (part.size < size) continue
      yield part
      part = new Part()
    }
  }
  if (part.size > 0) yield part
  return undefined
}
