/**
 * Does `work` for every item, for up to `atOnce` of them at a time. A failure, of `work` or of the iteration, ends it: items that
 * were asked for already are the last ones. Settles once nothing runs any more, and rejects with one of the failures.
 */
export async function sideBySide<T>(
  items: Iterable<T> | AsyncIterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  // One generator for all: who leaves its loop by an error ends it for the others
  const shared = (async function* () {
    yield* items
  })()
  const worker = async () => {
    for await (const item of shared) await work(item)
  }
  const results = await Promise.allSettled(Array.from({ length: atOnce }, worker))
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
}
