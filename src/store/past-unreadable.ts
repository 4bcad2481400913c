import type { ObjectStore } from './object-store.ts'

/** The message of the log. */
export const LEFT_OUT = 'a folder can not be read, and is left out of the list'

/**
 * Makes a store whose lists go on without a folder that can't be read, for work on many folders.
 *
 * @param report is told of each such folder, and of the error, which is a `StoreFailure`
 */
export function pastUnreadable(store: ObjectStore, report: (folder: string, error: unknown) => void): ObjectStore {
  const skipping = <Options extends Parameters<ObjectStore['list']>[0]>(options: Options): Options => ({
    ...options,
    onUnreadable(folder: string, error: unknown) {
      if (!options.onUnreadable?.(folder, error)) report(folder, error)
      return true
    },
  })
  return {
    ...store,
    list: (options) => store.list(skipping(options)),
    listPrefixes: (options) => store.listPrefixes(skipping(options)),
  }
}
