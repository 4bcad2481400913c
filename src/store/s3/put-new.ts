import { randomUUID } from 'node:crypto'
import { ObjectExists, StoreFailure } from '../../errors.ts'
import { oneAtATime } from '../../io/one-at-a-time.ts'
import { type Body, ifThere, type PutOptions, type PutResult } from '../object-store.ts'
import type { S3Bucket } from './bucket.ts'
import type { DeleteKeys } from './delete.ts'
import { putObject } from './put.ts'

/**
 * Puts objects that have to be new (`ifNoneMatch`), even in stores without `If-None-Match: *`: Backblaze B2 refuses it (501), Garage and
 * Google's XML API ignore it. In such a store a put first looks whether the object is there, and puts of one key run one after another.
 * Puts of two processes at the same moment can both succeed there.
 */
export interface PutNew {
  put(key: string, body: Body, options: PutOptions): Promise<PutResult>
  /**
   * Finds out once whether the store has the condition, by two puts of a new object, which it then deletes. Every put waits for it.
   *
   * @throws {ServiceError} if that fails; the next call tries again
   */
  probe(): Promise<boolean>
}

export function openPutNew(bucket: S3Bucket, remove: DeleteKeys): PutNew {
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
      // If it stays, a sweep removes it
      await remove([key]).catch(() => {})
    }
  }

  async function putAfterLook(key: string, body: Body, { ifNoneMatch, ...options }: PutOptions): Promise<PutResult> {
    if (await ifThere(bucket.calls.head(key))) throw new ObjectExists()
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
    // This one already finds the object if the response to its first try was lost
    await putOnce('*')
    await putOnce('*')
    return false
  } catch (error) {
    if (error instanceof ObjectExists) return true
    if (!(error instanceof StoreFailure)) throw error
    // The store has refused the condition, unless it refuses this put, too
    await putOnce()
    return false
  }
}
