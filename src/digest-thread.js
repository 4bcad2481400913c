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
  const long = whole === undefined ? undefined : (wholes.get(whole) ?? createHash('sha256'))
  if (whole !== undefined && long) chunks.length > 0 ? wholes.set(whole, long) : wholes.delete(whole)
  const digest = chunks.length > 0 ? digestOf(chunks, long) : (long?.digest('hex') ?? hash('sha256', ''))
  parentPort?.postMessage(/** @type {Answer} */ ({ id, digest, chunks }), buffersOf(chunks))
})

/**
 * @param {readonly Uint8Array<ArrayBuffer>[]} chunks
 * @param {import('node:crypto').Hash | undefined} long
 */
function digestOf(chunks, long) {
  const [only] = chunks
  if (only && chunks.length === 1 && !long) return hash('sha256', only)
  const own = createHash('sha256')
  for (const chunk of chunks) {
    own.update(chunk)
    long?.update(chunk)
  }
  return own.digest('hex')
}

/** @param {readonly Uint8Array<ArrayBuffer>[]} chunks */
function buffersOf(chunks) {
  return chunks.map(({ buffer }) => buffer)
}
