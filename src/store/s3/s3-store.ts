import type { ObjectStore } from '../object-store.ts'
import type { S3Settings } from './bucket.ts'
import { openDelete } from './delete.ts'
import { openLists } from './list.ts'
import { openBucket } from './open-bucket.ts'
import { openPrefixCheck } from './prefixes.ts'
import { PUT_MEMORY, putObject } from './put.ts'
import { openPutNew } from './put-new.ts'
import { openVersioning, openVersionsCheck } from './versioning.ts'
import { openVersions } from './versions.ts'

export type { S3Settings, StoreLimit } from './bucket.ts'

/**
 * Keeps objects in an S3 bucket. The SDK finds credentials and endpoints, and makes the calls that are rare or fail. The frequent ones
 * take the fast path first.
 *
 * @throws {StoreFailure} if no region can be found
 */
export async function openS3Store(settings: S3Settings): Promise<ObjectStore> {
  const bucket = await openBucket(settings)
  const remove = openDelete(bucket)
  const putNew = openPutNew(bucket, remove)
  const versioning = openVersioning(bucket)
  const mayListVersions = openVersionsCheck(bucket)
  return {
    putMemory: PUT_MEMORY,
    put: (key, body, options) =>
      options.ifNoneMatch ? putNew.put(key, body, options) : putObject(bucket, key, body, options),
    get: bucket.calls.get,
    head: bucket.calls.head,
    ...openLists(bucket, settings.listConcurrency ?? 1, openPrefixCheck(bucket, versioning)),
    async delete(keys, keep = 'none') {
      await remove(keys)
      // Seldom a call: a deletion that keeps objects has asked for the versioning before, and the response is remembered
      return keep !== 'none' && (await versioning()) === 'enabled' && (await mayListVersions())
    },
    deleted: openVersions(bucket, versioning),
    ready: async () => void (await bucket.calls.list({ prefix: settings.probe ?? '', keys: 1 })),
    prepare: async () => void (await putNew.probe()),
    close: () => bucket.close(),
  }
}
