export interface Box {
  readonly type: string
  readonly content: Buffer
  /** With its header. */
  readonly whole: Buffer
  /** Offset in the bytes that were read. */
  readonly start: number
}

/** Most boxes to read side by side: those of a sequence have some tens. */
export const MAX_BOXES = 10_000

/** Reads the boxes side by side in `bytes` (ISO/IEC 14496-12 section 4.2), up to one that is cut off. */
export function readBoxes(bytes: Buffer): Box[] {
  const boxes: Box[] = []
  for (let start = 0; start + 8 <= bytes.length && boxes.length < MAX_BOXES; ) {
    let size = bytes.readUInt32BE(start)
    let content = start + 8
    if (size === 1 && start + 16 <= bytes.length) {
      size = Number(bytes.readBigUInt64BE(content))
      content += 8
    } else if (size === 0) size = bytes.length - start
    const end = start + size
    if (end < content || end > bytes.length) break
    const type = bytes.toString('latin1', start + 4, start + 8)
    boxes.push({ type, content: bytes.subarray(content, end), whole: bytes.subarray(start, end), start })
    start = end
  }
  return boxes
}

/** Returns the content of the first box at a path of types. */
export function findBox(bytes: Buffer | undefined, ...path: string[]): Buffer | undefined {
  return path.reduce<Buffer | undefined>(
    (inside, type) => inside && readBoxes(inside).find((box) => box.type === type)?.content,
    bytes,
  )
}

export function makeBox(type: string, ...content: Buffer[]): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(8), ...content])
  bytes.writeUInt32BE(bytes.length)
  bytes.write(type, 4, 'latin1')
  return bytes
}

/** @param length bytes of each value */
export function bigEndian(length: number, ...values: number[]): Buffer {
  const bytes = Buffer.alloc(length * values.length)
  for (const [index, value] of values.entries()) bytes.writeUIntBE(value, index * length, length)
  return bytes
}

/** Version 0 and no flags, with which many boxes begin. */
export const NO_FLAGS = bigEndian(4, 0)

/** Returns whether a reader must know a property (MIAF, AVIF section 2.2.1): the decoder's configuration, and what turns or crops. */
export function isEssential(type: string): boolean {
  return ['av1C', 'clap', 'irot', 'imir', 'a1op', 'lsel'].includes(type)
}
