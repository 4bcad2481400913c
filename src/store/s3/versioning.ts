import { GetBucketVersioningCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import type { S3Bucket } from './bucket.ts'
import { isNotImplemented, statusOf } from './store-error.ts'

/** How long it is remembered what a bucket can do, in milliseconds. */
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
  return remembered(async (forget) => {
    try {
      const { Status } = await client.send(new GetBucketVersioningCommand({ Bucket: settings.bucket }), bounded())
      return Status === undefined ? 'never' : Status === 'Suspended' ? 'suspended' : 'enabled'
    } catch (error) {
      if (isNotImplemented(error)) return 'never'
      if (statusOf(error) === 403) settings.onLimit?.('versioning')
      else forget()
      return 'unknown'
    }
  }, now)
}

/**
 * Makes a function that tries whether the versions of a bucket can be listed (AWS, "ListObjectVersions"): without them nothing is
 * restored. Remembers the response for a minute. An error that may pass counts as a yes.
 *
 * @returns a function that never rejects, and waits no longer than one timeout of the store
 */
export function openVersionsCheck({
  client,
  settings,
  full,
}: Pick<S3Bucket, 'client' | 'settings' | 'full'>): () => Promise<boolean> {
  return remembered(async (forget) => {
    const command = new ListObjectVersionsCommand({
      Bucket: settings.bucket,
      Prefix: full(settings.probe ?? ''),
      MaxKeys: 1,
    })
    try {
      await client.send(command, { abortSignal: AbortSignal.timeout(settings.timeout) })
    } catch (error) {
      const isHidden = statusOf(error) === 403 || isNotImplemented(error)
      if (isHidden) settings.onLimit?.('versions')
      else forget()
      return !isHidden
    }
    return true
  })
}

/** @param ask gets a function that lets its response be forgotten: it comes of an error that may pass */
function remembered<T>(
  ask: (forget: () => void) => Promise<T>,
  now: () => number = () => performance.now(),
): () => Promise<T> {
  let known: Promise<T> | undefined
  let until = 0
  return () => {
    if (known && now() < until) return known
    until = now() + REMEMBERED_MS
    known = ask(() => {
      until = 0
    })
    return known
  }
}
