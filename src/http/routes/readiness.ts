/** How long a success and a failure are remembered, in milliseconds. */
const READY_MS = 5000
const NOT_READY_MS = 1000

/**
 * Wraps a check so that it runs at most once at a time, and not again while its last result is remembered. Everybody may ask whether the
 * server is ready, and a store may charge for each call.
 *
 * @param check resolves if the store can serve
 * @param now a clock, in milliseconds
 */
export function cachedCheck(
  check: () => Promise<void>,
  now: () => number = () => performance.now(),
): () => Promise<void> {
  let result: Promise<void> | undefined
  let until = 0
  return () => {
    if (result && now() < until) return result
    // While the check runs, everybody waits for it
    until = Number.POSITIVE_INFINITY
    result = check().then(
      () => {
        until = now() + READY_MS
      },
      (error) => {
        until = now() + NOT_READY_MS
        throw error
      },
    )
    return result
  }
}
