import { GetBucketVersioningCommand } from '@aws-sdk/client-s3'
import type { S3Bucket } from './bucket.ts'
import { isNotImplemented, statusOf } from './store-error.ts'

/** How long the versioning of a bucket is remembered, in milliseconds. */
const REMEMBERED_MS = 60_000

/** Versioning of a bucket (AWS, "GetBucketVersioning"). A store without the call has no versions. */
export type Versioning = 'never' | 'enabled' | 'suspended' | 'unknown'

/**
 * Makes a function that asks for the versioning of a bucket, and remembers the response for a minute.
 *
 * @param now a steady clock, in milliseconds
 * @returns a function that never rejects
 */
export function openVersioning(
  { client, settings, bounded }: Pick<S3Bucket, 'client' | 'settings' | 'bounded'>,
  now: () => number = () => performance.now(),
): () => Promise<Versioning> {
  let known: Promise<Versioning> | undefined
  let until = 0

  async function ask(): Promise<Versioning> {
    try {
      const { Status } = await client.send(new GetBucketVersioningCommand({ Bucket: settings.bucket }), bounded())
      return Status === undefined ? 'never' : Status === 'Suspended' ? 'suspended' : 'enabled'
    } catch (error) {
      if (isNotImplemented(error)) return 'never'
      if (statusOf(error) === 403) settings.onLimit?.('versioning')
      // An error that may pass is not remembered
      else until = 0
      return 'unknown'
    }
  }

  return () => {
    if (known && now() < until) return known
    until = now() + REMEMBERED_MS
    known = ask()
    return known
  }
}
