import { GetBucketVersioningCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import { cached } from '../../io/cached.ts'
import type { S3Bucket } from './bucket.ts'
import { isNotImplemented, statusOf } from './store-error.ts'

/** How long the response about a bucket is remembered, in milliseconds. */
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
  now?: () => number,
): () => Promise<Versioning> {
  const ask = async (): Promise<Versioning> => {
    try {
      const { Status } = await client.send(new GetBucketVersioningCommand({ Bucket: settings.bucket }), bounded())
      return Status === undefined ? 'never' : Status === 'Suspended' ? 'suspended' : 'enabled'
    } catch (error) {
      if (isNotImplemented(error)) return 'never'
      if (statusOf(error) !== 403) throw error
      settings.onLimit?.('versioning')
      return 'unknown'
    }
  }
  // An error that may pass is not remembered
  const versioning = cached(ask, { success: REMEMBERED_MS, failure: 0 }, now)
  return () => versioning().catch(() => 'unknown')
}

/**
 * Makes a function that returns whether the versions of a bucket can be listed (AWS, "ListObjectVersions"): without that nothing can be
 * restored. It asks the bucket once a minute at most. An error that may pass counts as a yes.
 *
 * @returns a function that never rejects, and waits no longer than one timeout of the store
 */
export function openVersionsCheck({
  client,
  settings,
  full,
}: Pick<S3Bucket, 'client' | 'settings' | 'full'>): () => Promise<boolean> {
  const ask = async () => {
    const command = new ListObjectVersionsCommand({
      Bucket: settings.bucket,
      Prefix: full(settings.probe ?? ''),
      MaxKeys: 1,
    })
    try {
      await client.send(command, { abortSignal: AbortSignal.timeout(settings.timeout) })
      return true
    } catch (error) {
      const isHidden = statusOf(error) === 403 || isNotImplemented(error)
      if (isHidden) settings.onLimit?.('versions')
      return !isHidden
    }
  }
  // A deletion deletes records and then images, and must not wait twice for a list that stalls
  return cached(ask, { success: REMEMBERED_MS, failure: 0 })
}
