import { hash } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { bufferPool } from './buffer-pool.ts'
import { CODE } from './package.ts'

/** What `digestBody` hands over at once, in bytes. */
const HANDED_BYTES = 512 * 1024

/** Fewer bytes are digested sooner than they are handed over. */
const LEAST_BYTES = 32 * 1024

/** What the thread is to do. Memory goes to it and comes back, so that nobody writes to it meanwhile. */
export interface Order {
  readonly id: number
  readonly chunks: readonly Uint8Array<ArrayBuffer>[]
  /** Number of something longer that these chunks are the next part of; without chunks it is at its end. */
  readonly whole?: number
}

export interface Answer extends Pick<Order, 'id' | 'chunks'> {
  /** SHA-256 in hexadecimal; of something longer, only at its end. */
  readonly digest: string
}

interface Waiting {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}

let thread: Worker | undefined
let last = 0
/** By the number of the order. */
const waiting = new Map<number, Waiting>()

/**
 * SHA-256 in hexadecimal, by a thread of its own: the event loop, which would spend a quarter of an upload on it, does something else
 * meanwhile. The blocks among the chunks are replaced, since their memory was elsewhere.
 */
export async function sha256(chunks: Uint8Array[]): Promise<string> {
  const [only = new Uint8Array()] = chunks
  if (chunks.length < 2 && only.length < LEAST_BYTES) return hash('sha256', only)
  return handOver(chunks)
}

/** SHA-256 of something that comes in parts. */
export class LongDigest {
  readonly id = ++last
  /** It has what came before. */
  readonly thread = running()

  /** Has these chunks too, behind those before. The blocks among them are replaced. */
  async add(chunks: Uint8Array[]): Promise<void> {
    await handOver(chunks, this)
  }

  /** Of all parts so far, and of the last one. To be called also when nobody wants to know: until then the thread keeps its state. */
  async end(chunks: Uint8Array[] = []): Promise<string> {
    if (chunks.length > 0) await this.add(chunks)
    return handOver([], this)
  }
}

/**
 * Reads a body that is wanted for nothing else.
 *
 * @returns its size in bytes and its SHA-256 in hexadecimal
 * @throws what the body throws
 */
export async function digestBody(body: AsyncIterable<Uint8Array>): Promise<{ size: number; sha256: string }> {
  let whole: LongDigest | undefined
  let chunks: Uint8Array[] = []
  let held = 0
  let size = 0
  try {
    for await (const chunk of body) {
      chunks.push(chunk)
      held += chunk.length
      size += chunk.length
      if (held < HANDED_BYTES) continue
      whole ??= new LongDigest()
      await whole.add(chunks)
      bufferPool.release(chunks)
      chunks = []
      held = 0
    }
    const digest = await (whole ? whole.end(chunks) : sha256(chunks))
    bufferPool.release(chunks)
    return { size, sha256: digest }
  } catch (error) {
    await whole?.end().catch(() => {})
    throw error
  }
}

async function handOver(chunks: Uint8Array[], whole?: LongDigest): Promise<string> {
  // What is in no block may be seen by others, and is copied
  const areBlocks = chunks.map((chunk) => bufferPool.transferOut(chunk))
  const sent = chunks.map(
    (chunk, index) => (areBlocks[index] ? chunk : new Uint8Array(chunk)) as Uint8Array<ArrayBuffer>,
  )
  const answer = await order({ chunks: sent, ...(whole && { whole: whole.id }) }, whole?.thread)
  for (const [index, chunk] of answer.chunks.entries()) {
    if (areBlocks[index]) chunks[index] = bufferPool.transferIn(chunk)
  }
  return answer.digest
}

function running(): Worker {
  thread ??= start()
  return thread
}

/** @param wanted no other thread will do */
async function order(work: Omit<Order, 'id'>, wanted: Worker | undefined): Promise<Answer> {
  const worker = running()
  if (wanted && wanted !== worker) throw new Error('The thread that digests is another one')
  const id = ++last
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject })
    // Only work keeps the process alive
    worker.ref()
    worker.postMessage(
      { id, ...work } satisfies Order,
      work.chunks.map(({ buffer }) => buffer),
    )
  })
}

function start(): Worker {
  const started = new Worker(new URL('digest-thread.js', CODE))
  started.on('message', (answer: Answer) => {
    waiting.get(answer.id)?.resolve(answer)
    waiting.delete(answer.id)
    if (waiting.size === 0) started.unref()
  })
  const lose = (error: unknown) => {
    if (thread !== started) return
    thread = undefined
    for (const { reject } of waiting.values()) reject(error)
    waiting.clear()
  }
  started.once('error', lose)
  started.once('exit', (code) => lose(new Error(`The thread that digests has ended with ${code}`)))
  return started
}
