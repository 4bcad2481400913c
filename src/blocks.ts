/** Bytes of an image on their way are collected in blocks of this size. */
export const BLOCK_BYTES = 256 * 1024

/** Most blocks that are kept for later while nobody uses them: 32 MiB. */
const KEPT = 128

const unused: Buffer[] = []
const lent = new WeakSet<ArrayBufferLike>()

/** Memory that was written to before costs a third of new memory: no pages to map, nothing for the garbage collector. */
export function takeBlock(): Buffer {
  const block = unused.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
  lent.add(block.buffer)
  return block
}

/** Lets a block be used again. For whoever holds its bytes last; bytes that are not those of a block are left alone. */
export function giveBack({ buffer }: Uint8Array): void {
  if (lent.delete(buffer) && unused.length < KEPT) unused.push(Buffer.from(buffer))
}

/** Whether these bytes are those of a block, which is lent no more then: its memory goes to another thread. */
export function takeBack({ buffer }: Uint8Array): boolean {
  return lent.delete(buffer)
}

/** What has come back from there. */
export function lendAgain({ buffer, byteOffset, length }: Uint8Array<ArrayBuffer>): Buffer {
  lent.add(buffer)
  return Buffer.from(buffer, byteOffset, length)
}
