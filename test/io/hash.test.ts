import { createHash, randomBytes } from 'node:crypto'
import t from 'tap'
import { BUFFER_BYTES, bufferPool } from '../../src/io/buffer-pool.ts'
import { hash, hashBody, StreamingHash } from '../../src/io/hash.ts'

function expected(chunks: readonly Uint8Array[]): string {
  const digest = createHash('sha256')
  for (const chunk of chunks) digest.update(chunk)
  return digest.digest('hex')
}

/** A block with something in it. */
function filled(length = BUFFER_BYTES): Buffer {
  const block = bufferPool.acquire().subarray(0, length)
  block.set(randomBytes(length))
  return block
}

t.test('a body that is only hashed is read to its end, or to its error', async (t) => {
  const pieces = [[], [Buffer.from('abc')], [filled(100_001)], Array.from({ length: 9 }, () => filled())]
  for (const chunks of pieces) {
    const [digest, size] = [expected(chunks), chunks.reduce((sum, { length }) => sum + length, 0)]
    async function* body() {
      yield* chunks
    }
    t.same(await hashBody(body()), { size, sha256: digest })
  }
  async function* broken() {
    for (let n = 0; n < 5; n++) yield filled()
    throw new Error('broken')
  }
  await t.rejects(hashBody(broken()), { message: 'broken' })
})

t.test('the digest is that of the chunks, however many and wherever they are', async (t) => {
  const large = randomBytes(300_000)
  for (const chunks of [
    [],
    [Buffer.alloc(0)],
    [Buffer.from('abc')],
    [large],
    // A window on other memory
    [large.subarray(1000, 90_000)],
    [filled()],
    [filled(100_001)],
    [filled(), filled(), filled(1)],
    [Buffer.from('abc'), filled(), large.subarray(7)],
  ]) {
    const [before, lengths] = [expected(chunks), chunks.map(({ length }) => length)]
    const hashed = await hash(chunks)
    t.equal(hashed.digest, before, lengths.join(', '))
    t.equal(expected(hashed.chunks), before, 'the bytes are the same')
    t.same(
      hashed.chunks.map(({ length }) => length),
      lengths,
    )
  }
})

t.test('hashes that are under way at once are not mixed up', async (t) => {
  const images = Array.from({ length: 20 }, (_, index) => [filled(40_000 + index), filled(index)])
  const parts = [[filled(), filled()], [filled()], [filled(9)]]
  const others = parts.map(() => [filled(), Buffer.from('a few bytes')])
  const wanted = [...images.map(expected), expected(parts.flat()), expected(others.flat())]
  const [stream, other] = [new StreamingHash(), new StreamingHash()]
  const hashed = images.map((image) => hash(image))
  await Promise.all([...parts.map((part) => stream.update(part)), ...others.map((part) => other.update(part))])
  const results = await Promise.all([...hashed, stream.digest(), other.digest()])
  t.same(
    results.map(({ digest }) => digest),
    wanted,
  )
})

t.test('a streaming hash is that of all its parts', async (t) => {
  for (const hasLast of [true, false]) {
    const parts = [[filled(), Buffer.from('a few bytes')], [filled(7)], [filled(90_000)]]
    const wanted = expected(parts.flat())
    const last = hasLast ? parts.pop() : undefined
    const stream = new StreamingHash()
    for (const part of parts) {
      const before = expected(part)
      t.equal(expected(await stream.update(part)), before, 'the bytes are the same')
    }
    t.equal((await stream.digest(last)).digest, wanted)
  }
})

t.test('a buffer of the pool can be released when it has been hashed', async (t) => {
  const chunk = filled(100_000)
  const { chunks } = await hash([chunk])
  t.equal(chunk.length, 0, 'the old object has lost its memory')
  const [{ buffer } = Buffer.alloc(0)] = chunks
  bufferPool.release(chunks)
  t.equal(bufferPool.acquire().buffer, buffer)
})
