import type { ObjectStore } from './object-store.ts'

/**
 * Makes a store for work that a signal ends: reads and lists reject with the signal's reason. Puts and deletions run to their end, so that
 * nothing is left half done.
 */
export function untilAborted(store: ObjectStore, signal: AbortSignal): ObjectStore {
  return {
    ...store,
    get: (key, options) => store.get(key, { signal, ...options }),
    head: (key, options) => store.head(key, { signal, ...options }),
    list: (options) => store.list({ signal, ...options }),
    listPrefixes: (options) => store.listPrefixes({ signal, ...options }),
  }
}
