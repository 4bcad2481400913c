import type { FastifyInstance } from 'fastify'

/**
 * Returns until when a deletion that begins now can be undone, as `Restorable-Until`: an HTTP-date (RFC 9110 section 5.6.7), or
 * `unknown` for a bucket with versions, whose lifecycle rules decide. Returns undefined if the store keeps nothing or does not tell, and
 * never rejects.
 */
export async function restorableUntil({ config, store }: FastifyInstance): Promise<string | undefined> {
  const until = Date.now() + config.TRASH_RETENTION
  if (!(await store.deleted?.isKept().catch(() => undefined))) return undefined
  return config.S3_BUCKET === undefined ? new Date(until).toUTCString() : 'unknown'
}
