import { createHash, randomBytes } from 'node:crypto'
import t from 'tap'
import { BUFFER_BYTES, bufferPool } from '../src/buffer-pool.ts'
import { digestBody, LongDigest, sha256 } from '../src/digest.ts'

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

t.test('a body that is wanted for its digest alone is read to its end, or to its error', async (t) => {
  const pieces = [[], [Buffer.from('abc')], [filled(100_001)], Array.from({ length: 9 }, () => filled())]
  for (const chunks of pieces) {
    const [digest, size] = [expected(chunks), chunks.reduce((sum, { length }) => sum + length, 0)]
    async function* body() {
      yield* chunks
    }
    t.same(await digestBody(body()), { size, sha256: digest })
  }
  async function* broken() {
    for (let n = 0; n < 5; n++) yield filled()
    throw new Error('broken')
  }
  await t.rejects(digestBody(broken()), { message: 'broken' })
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
    t.equal(await sha256(chunks), before, chunks.map(({ length }) => length).join(', '))
    t.equal(expected(chunks), before, 'the bytes are there again')
    t.same(
      chunks.map(({ length }) => length),
      lengths,
    )
  }
})

t.test('digests that are under way at once are not mixed up', async (t) => {
  const images = Array.from({ length: 20 }, (_, index) => [filled(40_000 + index), filled(index)])
  const parts = [[filled(), filled()], [filled()], [filled(9)]]
  const others = parts.map(() => [filled(), Buffer.from('a few bytes')])
  const wanted = [...images.map(expected), expected(parts.flat()), expected(others.flat())]
  const [long, other] = [new LongDigest(), new LongDigest()]
  const digests = images.map((image) => sha256(image))
  await Promise.all([...parts.map((part) => long.add(part)), ...others.map((part) => other.add(part))])
  t.same(await Promise.all([...digests, long.end(), other.end()]), wanted)
})

t.test('of something long the digest is that of all its parts', async (t) => {
  const parts = [[filled(), Buffer.from('a few bytes')], [filled(7)], [filled(90_000)]]
  for (const [before, last] of [
    [parts.slice(0, 2), parts[2]],
    [parts, undefined],
  ] as const) {
    const wanted = expected([...before, ...(last ? [last] : [])].flat())
    const long = new LongDigest()
    for (const part of before) await long.add(part)
    t.equal(await long.end(last), wanted)
  }
})

t.test('a block is lent again when it was digested, and can be given back', async (t) => {
  const chunks = [filled(100_000)]
  await sha256(chunks)
  const [{ buffer } = Buffer.alloc(0)] = chunks
  bufferPool.release([chunks[0] as Buffer])
  t.equal(bufferPool.acquire().buffer, buffer)
})
