import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ListedObject, ListOptions, ObjectStore } from '../../src/store/object-store.ts'
import { PATIENCE } from './patience.ts'

export const MIB = 1024 * 1024

/** Bytes in chunks of a size, each a fresh tick apart as from a socket. */
export async function* inChunks(bytes: Uint8Array | string, size = 64 * 1024): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.from(bytes as Uint8Array)
  for (let at = 0; at < buffer.length; at += size) yield buffer.subarray(at, at + size)
}

/** A body that fails after all of its bytes. */
export async function* failing(bytes: Uint8Array, error: unknown): AsyncGenerator<Uint8Array> {
  yield* inChunks(bytes)
  throw error
}

export async function readAll(body: Readable): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of body) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** Stores a small object whose type and metadata do not matter. */
export async function putBytes(store: ObjectStore, key: string, bytes: Uint8Array | string = key): Promise<void> {
  await store.put(key, inChunks(bytes), { contentType: 'text/plain', metadata: {} })
}

export async function listPages(store: ObjectStore, options: ListOptions): Promise<ListedObject[][]> {
  const pages: ListedObject[][] = []
  for await (const page of store.list(options)) pages.push(page)
  return pages
}

export async function listKeys(store: ObjectStore, options: Partial<ListOptions> = {}): Promise<string[]> {
  return (await listPages(store, { prefix: '', ...options })).flat().map((object) => object.key)
}

/** Waits until a condition holds. Throws an error if it does not within `PATIENCE`. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + PATIENCE; !(await holds()); await sleep(5)) {
    if (performance.now() > end) throw new Error(`This did not become true: ${holds}`)
  }
}

/** Work on many items, some at a time. */
export async function forEach<T>(items: readonly T[], work: (item: T) => Promise<unknown>, atOnce = 32): Promise<void> {
  const rest = items.values()
  const worker = async () => {
    for (const item of rest) await work(item)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}
