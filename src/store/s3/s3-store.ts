import type { ObjectStore } from '../object-store.ts'
import { openBucket, type S3Settings } from './bucket.ts'
import { openDelete } from './delete.ts'
import { getObject, headObject } from './get.ts'
import { openLists } from './list.ts'
import { listPage } from './list-page.ts'
import { openPrefixCheck } from './prefixes.ts'
import { PUT_MEMORY, putObject } from './put.ts'
import { openPutNew } from './put-new.ts'

export type { S3Settings, StoreLimit } from './bucket.ts'

/**
 * Keeps objects in an S3 bucket. The SDK gives credentials, endpoint rules, retries and every call that is not hot; the others
 * take a fast path.
 *
 * @throws {StoreFailure} when no region can be found
 */
export async function openS3Store(settings: S3Settings): Promise<ObjectStore> {
  const bucket = await openBucket(settings)
  const remove = openDelete(bucket)
  const putNew = openPutNew(bucket, remove)
  return {
    putMemory: PUT_MEMORY,
    put: (key, body, options) =>
      options.ifNoneMatch ? putNew.put(key, body, options) : putObject(bucket, key, body, options),
    get: (key, options) => getObject(bucket, key, options),
    head: (key, options) => headObject(bucket, key, options?.signal),
    ...openLists(bucket, settings.listConcurrency ?? 1, openPrefixCheck(bucket)),
    delete: remove,
    ready: async () => void (await listPage(bucket, { prefix: settings.probe ?? '', keys: 1 })),
    prepare: async () => void (await putNew.probe()),
    close: () => bucket.close(),
  }
}
