import { ServiceError, StoreFailure, StoreFull, StoreUnavailable } from '../../errors.ts'

/** Returns the `code` of a system error (errno(3)). */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

export function isMissing(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG'].includes(errorCode(error) ?? '')
}

const UNREADABLE = new Set(['EACCES', 'EPERM', 'EIO', 'EUCLEAN', 'EBADMSG'])

/** Returns whether an error is only about one file or folder, which is damaged or closed to this user. */
export function isUnreadable(error: unknown): boolean {
  return UNREADABLE.has(errorCode(error) ?? '')
}

/** Returns the store's error for an error of the file system, the same error if it is our own, or the reason of a signal that has aborted. */
export function storeError(error: unknown, signal?: AbortSignal): unknown {
  if (signal?.aborted) return signal.reason
  if (error instanceof ServiceError) return error
  switch (errorCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new StoreFull({ cause: error })
    case 'EMFILE':
    case 'ENFILE':
      return new StoreUnavailable({ cause: error })
    default:
      return new StoreFailure({ cause: error })
  }
}
