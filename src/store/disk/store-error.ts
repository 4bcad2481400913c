import { ServiceError, StoreFailure, StoreFull, StoreUnavailable } from '../../errors.ts'

/** Returns the `code` of a system error (errno(3)). */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

export function isMissing(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG'].includes(errorCode(error) ?? '')
}

/** Handles the rejection of a call on something that may be missing: `call.catch(unlessMissing)`. Throws every other error. */
export function unlessMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error
}

export function isFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(errorCode(error) ?? '')
}

/**
 * Errors of link(2) on file systems without hard links, such as exFAT and some that are mounted over a network or by FUSE, and for files of
 * other users.
 */
const WITHOUT_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])

/** Returns whether a link failed since it can't be made here at all. */
export function isWithoutLinks(error: unknown): boolean {
  return WITHOUT_LINKS.has(errorCode(error) ?? '')
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
  if (isFull(error)) return new StoreFull({ cause: error })
  switch (errorCode(error)) {
    case 'EMFILE':
    case 'ENFILE':
      return new StoreUnavailable({ cause: error })
    default:
      return new StoreFailure({ cause: error })
  }
}
