import { recordKey, WRITTEN_BY_US } from '../../src/layout/story.ts'
import type { ObjectStore } from '../../src/store/object-store.ts'
import { forEach, inChunks } from './bodies.ts'

/** Replaces calls of a store; `store` is the one below. */
export type Changes = Partial<Pick<ObjectStore, 'put' | 'head' | 'delete'>>

/** A store that writes down its calls, "put <key>" when one begins and "put <key> done" when it has worked. */
export function recordCalls(store: ObjectStore, changes: Changes = {}): ObjectStore & { readonly calls: string[] } {
  const changed = { ...store, ...changes }
  const calls: string[] = []
  async function noted<T>(name: string, work: Promise<T>): Promise<T> {
    calls.push(name)
    const result = await work
    calls.push(`${name} done`)
    return result
  }
  return {
    ...store,
    calls,
    put: (key, body, options) => noted(`put ${key}`, changed.put(key, body, options)),
    head: (key, options) => noted(`head ${key}`, changed.head(key, options)),
    delete: (keys) => noted(`delete ${keys.join(' ')}`, changed.delete(keys)),
  }
}

/** Puts a story as an upload leaves it: images of these names, then a record that counts them. */
export async function putStory(store: ObjectStore, id: string, names: readonly string[], count = names.length) {
  await forEach(names, (name) => putOurs(store, `stories/${id}/${name}`), 8)
  await putOurs(store, recordKey(id, count))
}

/** Puts a small object that bears our mark. */
export async function putOurs(store: ObjectStore, key: string): Promise<void> {
  await store.put(key, inChunks(key), { contentType: 'text/plain', metadata: WRITTEN_BY_US })
}
