// @ts-check
import { createHash, hash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'

/**
 * The worker of hash.ts. It runs the jobs in their order and returns one result for each. It is JavaScript because a worker is started
 * without the loader that lets tests run TypeScript.
 *
 * @import { Job, JobResult } from './hash.ts'
 */

/** Streaming hashes by their ids. @type {Map<number, import('node:crypto').Hash>} */
const streams = new Map()

parentPort?.on('message', (/** @type {Job} */ { id, chunks, stream }) => {
  const digest = stream === undefined ? hashAll(chunks) : continueStream(stream, chunks)
  const buffers = chunks.map(({ buffer }) => buffer)
  parentPort?.postMessage(/** @type {JobResult} */ ({ id, digest, chunks }), buffers)
})

/** @param {readonly Uint8Array<ArrayBuffer>[]} chunks */
function hashAll(chunks) {
  const [only] = chunks
  if (only && chunks.length === 1) return hash('sha256', only)
  return update(createHash('sha256'), chunks).digest('hex')
}

/**
 * @param {number} id
 * @param {readonly Uint8Array<ArrayBuffer>[]} chunks
 */
function continueStream(id, chunks) {
  const stream = update(streams.get(id) ?? createHash('sha256'), chunks)
  streams.set(id, stream)
  if (chunks.length > 0) return ''
  streams.delete(id)
  return stream.digest('hex')
}

/**
 * @param {import('node:crypto').Hash} stream
 * @param {readonly Uint8Array[]} chunks
 */
function update(stream, chunks) {
  for (const chunk of chunks) stream.update(chunk)
  return stream
}
