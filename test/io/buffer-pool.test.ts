import t from 'tap'
import { BUFFER_BYTES, BufferPool } from '../../src/io/buffer-pool.ts'

t.test('a buffer that is released is the next one', async (t) => {
  const pool = new BufferPool()
  const buffer = pool.acquire()
  t.equal(buffer.length, BUFFER_BYTES)
  pool.release([buffer.subarray(0, 10)])
  const again = pool.acquire()
  t.equal(again.buffer, buffer.buffer)
  t.equal(again.length, BUFFER_BYTES)
})

t.test('a buffer that is released twice has one owner', async (t) => {
  const pool = new BufferPool()
  const buffer = pool.acquire()
  pool.release([buffer, buffer])
  const [first, second] = [pool.acquire(), pool.acquire()]
  t.equal(first.buffer, buffer.buffer)
  t.not(second.buffer, buffer.buffer)
})

t.test('memory that is not of the pool never gets into it', async (t) => {
  const pool = new BufferPool()
  const bytes = Buffer.alloc(BUFFER_BYTES)
  pool.release([bytes])
  t.not(pool.acquire().buffer, bytes.buffer)
})

t.test('a buffer that went to another thread is of the pool again once it is back', async (t) => {
  const pool = new BufferPool()
  const buffer = pool.acquire()
  const bytes = new Uint8Array(buffer.buffer as ArrayBuffer, 10, 20)
  t.ok(pool.transferOut(bytes))
  t.notOk(pool.transferOut(bytes), 'it is gone')
  pool.release([bytes])
  t.not(pool.acquire().buffer, bytes.buffer, 'and can not be released')
  const back = pool.transferIn(bytes)
  t.same([back.byteOffset, back.length], [10, 20])
  pool.release([back])
  t.equal(pool.acquire().buffer, bytes.buffer)
})
