import t from 'tap'
import { BLOCK_BYTES, giveBack, takeBlock } from '../src/blocks.ts'

t.test('a block that is given back is the next one', async (t) => {
  const block = takeBlock()
  t.equal(block.length, BLOCK_BYTES)
  giveBack(block.subarray(0, 10))
  t.equal(takeBlock().buffer, block.buffer)
})

t.test('a block that is given back twice is lent once', async (t) => {
  const block = takeBlock()
  giveBack(block)
  giveBack(block)
  const [first, second] = [takeBlock(), takeBlock()]
  t.equal(first.buffer, block.buffer)
  t.not(second.buffer, block.buffer)
})

t.test('memory that is not a block is never lent', async (t) => {
  const bytes = Buffer.alloc(BLOCK_BYTES)
  giveBack(bytes)
  t.not(takeBlock().buffer, bytes.buffer)
})
