import t from 'tap'
import { type Edit, EditRun, hold, keep, keepUntil, put } from '../../../src/images/metadata/editor.ts'
import { BUFFER_BYTES, bufferPool } from '../../../src/io/buffer-pool.ts'

/** Keeps the first bytes of each chunk of the pool, and drops the others. */
function* keepOfEach(bytes: number): Edit {
  for (;;) {
    yield keep(bytes)
    if ((yield hold(BUFFER_BYTES - bytes)).length === 0) return
  }
}

t.test('a chunk that is kept, or loses little, stays in its buffer', async (t) => {
  for (const bytes of [BUFFER_BYTES, BUFFER_BYTES - BUFFER_BYTES / 16]) {
    const buffer = bufferPool.acquire()
    const written = new EditRun(keepOfEach(bytes)).push(buffer)
    t.same(
      written.map(({ length }) => length),
      [bytes],
    )
    t.equal(written[0]?.buffer, buffer.buffer)
    t.ok(bufferPool.transferOut(buffer), 'which is not released')
  }
})

t.test('a chunk that loses much takes no more memory than is left of it, and its buffer is used again', async (t) => {
  for (const bytes of [1, BUFFER_BYTES - BUFFER_BYTES / 16 - 1]) {
    const buffer = bufferPool.acquire().fill('a')
    const written = new EditRun(keepOfEach(bytes)).push(buffer)
    t.same(
      written.map(({ length, buffer }) => [length, buffer.byteLength]),
      [[bytes, bytes]],
    )
    t.ok(written[0]?.every((byte) => byte === 0x61))
    t.equal(bufferPool.acquire().buffer, buffer.buffer)
    bufferPool.release([buffer])
  }
})

t.test('the buffer of a chunk that is dropped whole is used again', async (t) => {
  const buffer = bufferPool.acquire()
  t.same(new EditRun(keepOfEach(0)).push(buffer), [])
  t.equal(bufferPool.acquire().buffer, buffer.buffer)
})

t.test('what an edit holds takes no more memory than has arrived, however much it claims', async (t) => {
  function* claim(): Edit {
    yield put(yield hold(2 ** 40))
  }
  const run = new EditRun(claim())
  t.same(run.push(Buffer.from('abc')), [])
  t.same(run.push(Buffer.from('de')), [])
  t.same(run.end(), [Buffer.from('abcde')])
})

t.test('bytes that were held in two chunks and are put again come once, and in their place', async (t) => {
  function* again(): Edit {
    yield keep(2)
    yield put(yield hold(4))
    yield keepUntil(() => -1)
  }
  const file = Buffer.from('0123456789')
  for (let cut = 0; cut <= file.length; cut++) {
    const run = new EditRun(again())
    const written = [Buffer.from(file.subarray(0, cut)), Buffer.from(file.subarray(cut))].flatMap((chunk) =>
      run.push(chunk),
    )
    t.equal(Buffer.concat([...written, ...run.end()]).toString(), '0123456789', `cut at ${cut}`)
  }
})
