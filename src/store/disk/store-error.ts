import { ServiceError, StoreFailure, StoreFull, StoreUnavailable } from '../../errors.ts'

/** The `code` of a system error (errno(3)). */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

export function isMissing(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG'].includes(errorCode(error) ?? '')
}

const UNREADABLE = new Set(['EACCES', 'EPERM', 'EIO', 'EUCLEAN', 'EBADMSG'])

/** Returns whether an error is about one file or folder alone, which is damaged or not open to this user. */
export function isUnreadable(error: unknown): boolean {
  return UNREADABLE.has(errorCode(error) ?? '')
}

/** The store's error for an error of the file system; an error of our own stays what it is. The reason of a signal that has aborted. */
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
