import { ServiceError } from '../../errors.ts'
import type { S3Settings } from './bucket.ts'
import type { S3Calls } from './calls.ts'

/**
 * Makes each call by `fast`, and again by `sdk` if that fails with anything but an error of our own.
 *
 * @param onFallback is told of each call that is made again, and why
 */
export function withFallback(fast: S3Calls, sdk: S3Calls, onFallback: S3Settings['onFallback']): S3Calls {
  async function attempt<T>(operation: string, call: (calls: S3Calls) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted()
    try {
      return await call(fast)
    } catch (error) {
      signal?.throwIfAborted()
      if (error instanceof ServiceError) throw error
      onFallback?.(operation, error)
      return call(sdk)
    }
  }

  return {
    put: (...args) => attempt('PutObject', (calls) => calls.put(...args)),
    get: (key, options) => attempt('GetObject', (calls) => calls.get(key, options), options?.signal),
    head: (key, options) => attempt('HeadObject', (calls) => calls.head(key, options), options?.signal),
    list: (call) => attempt('ListObjectsV2', (calls) => calls.list(call), call.signal),
  }
}
