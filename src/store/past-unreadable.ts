import type { ObjectStore } from './object-store.ts'

/** For the log. */
export const LEFT_OUT = 'a folder can not be read, and is left out of the list'

/**
 * The store for work on many folders of which one that can't be read must not end it all: lists go on without that folder.
 *
 * @param report is told of the folder and of the error, which is a `StoreFailure`, each time it is passed over
 */
export function pastUnreadable(store: ObjectStore, report: (folder: string, error: unknown) => void): ObjectStore {
  const going = <Options extends Parameters<ObjectStore['list']>[0]>(options: Options): Options => ({
    ...options,
    onUnreadable(folder: string, error: unknown) {
      if (!options.onUnreadable?.(folder, error)) report(folder, error)
      return true
    },
  })
  return {
    ...store,
    list: (options) => store.list(going(options)),
    listPrefixes: (options) => store.listPrefixes(going(options)),
  }
}
