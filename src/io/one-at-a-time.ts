/** Returns a function that runs work of one key after another, in the order of its calls, and work of different keys concurrently. */
export function oneAtATime(): <T>(key: string, work: () => Promise<T>) => Promise<T> {
  /** By key, what was called last and still runs or waits. */
  const last = new Map<string, Promise<unknown>>()
  return async (key, work) => {
    const before = last.get(key)
    const own = before ? before.then(work, work) : work()
    last.set(key, own)
    try {
      return await own
    } finally {
      if (last.get(key) === own) last.delete(key)
    }
  }
}
