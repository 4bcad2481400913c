import { randomBytes } from 'node:crypto'
import t from 'tap'
import { BLOCK_BYTES, takeBlock } from '../../../src/blocks.ts'
import { inParts, type Part } from '../../../src/store/s3/parts.ts'
import { inChunks, MIB } from '../../support/bodies.ts'

async function blocksOf(bytes: Uint8Array, chunk: number, size: number): Promise<Buffer[]> {
  const blocks: Buffer[] = []
  for await (const part of inParts(inChunks(bytes, chunk), size)) {
    const block = Buffer.concat(part.bytes)
    t.equal(block.length, part.size)
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

t.test('blocks that a part gives back are used again, but for one that two parts hold', async (t) => {
  const [first, second, third] = [takeBlock(), takeBlock(), takeBlock()]
  async function* body() {
    yield first
    yield second
    yield third
  }
  const parts: Part[] = []
  for await (const part of inParts(body(), 2 * BLOCK_BYTES - 1)) parts.push(part)
  for (const part of parts) part.release()
  const again = new Set([takeBlock().buffer, takeBlock().buffer, takeBlock().buffer])
  t.ok(again.has(first.buffer))
  t.ok(again.has(third.buffer))
  t.notOk(again.has(second.buffer))
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
