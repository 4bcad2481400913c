import { DeleteObjectsCommand } from '@aws-sdk/client-s3'
import { DeleteFailure } from '../../errors.ts'
import { sideBySide } from '../../side-by-side.ts'
import type { S3Bucket } from './bucket.ts'
import { storeError } from './store-error.ts'

/** Keys that one DeleteObjects call takes (AWS, "DeleteObjects"). */
const DELETE_BATCH = 1000

/** Calls of one deletion that run side by side. */
const CALLS_AT_ONCE = 8

/** `ObjectStore.delete` */
export async function deleteObjects(bucket: S3Bucket, keys: readonly string[]): Promise<void> {
  const failed: string[] = []
  const causes: unknown[] = []
  await sideBySide(batchesOf(keys), CALLS_AT_ONCE, async (batch) => {
    try {
      const answer = await bucket.client.send(
        new DeleteObjectsCommand({
          Bucket: bucket.settings.bucket,
          Delete: { Objects: batch.map((key) => ({ Key: bucket.full(key) })), Quiet: true },
        }),
        bucket.bounded(),
      )
      // The answer is a 200 all the same
      for (const { Key, Code, Message } of answer.Errors ?? []) {
        if (Code === 'NoSuchKey') continue
        failed.push(Key?.slice(bucket.settings.prefix.length) ?? '')
        causes.push(new Error(`${Code}: ${Message}`))
      }
    } catch (error) {
      throw storeError(error)
    }
  })
  if (failed.length > 0) throw new DeleteFailure(failed).because(causes[0])
}

function* batchesOf(keys: readonly string[]): Generator<readonly string[]> {
  for (let at = 0; at < keys.length; at += DELETE_BATCH) yield keys.slice(at, at + DELETE_BATCH)
}
