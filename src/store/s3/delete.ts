import { createHash, getFips } from 'node:crypto'
import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  type DeleteObjectsCommandInput,
  type DeleteObjectsCommandOutput,
} from '@aws-sdk/client-s3'
import type { BuildMiddleware, HttpRequest } from '@smithy/types'
import { DeleteFailure, ObjectNotFound, StoreFailure } from '../../errors.ts'
import { forEachConcurrent } from '../../io/for-each-concurrent.ts'
import type { S3Bucket } from './bucket.ts'
import { isNotImplemented, storeError } from './store-error.ts'

/** Keys that one DeleteObjects call takes (AWS, "DeleteObjects"). */
const DELETE_BATCH = 1000

/** Calls of one deletion that run at the same time: of many keys each, and of one key each. */
const CALLS_AT_ONCE = 8
const SINGLE_CALLS_AT_ONCE = 16

/** An object, or one version of it, which is deleted for good. */
export interface Target {
  readonly key: string
  readonly versionId?: string
}

/** Deletes any number of objects or versions. Rejects with `DeleteFailure`. */
export type DeleteTargets = (targets: readonly Target[]) => Promise<void>

/** Deletes any number of objects. Rejects with `DeleteFailure`. */
export type DeleteKeys = (keys: readonly string[]) => Promise<void>

/** Makes a function that deletes objects by their keys. */
export function openDelete(bucket: S3Bucket): DeleteKeys {
  const remove = openDeleteTargets(bucket)
  return (keys) => remove(keys.map((key) => ({ key })))
}

/** Makes a function that deletes many objects in one call, or one in each call if the store does not have DeleteObjects. */
export function openDeleteTargets(bucket: S3Bucket): DeleteTargets {
  let hasDeleteObjects = true

  return async (targets) => {
    const failed: string[] = []
    let cause: unknown
    const fail = (key: string, error: unknown) => {
      failed.push(key)
      cause ??= error
    }
    const single: Target[] = []
    if (hasDeleteObjects) {
      await forEachConcurrent(batchesOf(targets), CALLS_AT_ONCE, async (batch) => {
        if (hasDeleteObjects && (await deleteMany(bucket, batch, fail))) return
        if (hasDeleteObjects) bucket.settings.onLimit?.('delete_many')
        hasDeleteObjects = false
        single.push(...batch)
      })
    } else single.push(...targets)
    await forEachConcurrent(single, SINGLE_CALLS_AT_ONCE, (target) => deleteOne(bucket, target, fail))
    if (failed.length > 0) throw new DeleteFailure(failed, { cause })
  }
}

type Fail = (key: string, cause: unknown) => void

/**
 * Deletes at most 1,000 objects in one call.
 *
 * @param fail is told each key that the store did not delete, and why
 * @returns false if the store does not have the call
 */
async function deleteMany(bucket: S3Bucket, targets: readonly Target[], fail: Fail): Promise<boolean> {
  const command = new DeleteObjectsCommand({
    Bucket: bucket.settings.bucket,
    Delete: {
      Objects: targets.map(({ key, versionId }) => ({ Key: bucket.full(key), VersionId: versionId })),
      Quiet: true,
    },
  })
  // After the SDK has put its own checksum there
  command.middlewareStack.add(withContentMd5, { step: 'build', priority: 'low' })
  try {
    const response = await bucket.client.send(command, bucket.bounded())
    // With errors the status is 200, too
    for (const { Key, Code, Message } of response.Errors ?? []) {
      if (Code === 'NoSuchKey' || Code === 'NoSuchVersion') continue
      fail(bucket.own(Key ?? ''), new Error(`${Code}: ${Message}`))
    }
    return true
  } catch (error) {
    if (isNotImplemented(error)) return false
    throw storeError(error)
  }
}

/** Deletes one object. A store that is out of reach ends the whole deletion. Any other error is about this object. */
async function deleteOne(bucket: S3Bucket, { key, versionId }: Target, fail: Fail): Promise<void> {
  try {
    const { settings, full } = bucket
    const command = new DeleteObjectCommand({ Bucket: settings.bucket, Key: full(key), VersionId: versionId })
    await bucket.client.send(command, bucket.bounded())
  } catch (thrown) {
    const error = storeError(thrown)
    // Unlike AWS, some stores respond so if there is no object
    if (error instanceof ObjectNotFound) return
    if (!(error instanceof StoreFailure)) throw error
    fail(key, thrown)
  }
}

/**
 * Sends Content-MD5 instead of the SDK's CRC32. Every store accepts it (AWS, "DeleteObjects"); Oracle Cloud, MinIO before 2025 and Zenko
 * refuse a call without it.
 */
const withContentMd5: BuildMiddleware<DeleteObjectsCommandInput, DeleteObjectsCommandOutput> = (next) => (args) => {
  const { headers, body } = args.request as HttpRequest
  // Node.js has no MD5 in FIPS mode
  if (getFips() === 1 || typeof body !== 'string') return next(args)
  for (const name of Object.keys(headers)) if (/^x-amz-(sdk-)?checksum-/i.test(name)) delete headers[name]
  headers['content-md5'] = createHash('md5').update(body).digest('base64')
  return next(args)
}

function* batchesOf(targets: readonly Target[]): Generator<readonly Target[]> {
  for (let at = 0; at < targets.length; at += DELETE_BATCH) yield targets.slice(at, at + DELETE_BATCH)
}
