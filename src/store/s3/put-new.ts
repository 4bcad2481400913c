import { randomUUID } from 'node:crypto'
import { ObjectExists, StoreFailure } from '../../errors.ts'
import type { Body, ObjectStore, PutOptions, PutResult } from '../object-store.ts'
import { oneAtATime } from '../one-at-a-time.ts'
import type { S3Bucket } from './bucket.ts'
import { findHead } from './calls.ts'
import { putObject } from './put.ts'

/**
 * Puts of objects that have to be new (`ifNoneMatch`), also in stores that don't know `If-None-Match: *`: Backblaze B2 refuses it (501),
 * Garage and Google's XML API ignore it. There this looks whether the object is there, and then puts it, one put of a key at a time. So
 * puts one after another are right, and so are puts of one process at once; of two processes at the same moment both can succeed.
 */
export interface PutNew {
  put(key: string, body: Body, options: PutOptions): Promise<PutResult>
  /**
   * Finds out, once, whether the store knows the condition, by two puts of a new object, which it then deletes. Every put waits for that.
   *
   * @throws {ServiceError} if it can't be told now; the next call tries again
   */
  probe(): Promise<boolean>
}

/** @param remove `ObjectStore.delete` */
export function openPutNew(bucket: S3Bucket, remove: ObjectStore['delete']): PutNew {
  let known: Promise<boolean> | undefined
  const inTurn = oneAtATime()

  function probe(): Promise<boolean> {
    known ??= ask().catch((error) => {
      known = undefined
      throw error
    })
    return known
  }

  async function ask(): Promise<boolean> {
    const { key, metadata } = bucket.settings.scratch?.() ?? { key: `conditional-put-${randomUUID()}`, metadata: {} }
    const options = { contentType: 'text/plain', metadata }
    const putOnce = (ifNoneMatch?: '*') =>
      putObject(bucket, key, probeBody(), { ...options, ...(ifNoneMatch && { ifNoneMatch }) })
    try {
      const isKnown = await isConditional(putOnce)
      if (!isKnown) bucket.settings.onLimit?.('conditional_put')
      return isKnown
    } finally {
      // What stays is a few bytes, and where it is a sweep removes them
      await remove([key]).catch(() => {})
    }
  }

  async function putAfterLook(key: string, body: Body, { ifNoneMatch, ...options }: PutOptions): Promise<PutResult> {
    if (await findHead(bucket.calls, key)) throw new ObjectExists()
    return putObject(bucket, key, body, options)
  }

  return {
    probe,

    async put(key, body, options) {
      if (await probe()) return putObject(bucket, key, body, options)
      return inTurn(key, () => putAfterLook(key, body, options))
    },
  }
}

async function* probeBody(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('Does this store know If-None-Match?\n')
}

/** @param putOnce puts the same object, with or without the condition that there is none */
async function isConditional(putOnce: (ifNoneMatch?: '*') => Promise<unknown>): Promise<boolean> {
  try {
    // The first one is met by itself when the response to a first try was lost
    await putOnce('*')
    await putOnce('*')
    return false
  } catch (error) {
    if (error instanceof ObjectExists) return true
    if (!(error instanceof StoreFailure)) throw error
    // Refused for good: for the condition, unless this is refused too
    await putOnce()
    return false
  }
}
