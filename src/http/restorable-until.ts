import type { FastifyInstance } from 'fastify'
import { stopwatch } from '../io/stopwatch.ts'

/** How long it is remembered whether the store keeps what is deleted, in milliseconds: a bucket has to be asked. */
const REMEMBERED_MS = 60_000

/**
 * Returns a function that tells until when a deletion that begins now can be undone, as `Restorable-Until`: an HTTP-date (RFC 9110
 * section 5.6.7), or `unknown` for a bucket with versions, whose lifecycle rules decide. It returns undefined if the store keeps nothing
 * or does not tell, and never rejects.
 */
export function restorableUntilOf({ config, store }: FastifyInstance): () => Promise<string | undefined> {
  let isKept: Promise<boolean | undefined> | undefined
  let sinceAsked = stopwatch()
  return async () => {
    const until = Date.now() + config.TRASH_RETENTION
    if (!isKept || sinceAsked() > REMEMBERED_MS) {
      isKept = store.deleted?.isKept().catch(() => undefined)
      sinceAsked = stopwatch()
    }
    if (!(await isKept)) return undefined
    return config.S3_BUCKET === undefined ? new Date(until).toUTCString() : 'unknown'
  }
}
