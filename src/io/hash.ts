import { hash as hashAtOnce } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { CODE } from '../version.ts'
import { bufferPool } from './buffer-pool.ts'

/** How much `hashBody` sends to the worker at a time, in bytes. */
const SENT_BYTES = 512 * 1024

/** Fewer bytes are hashed sooner than they are sent. */
const MIN_SENT_BYTES = 32 * 1024

/** A message to the worker. The memory of the chunks goes there and comes back, so that nobody writes to it meanwhile. */
export interface Job {
  readonly id: number
  readonly chunks: readonly Uint8Array<ArrayBuffer>[]
  /** The streaming hash that the chunks continue. A job without chunks ends it. */
  readonly stream?: number
}

export interface JobResult extends Pick<Job, 'id' | 'chunks'> {
  /** SHA-256 in hexadecimal; of a streaming hash, only at its end. */
  readonly digest: string
}

export interface Hashed {
  /** SHA-256 in hexadecimal. */
  readonly digest: string
  /** The chunks that were hashed. Use these from now on: the memory of a buffer of the pool has moved to a new object. */
  readonly chunks: Uint8Array[]
}

let worker: Worker | undefined
let lastId = 0
/** By the id of the job. */
const running = new Map<number, { resolve: (result: JobResult) => void; reject: (error: unknown) => void }>()

/** Hashes chunks by SHA-256 in a worker, which takes a quarter of the work of an upload off the event loop. */
export async function hash(chunks: Uint8Array[]): Promise<Hashed> {
  const [only = new Uint8Array()] = chunks
  if (chunks.length < 2 && only.length < MIN_SENT_BYTES) return { digest: hashAtOnce('sha256', only), chunks }
  return runInWorker(chunks)
}

/** SHA-256 of bytes that come in several parts. Always call `digest`, or the worker keeps its state for ever. */
export class StreamingHash {
  readonly id = ++lastId
  /** The worker that has the parts so far. */
  readonly worker = currentWorker()

  /** Appends chunks. Returns them as `hash` does. */
  async update(chunks: Uint8Array[]): Promise<Uint8Array[]> {
    return (await runInWorker(chunks, this)).chunks
  }

  /** Ends the hash, after these last chunks. */
  async digest(last: Uint8Array[] = []): Promise<Hashed> {
    const chunks = last.length > 0 ? await this.update(last) : last
    const { digest } = await runInWorker([], this)
    return { digest, chunks }
  }
}

/**
 * Reads a body only to hash it.
 *
 * @returns its size in bytes and its SHA-256 in hexadecimal
 * @throws what the body throws
 */
export async function hashBody(body: AsyncIterable<Uint8Array>): Promise<{ size: number; sha256: string }> {
  let stream: StreamingHash | undefined
  let chunks: Uint8Array[] = []
  let held = 0
  let size = 0
  try {
    for await (const chunk of body) {
      chunks.push(chunk)
      held += chunk.length
      size += chunk.length
      if (held < SENT_BYTES) continue
      stream ??= new StreamingHash()
      bufferPool.release(await stream.update(chunks))
      chunks = []
      held = 0
    }
    const { digest, chunks: rest } = await (stream ? stream.digest(chunks) : hash(chunks))
    bufferPool.release(rest)
    return { size, sha256: digest }
  } catch (error) {
    await stream?.digest().catch(() => {})
    throw error
  }
}

async function runInWorker(chunks: Uint8Array[], stream?: StreamingHash): Promise<Hashed> {
  const arePooled = chunks.map((chunk) => bufferPool.transferOut(chunk))
  // Memory that is not of the pool may be seen by others, and is copied
  const sent = chunks.map(
    (chunk, index) => (arePooled[index] ? chunk : new Uint8Array(chunk)) as Uint8Array<ArrayBuffer>,
  )
  const result = await runJob({ chunks: sent, ...(stream && { stream: stream.id }) }, stream?.worker)
  return {
    digest: result.digest,
    chunks: result.chunks.map((chunk, index) =>
      arePooled[index] ? bufferPool.transferIn(chunk) : (chunks[index] as Uint8Array),
    ),
  }
}

/** @param wanted the only worker that will do */
async function runJob(job: Omit<Job, 'id'>, wanted?: Worker): Promise<JobResult> {
  const current = currentWorker()
  if (wanted && wanted !== current) throw new Error('The hash worker has been replaced')
  const id = ++lastId
  return new Promise((resolve, reject) => {
    running.set(id, { resolve, reject })
    // Only jobs keep the process alive
    current.ref()
    current.postMessage(
      { id, ...job } satisfies Job,
      job.chunks.map(({ buffer }) => buffer),
    )
  })
}

function currentWorker(): Worker {
  worker ??= startWorker()
  return worker
}

function startWorker(): Worker {
  const started = new Worker(new URL('io/hash-worker.js', CODE))
  started.on('message', (result: JobResult) => {
    running.get(result.id)?.resolve(result)
    running.delete(result.id)
    if (running.size === 0) started.unref()
  })
  const fail = (error: unknown) => {
    if (worker !== started) return
    worker = undefined
    for (const { reject } of running.values()) reject(error)
    running.clear()
  }
  started.once('error', fail)
  started.once('exit', (code) => fail(new Error(`The hash worker has ended with ${code}`)))
  return started
}
