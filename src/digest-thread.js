// @ts-check
import { createHash, hash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'

/**
 * The thread that digests, for digest.ts: orders come one after another, and each is answered. JavaScript, since a thread is started
 * without the loader that lets tests run TypeScript.
 *
 * @import { Answer, Order } from './digest.ts'
 */

/** Of what comes in several orders. @type {Map<number, import('node:crypto').Hash>} */
const wholes = new Map()

parentPort?.on('message', (/** @type {Order} */ { id, chunks, whole }) => {
  const digest = whole === undefined ? digestOf(chunks) : partOf(whole, chunks)
  parentPort?.postMessage(/** @type {Answer} */ ({ id, digest, chunks }), buffersOf(chunks))
})

/** @param {readonly Uint8Array<ArrayBuffer>[]} chunks */
function digestOf(chunks) {
  const [only] = chunks
  if (only && chunks.length === 1) return hash('sha256', only)
  const own = createHash('sha256')
  for (const chunk of chunks) own.update(chunk)
  return own.digest('hex')
}

/**
 * @param {number} id
 * @param {readonly Uint8Array<ArrayBuffer>[]} chunks
 */
function partOf(id, chunks) {
  const whole = wholes.get(id) ?? createHash('sha256')
  for (const chunk of chunks) whole.update(chunk)
  if (chunks.length > 0) {
    wholes.set(id, whole)
    return ''
  }
  wholes.delete(id)
  return whole.digest('hex')
}

/** @param {readonly Uint8Array<ArrayBuffer>[]} chunks */
function buffersOf(chunks) {
  return chunks.map(({ buffer }) => buffer)
}
