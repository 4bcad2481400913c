import { giveBack, keepOut } from '../../blocks.ts'
import type { Body } from '../object-store.ts'

/** Bytes of a body on their way to the store. */
export class Part {
  readonly bytes: Uint8Array[] = []
  size = 0

  add(bytes: Uint8Array): void {
    this.bytes.push(bytes)
    this.size += bytes.length
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
 */
export async function* inParts(body: Body, size: number): AsyncGenerator<Part, undefined> {
  let part = new Part()
  for await (const chunk of body) {
    // Two parts will hold it
    if (part.size + chunk.length > size) keepOut(chunk)
    for (let at = 0; at < chunk.length; ) {
      const count = Math.min(chunk.length - at, size - part.size)
      const bytes = count === chunk.length ? chunk : chunk.subarray(at, at + count)
      part.add(bytes)
      at += count
      if (part.size < size) continue
      yield part
      part = new Part()
    }
  }
  if (part.size > 0) yield part
  return undefined
}
