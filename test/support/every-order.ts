import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { ObjectExists, ObjectNotFound } from '../../src/errors.ts'
import { compareKeys, type DeletedObject, type ListOptions, type ObjectStore } from '../../src/store/object-store.ts'

interface ModelObject {
  readonly bytes: Buffer
  readonly contentType: string
  readonly metadata: Readonly<Record<string, string>>
  readonly modified: number
}

/**
 * A store in memory, linearizable and without any waiting of its own. Its time is `Date.now`.
 *
 * @param keeps deleted objects, as a bucket with versioning does: restored ones have the time that they had
 */
export function openModelStore(keeps = false): ObjectStore & { readonly objects: Map<string, ModelObject> } {
  const objects = new Map<string, ModelObject>()
  const gone = new Map<string, { readonly object: ModelObject; readonly deletedAt: Date }>()
  const find = (key: string) => {
    const object = objects.get(key)
    if (!object) throw new ObjectNotFound(key)
    const { bytes, contentType, metadata, modified } = object
    return { size: bytes.length, etag: '"1"', lastModified: new Date(modified), contentType, metadata, bytes }
  }
  const keysIn = ({ prefix, after = '', before }: ListOptions) =>
    [...objects.keys()]
      .filter((key) => key.startsWith(prefix) && key > after && (before === undefined || key < before))
      .sort(compareKeys)
  return {
    objects,
    putMemory: { minBytes: 0, maxBytes: 0 },
    async put(key, body, { contentType, metadata, ifNoneMatch }) {
      const chunks: Uint8Array[] = []
      for await (const chunk of body) chunks.push(chunk)
      if (ifNoneMatch && objects.has(key)) throw new ObjectExists()
      const bytes = Buffer.concat(chunks)
      objects.set(key, { bytes, contentType, metadata, modified: Date.now() })
      return { size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
    },
    async get(key) {
      const { bytes, ...head } = find(key)
      return { ...head, range: undefined, body: Readable.from([bytes]) }
    },
    head: async (key) => find(key),
    async *list(options) {
      const page = keysIn(options).map((key) => {
        const { size, lastModified } = find(key)
        return { key, size, modified: lastModified.toISOString() }
      })
      if (page.length > 0) yield page
    },
    async *listPrefixes(options) {
      const { prefix } = options
      const ends = keysIn({ prefix }).flatMap((key) => {
        const end = key.indexOf('/', prefix.length)
        return end < 0 ? [] : [key.slice(0, end + 1)]
      })
      const { after = '', before } = options
      const page = [...new Set(ends)].filter((key) => key > after && (before === undefined || key < before))
      if (page.length > 0) yield page
    },
    async delete(keys) {
      for (const key of keys) {
        const object = objects.get(key)
        if (keeps && object) gone.set(key, { object, deletedAt: new Date(Date.now()) })
        objects.delete(key)
      }
      return keeps
    },
    ...(keeps && {
      deleted: {
        isKept: async () => true,
        async *list({ prefix }) {
          const found: DeletedObject[] = []
          for (const [key, { object, deletedAt }] of [...gone].sort(([a], [b]) => compareKeys(a, b))) {
            if (!key.startsWith(prefix) || objects.has(key)) continue
            const { length: size } = object.bytes
            found.push({ key, size, deletedAt, reusedAt: undefined, until: undefined, handles: [] })
          }
          if (found.length > 0) yield found
        },
        async restore(restored) {
          for (const { key } of restored) {
            const object = gone.get(key)?.object
            gone.delete(key)
            if (object) objects.set(key, object)
          }
        },
        async purge({ prefix }) {
          for (const key of gone.keys()) if (key.startsWith(prefix)) gone.delete(key)
        },
      } satisfies ObjectStore['deleted'],
    }),
    async ready() {},
    async close() {},
  }
}

interface Call {
  readonly process: number
  readonly name: string
  /** Keys that it writes. */
  readonly writes: readonly string[]
  /** The key that it reads, or the beginning of those that it lists. */
  readonly reads?: { readonly key: string } | { readonly prefix: string }
  readonly go: () => void
  readonly drop: () => void
}

/** What the steps before chose, and of how many. */
interface Choice {
  chosen: number
  readonly of: number
}

/** One order of the calls that several processes make on one store. Until `hold` all calls go through at once. */
export class Order {
  /** The calls in their order, each with the number of its process. */
  readonly steps: string[] = []
  /** Whether it differs from another one only in calls that have nothing to do with each other: then it was not played to its end. */
  isRedundant = false
  readonly #choices: Choice[]
  readonly #waiting: Call[] = []
  #isHolding = false

  constructor(choices: Choice[]) {
    this.#choices = choices
  }

  /**
   * The store as one process sees it.
   *
   * @param options.dies the process makes so many of the calls that wait for their turn, and then nothing any more
   * @param options.only further calls, by method and key, go through at once
   */
  storeOf(
    store: ObjectStore,
    process: number,
    { dies = Number.POSITIVE_INFINITY, only = /^/ }: { dies?: number | undefined; only?: RegExp } = {},
  ): ObjectStore {
    let left = dies
    const step = async <T>(call: Pick<Call, 'name' | 'writes' | 'reads'>, work: () => Promise<T>): Promise<T> => {
      if (this.#isHolding && only.test(call.name)) {
        if (left-- <= 0) return new Promise<never>(() => {})
        await new Promise<void>((go, drop) => this.#waiting.push({ ...call, process, go, drop }))
      }
      return work()
    }
    async function* listed<T>(
      name: string,
      options: ListOptions,
      list: (options: ListOptions) => AsyncIterable<unknown[]>,
    ) {
      const { prefix } = options
      yield* await step({ name: `${name} ${prefix}`, writes: [], reads: { prefix } }, async () => {
        const pages: T[] = []
        for await (const page of list(options)) pages.push(page as T)
        return pages
      })
    }
    const { deleted } = store
    return {
      ...store,
      ...(deleted && {
        deleted: {
          ...deleted,
          list: (options) => listed('list deleted', options, deleted.list),
          restore: (objects) => {
            const writes = objects.map(({ key }) => key)
            return step({ name: `restore ${writes.join(' ')}`, writes }, () => deleted.restore(objects))
          },
          purge: async (options) => {
            const writes: string[] = []
            for await (const page of store.list(options)) writes.push(...page.map(({ key }) => key))
            for await (const page of deleted.list(options)) writes.push(...page.map(({ key }) => key))
            return step({ name: `purge ${options.prefix}`, writes }, () => deleted.purge(options))
          },
        } satisfies ObjectStore['deleted'],
      }),
      put: async (key, body, options) => {
        const chunks: Uint8Array[] = []
        for await (const chunk of body) chunks.push(chunk)
        async function* again() {
          yield* chunks
        }
        return step({ name: `put ${key}`, writes: [key] }, () => store.put(key, again(), options))
      },
      get: (key, options) => step({ name: `get ${key}`, writes: [], reads: { key } }, () => store.get(key, options)),
      head: (key, options) => step({ name: `head ${key}`, writes: [], reads: { key } }, () => store.head(key, options)),
      delete: (keys) => step({ name: `delete ${keys.join(' ')}`, writes: keys }, () => store.delete(keys)),
      list: (options) => listed('list', options, store.list),
      listPrefixes: (options) => listed('listPrefixes', options, store.listPrefixes),
    }
  }

  /** Resolves when every process waits for something that is not the store. */
  async settled(): Promise<void> {
    // Nothing in these processes takes longer than their promises
    await turn()
  }

  /** From now on calls wait for their turn. */
  hold(): void {
    this.#isHolding = true
  }

  /** Lets one call after another go, until no process makes another one. Then all calls go through again. */
  async play(): Promise<void> {
    // To let one of these go now is an order that was played already: sleep sets (Godefroid, "Partial-Order Methods")
    let asleep: readonly Call[] = []
    for (let at = 0; ; at++) {
      await this.settled()
      if (this.#waiting.length === 0) break
      const awake = this.#waiting.filter((call) => !asleep.includes(call))
      this.isRedundant ||= awake.length === 0
      if (this.isRedundant) {
        for (const { drop } of this.#waiting.splice(0)) drop()
        continue
      }
      const choice = this.#choices[at] ?? { chosen: 0, of: awake.length }
      this.#choices[at] = choice
      const next = awake[choice.chosen] as Call
      asleep = [...asleep, ...awake.slice(0, choice.chosen)].filter((call) => !meet(call, next))
      this.#waiting.splice(this.#waiting.indexOf(next), 1)
      this.steps.push(`${next.process} ${next.name}`)
      next.go()
    }
    this.#isHolding = false
  }
}

/** Whether the order of two calls can matter. */
function meet(a: Call, b: Call): boolean {
  if (a.process === b.process) return true
  const touches = ({ writes, reads }: Call, key: string) =>
    writes.includes(key) || (reads !== undefined && ('key' in reads ? reads.key === key : key.startsWith(reads.prefix)))
  return a.writes.some((key) => touches(b, key)) || b.writes.some((key) => touches(a, key))
}

/**
 * Runs something once for every order in which the calls of its processes can come. Orders that differ only in calls that have nothing
 * to do with each other count as one.
 *
 * @param run sets the stage, lets the order play, and judges what came of it unless the order is redundant
 * @returns how many orders were judged
 */
export async function inEveryOrder(run: (order: Order) => Promise<void>): Promise<number> {
  const choices: Choice[] = []
  let judged = 0
  for (;;) {
    const order = new Order(choices)
    await run(order)
    if (!order.isRedundant) judged += 1
    while (choices.length > 0) {
      const choice = choices.at(-1) as Choice
      if (++choice.chosen < choice.of) break
      choices.pop()
    }
    if (choices.length === 0) return judged
  }
}
