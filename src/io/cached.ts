/** For how many milliseconds an outcome is remembered; 0 is not at all. */
export interface Remembered {
  readonly success: number
  readonly failure: number
}

/**
 * Wraps a call so that it runs at most once at a time, and not again while its last outcome is remembered. While it runs everybody waits
 * for it.
 *
 * @param now a steady clock, in milliseconds
 */
export function cached<T>(
  call: () => Promise<T>,
  { success, failure }: Remembered,
  now: () => number = () => performance.now(),
): () => Promise<T> {
  let outcome: Promise<T> | undefined
  let until = 0
  return () => {
    if (outcome && now() < until) return outcome
    until = Number.POSITIVE_INFINITY
    outcome = call().then(
      (result) => {
        until = now() + success
        return result
      },
      (error) => {
        until = now() + failure
        throw error
      },
    )
    return outcome
  }
}
