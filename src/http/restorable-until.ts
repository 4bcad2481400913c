import type { Config } from '../config.ts'

/**
 * Returns the value of `Restorable-Until` for a deletion that begins now, if the store keeps what is deleted: an HTTP-date (RFC 9110
 * section 5.6.7), or `unknown` for a bucket with versions, whose lifecycle rules decide.
 */
export function restorableUntil({ S3_BUCKET, TRASH_RETENTION }: Config): string {
  return S3_BUCKET === undefined ? new Date(Date.now() + TRASH_RETENTION).toUTCString() : 'unknown'
}
