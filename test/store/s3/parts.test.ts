import { createHash, randomBytes } from 'node:crypto'
import t from 'tap'
import { inParts, LARGE_BLOCK, type Part, SMALL_BLOCK } from '../../../src/store/s3/parts.ts'
import { inChunks, MIB } from '../../support/bodies.ts'

async function blocksOf(bytes: Uint8Array, chunk: number, size: number): Promise<Buffer[]> {
  const blocks: Buffer[] = []
  for await (const part of inParts(inChunks(bytes, chunk), size)) {
    const block = Buffer.concat(part.bytes)
    t.equal(block.length, part.size)
    t.equal(part.sha256(), createHash('sha256').update(block).digest('hex'))
    blocks.push(block)
    part.release()
  }
  return blocks
}

t.test('every block but the last has exactly the size, and no byte is lost', async (t) => {
  const bytes = randomBytes(3 * MIB + 1)
  for (const [length, chunk, size, blocks] of [
    [0, 1, 10, 0],
    [9, 1, 10, 1],
    [10, 3, 10, 1],
    [11, 3, 10, 2],
    [100, 1000, 10, 10],
    [MIB - 1, 1000, MIB, 1],
    [MIB, 65_536, MIB, 1],
    [MIB + 1, 65_536, MIB, 2],
    [3 * MIB + 1, 3 * MIB + 1, MIB, 4],
    [3 * MIB + 1, 700_001, MIB, 4],
  ] as const) {
    const found = await blocksOf(bytes.subarray(0, length), chunk, size)
    const name = `${length} bytes in chunks of ${chunk}, blocks of ${size}`
    t.equal(found.length, blocks, name)
    t.ok(found.slice(0, -1).every((block) => block.length === size))
    t.ok(found.every((block) => block.length > 0))
    t.ok(Buffer.concat(found).equals(bytes.subarray(0, length)))
  }
})

t.test('a part whose memory was released leaves those of others alone', async (t) => {
  const kept: [Buffer, Part][] = []
  for (let i = 0; i < 50; i++) {
    const bytes = randomBytes(100_000 + 20_000 * i)
    for await (const part of inParts(inChunks(bytes, 60_000), 5 * MIB)) kept.push([bytes, part])
    // Every other one goes back, to be used by those that follow
    if (i % 2 === 0) kept.pop()?.[1].release()
  }
  for (const [bytes, part] of kept) t.ok(Buffer.concat(part.bytes).equals(bytes))
})

t.test('memory is what is in it, and less than a block more', async (t) => {
  for (const size of [40, 12_000, SMALL_BLOCK, SMALL_BLOCK + 1, 65_537, LARGE_BLOCK, LARGE_BLOCK + 1, MIB + 1]) {
    const bytes = Buffer.alloc(size)
    for await (const part of inParts(inChunks(bytes, Math.ceil(size / 3)), 5 * MIB)) {
      const held = part.bytes.reduce((sum, piece) => sum + piece.buffer.byteLength, 0)
      const most = size <= SMALL_BLOCK ? SMALL_BLOCK : size + LARGE_BLOCK
      t.ok(held <= most, `${size} bytes: ${held}`)
    }
  }
})

t.test("a body's error comes through, and a reader who stops ends the body", async (t) => {
  const broken = new Error('broken')
  let ended = 0
  async function* body(fails: boolean) {
    try {
      yield Buffer.alloc(25)
      if (fails) throw broken
      yield Buffer.alloc(25)
    } finally {
      ended += 1
    }
  }
  const failure = await (async () => {
    for await (const block of inParts(body(true), 10)) t.equal(block.size, 10)
  })().catch((error) => error)
  t.equal(failure, broken)
  for await (const block of inParts(body(false), 10)) {
    t.equal(block.size, 10)
    break
  }
  t.equal(ended, 2)
})

t.test('300,000 chunks of one byte, each a window on a large buffer, hold little memory', async (t) => {
  async function* drops() {
    // As a socket does it: each chunk is cut from a buffer of its own
    for (let i = 0; i < 300_000; i++) yield Buffer.allocUnsafeSlow(64).subarray(0, 1)
  }
  const before = process.memoryUsage()
  let peak = 0
  let size = 0
  async function* watched() {
    for await (const chunk of drops()) {
      size += 1
      if (size % 20_000 === 0) peak = Math.max(peak, process.memoryUsage().arrayBuffers)
      yield chunk
    }
  }
  for await (const block of inParts(watched(), 5 * MIB)) t.equal(block.size, 300_000)
  t.ok(peak - before.arrayBuffers < 40 * MIB, `${Math.round((peak - before.arrayBuffers) / MIB)} MiB`)
})
