import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { ObjectNotFound } from '../../src/errors.ts'
import { compareKeys, type ListOptions, type ObjectStore } from '../../src/store/object-store.ts'

/** A store as fast as can be, for attacks on what is in front of it. Its objects are in `objects`. */
export function openMemoryStore(): ObjectStore & { readonly objects: Map<string, Buffer> } {
  const objects = new Map<string, Buffer>()
  const found = (key: string) => {
    const bytes = objects.get(key)
    if (!bytes) throw new ObjectNotFound(key)
    const about = { size: bytes.length, etag: '"1"', lastModified: new Date(), contentType: undefined, metadata: {} }
    return { ...about, range: undefined, body: Readable.from([bytes]) }
  }
  const keys = ({ prefix, after = '', before }: ListOptions) =>
    [...objects.keys()]
      .filter((key) => key.startsWith(prefix) && key > after && (before === undefined || key < before))
      .sort(compareKeys)
  return {
    objects,
    putMemory: { minBytes: 0, maxBytes: 0 },
    async put(key, body) {
      const chunks: Uint8Array[] = []
      for await (const chunk of body) chunks.push(chunk)
      const bytes = Buffer.concat(chunks)
      objects.set(key, bytes)
      return { size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
    },
    get: async (key) => found(key),
    head: async (key) => found(key),
    async *list(options) {
      const page = keys(options).map((key) => ({ key, size: 0, modified: new Date().toISOString() }))
      if (page.length > 0) yield page
    },
    async *listPrefixes(options) {
      const { prefix } = options
      const ends = keys(options).flatMap((key) => {
        const end = key.indexOf('/', prefix.length)
        return end < 0 ? [] : [key.slice(0, end + 1)]
      })
      if (ends.length > 0) yield [...new Set(ends)]
    },
    async delete(keys) {
      for (const key of keys) objects.delete(key)
      return false
    },
    async ready() {},
    async close() {},
  }
}
