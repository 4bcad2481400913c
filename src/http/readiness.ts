/** How long it is remembered that the store can serve, and that it can not, in milliseconds. */
const READY_MS = 5000
const NOT_READY_MS = 1000

/**
 * Makes one question of many that come within a few seconds: everybody may ask whether the server is ready, and a store may want
 * money for each answer.
 *
 * @param ask resolves when the store can serve
 * @param now a clock, in milliseconds
 * @returns the same, at most once at a time, and not again while the last answer is remembered
 */
export function askedRarely(
  ask: () => Promise<void>,
  now: () => number = () => performance.now(),
): () => Promise<void> {
  let answer: Promise<void> | undefined
  let until = 0
  return () => {
    if (answer && now() < until) return answer
    // While it is on its way everybody waits for this one
    until = Number.POSITIVE_INFINITY
    answer = ask().then(
      () => {
        until = now() + READY_MS
      },
      (error) => {
        until = now() + NOT_READY_MS
        throw error
      },
    )
    return answer
  }
}
