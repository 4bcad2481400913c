import { GetBucketVersioningCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import type { S3Bucket } from './bucket.ts'
import { isNotImplemented, statusOf } from './store-error.ts'

/** How long the versioning of a bucket is remembered, in milliseconds. */
const REMEMBERED_MS = 60_000

/**
 * Versioning of a bucket (AWS, "GetBucketVersioning"). A store without the call has no versions. `hidden` is enabled, but these credentials
 * may not list versions, so they can restore nothing.
 */
export type Versioning = 'never' | 'enabled' | 'hidden' | 'suspended' | 'unknown'

/**
 * Makes a function that asks for the versioning of a bucket, and remembers the response for a minute.
 *
 * @param now a steady clock, in milliseconds
 * @returns a function that never rejects
 */
export function openVersioning(
  { client, settings, full, bounded }: Pick<S3Bucket, 'client' | 'settings' | 'full' | 'bounded'>,
  now: () => number = () => performance.now(),
): () => Promise<Versioning> {
  let known: Promise<Versioning> | undefined
  let until = 0

  async function ask(): Promise<Versioning> {
    try {
      const { Status } = await client.send(new GetBucketVersioningCommand({ Bucket: settings.bucket }), bounded())
      if (Status === undefined) return 'never'
      if (Status === 'Suspended') return 'suspended'
      return (await mayListVersions()) ? 'enabled' : 'hidden'
    } catch (error) {
      if (isNotImplemented(error)) return 'never'
      if (statusOf(error) === 403) settings.onLimit?.('versioning')
      // An error that may pass is not remembered
      else until = 0
      return 'unknown'
    }
  }

  async function mayListVersions(): Promise<boolean> {
    const command = new ListObjectVersionsCommand({
      Bucket: settings.bucket,
      Prefix: full(settings.probe ?? ''),
      MaxKeys: 1,
    })
    return await client.send(command, bounded()).then(
      () => true,
      (error) => statusOf(error) !== 403,
    )
  }

  return () => {
    if (known && now() < until) return known
    until = now() + REMEMBERED_MS
    known = ask()
    return known
  }
}
