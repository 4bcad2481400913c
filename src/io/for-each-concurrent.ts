/**
 * Runs `work` for every item, for at most `limit` items at a time. A failure of `work` or of the iteration ends it: only items that were
 * taken already are still worked on. Settles once nothing runs any more, and rejects with one of the failures.
 */
export async function forEachConcurrent<T>(
  items: Iterable<T> | AsyncIterable<T>,
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  // One generator for all: a worker that leaves its loop by an error ends it for the others
  const shared = (async function* () {
    yield* items
  })()
  const worker = async () => {
    for await (const item of shared) await work(item)
  }
  const results = await Promise.allSettled(Array.from({ length: limit }, worker))
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
}
