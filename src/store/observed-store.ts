import {
  DeletedNotKept,
  ObjectExists,
  ObjectNotFound,
  RangeNotSatisfiable,
  StoreBusy,
  StoreFull,
  StoreUnavailable,
} from '../errors.ts'
import type { Metrics, StoreOutcome } from '../telemetry/metrics.ts'
import type { FollowCall } from '../telemetry/tracing.ts'
import type { DeletedObjects, ExpireOptions, FoundObject, ObjectStore, RemoveDebrisOptions } from './object-store.ts'
import { watch } from './watched-body.ts'

/** Counts, times and traces every call of a store. Each page of a list is a call. */
export function observeStore(store: ObjectStore, metrics: Metrics, follow?: FollowCall): ObjectStore {
  function call(name: string, key: string) {
    const began = performance.now()
    const traced = follow?.(name, key)
    return {
      /** @param since when the store had all that it needed, as `performance.now()` says it */
      responded(since = began): void {
        metrics.storeResponds(name, (performance.now() - since) / 1000)
      },
      ended(outcome: StoreOutcome): void {
        metrics.storeCallEnds(name, outcome)
        traced?.(outcome)
      },
    }
  }

  async function timed<T>(name: string, key: string, work: Promise<T>, signal?: AbortSignal): Promise<T> {
    const { responded, ended } = call(name, key)
    try {
      const result = await work
      ended('ok')
      return result
    } catch (error) {
      ended(outcomeOf(error, signal))
      throw error
    } finally {
      responded()
    }
  }

  async function* pages<Page>(
    name: string,
    prefix: string,
    list: AsyncIterable<Page>,
    signal?: AbortSignal,
  ): AsyncGenerator<Page, void> {
    const source = list[Symbol.asyncIterator]()
    try {
      for (let isFirst = true; ; isFirst = false) {
        const { responded, ended } = call(name, prefix)
        const next = await source.next().catch((error) => {
          ended(outcomeOf(error, signal))
          throw error
        })
        if (!next.done || isFirst) {
          responded()
          ended('ok')
        }
        if (next.done) return
        yield next.value
      }
    } finally {
      await source.return?.()
    }
  }

  function observed(deleted: DeletedObjects): DeletedObjects {
    const expire = deleted.expire?.bind(deleted)
    return {
      // Most stores remember it, so it is not a call of its own
      isKept: () => deleted.isKept(),
      list: (options) => pages('listDeleted', options.prefix, deleted.list(options), options.signal),
      restore: (objects) => timed('restore', objects[0]?.key ?? '', deleted.restore(objects)),
      purge: (options) => timed('purge', options.prefix, deleted.purge(options)),
      ...(expire && { expire: (options: ExpireOptions) => pages('expire', '', expire(options)) }),
    }
  }

  const removeDebris = store.removeDebris?.bind(store)
  const prepare = store.prepare?.bind(store)
  return {
    putMemory: store.putMemory,

    async put(key, body, options) {
      const { responded, ended } = call('put', key)
      const watched = watch(body)
      try {
        const result = await store.put(key, watched, options)
        metrics.storeBytes('put', result.size)
        ended('ok')
        return result
      } catch (error) {
        ended(watched.failure ? 'abandoned' : outcomeOf(error))
        throw error
      } finally {
        if (watched.endedAt !== undefined) responded(watched.endedAt)
      }
    },

    async get(key, options) {
      const { responded, ended } = call('get', key)
      let found: FoundObject
      try {
        found = await store.get(key, options)
      } catch (error) {
        ended(outcomeOf(error, options?.signal))
        throw error
      } finally {
        responded()
      }
      const { body, range, size, file } = found
      body.on('close', () => {
        if (body.readableEnded || file?.wasRead) {
          metrics.storeBytes('get', range ? range.end - range.start + 1 : size)
          return ended('ok')
        }
        // A signal ends a body with an error that is not the store's
        ended(body.errored && !options?.signal?.aborted ? 'failed' : 'abandoned')
      })
      return found
    },

    head: (key, options) => timed('head', key, store.head(key, options), options?.signal),
    list: (options) => pages('list', options.prefix, store.list(options), options.signal),
    listPrefixes: (options) => pages('listPrefixes', options.prefix, store.listPrefixes(options), options.signal),
    delete: (keys, keep) => timed('delete', keys[0] ?? '', store.delete(keys, keep)),
    ...(store.deleted && { deleted: observed(store.deleted) }),
    ...(removeDebris && {
      removeDebris: (options: RemoveDebrisOptions) => pages('removeDebris', options.prefix, removeDebris(options)),
    }),
    ...(prepare && { prepare }),
    ready: () => timed('ready', '', store.ready()),
    close: () => store.close(),
  }
}

function outcomeOf(error: unknown, signal?: AbortSignal): StoreOutcome {
  const isMissing = [ObjectNotFound, RangeNotSatisfiable, DeletedNotKept].some((type) => error instanceof type)
  if (isMissing) return 'missing'
  if (error instanceof ObjectExists) return 'exists'
  if (signal?.aborted) return 'abandoned'
  if (error instanceof StoreBusy) return 'busy'
  if (error instanceof StoreUnavailable) return 'unavailable'
  return error instanceof StoreFull ? 'full' : 'failed'
}
