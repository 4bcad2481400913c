import {
  ObjectExists,
  ObjectNotFound,
  RangeNotSatisfiable,
  ServiceError,
  StoreFailure,
  StoreFull,
  StoreUnavailable,
} from '../../errors.ts'

const FULL = new Set(['XMinioStorageFull', 'InsufficientCapacity', 'InsufficientStorage'])

/** QuotaExceeded of Ceph RGW, XMinioAdminBucketQuotaExceeded of MinIO, ObjectQuotaExceeded of NooBaa. */
const QUOTA = /Quota(Limit)?Exceeded$/

const TRY_AGAIN = new Set(['SlowDown', 'RequestTimeout', 'TooManyRequests', 'ServiceUnavailable'])

/** Returns the error code of S3 (AWS, "Error responses"), or the name of a system error. */
export function errorName(error: unknown): string | undefined {
  return error instanceof Error ? error.name : undefined
}

/** Returns the store's error for an error of the SDK, the same error if it is our own, or the reason of a signal that has aborted. */
export function storeError(error: unknown, key = '', signal?: AbortSignal): unknown {
  if (signal?.aborted) return signal.reason
  if (error instanceof ServiceError) return error
  const name = errorName(error) ?? ''
  const status = statusOf(error)
  if (name === 'NoSuchKey' || name === 'NotFound') return new ObjectNotFound(key)
  // A conflict: another request is writing it right now (AWS, "Add preconditions to S3 operations with conditional requests")
  if (name === 'PreconditionFailed' || name === 'ConditionalRequestConflict') return new ObjectExists({ cause: error })
  if (name === 'InvalidRange' || status === 416) return new RangeNotSatisfiable()
  if (FULL.has(name) || QUOTA.test(name) || status === 507) return new StoreFull({ cause: error })
  if (isNotImplemented(error)) return new StoreFailure({ cause: error })
  // Without a response the SDK has the error of the connection: refused, reset, timed out, not found
  if (TRY_AGAIN.has(name) || status === 429 || status >= 500 || (status === 0 && isConnectionError(error))) {
    return new StoreUnavailable({ cause: error })
  }
  return new StoreFailure({ cause: error })
}

function isConnectionError(error: unknown): boolean {
  return error instanceof Error && ('code' in error || error.name === 'TimeoutError' || error.name === 'AbortError')
}

/** Returns whether the store does not have a call, or an option of it (RFC 9110 section 15.6.2). */
export function isNotImplemented(error: unknown): boolean {
  return statusOf(error) === 501 || errorName(error) === 'NotImplemented'
}

/** Returns the HTTP status of an error of the SDK, or 0 if there was no response. */
export function statusOf(error: unknown): number {
  if (!(error instanceof Error) || !('$metadata' in error)) return 0
  const metadata = error.$metadata as { httpStatusCode?: number } | undefined
  return metadata?.httpStatusCode ?? 0
}
