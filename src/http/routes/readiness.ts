import { cached } from '../../io/cached.ts'

/** How long a success and a failure are remembered, in milliseconds. */
const READY_MS = 5000
const NOT_READY_MS = 1000

/**
 * Makes a check whose outcome is remembered for a moment: everybody may ask whether the server is ready, and a store may charge for each
 * call.
 *
 * @param check resolves if the store can serve
 * @param now a clock, in milliseconds
 */
export function cachedCheck(check: () => Promise<void>, now?: () => number): () => Promise<void> {
  return cached(check, { success: READY_MS, failure: NOT_READY_MS }, now)
}
