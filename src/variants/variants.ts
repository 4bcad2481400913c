import type { Readable } from 'node:stream'
import { HugeImage, ObjectNotFound, ServerBusy, ShuttingDown, StoreFailure, UnreadableImage } from '../errors.ts'
import { isWrittenByUs, WRITTEN_BY_US } from '../layout/story.ts'
import { sizeName, type VariantSpec, variantKey } from '../layout/variant.ts'
import type { FoundObject, ObjectHead, ObjectStore } from '../store/object-store.ts'
import { JobTimeout, WorkerDied } from './worker-process.ts'
import { Workers } from './workers.ts'

/** How often to look for a variant, which somebody may delete as soon as it is made. */
const MAX_LOOKUPS = 3

/** Largest image that variants are made of, in bytes, whatever may be uploaded: a worker holds it in memory. */
const MAX_BYTES = 128 * 1024 * 1024

/** How long a failure is remembered, in milliseconds, and how many are. */
const FAILURE_MS = 60_000
const MAX_FAILURES = 1000

/** Limits how many variants are made at once, fairly among clients. */
export interface Queue {
  take(units: number, clientId: string, signal: AbortSignal): Promise<void>
  give(units: number, clientId: string): void
}

/** Who requests a variant, and until when. */
export interface Caller {
  readonly clientId: string
  readonly signal: AbortSignal
}

/**
 * Is called when a requested variant was in the store, and when making one has ended: once for all requests that wait for it.
 *
 * @param outcome `kept`: the variant was in the store
 * @param seconds that making it took
 */
export type Observe = (outcome: 'made' | 'kept' | 'failed', seconds?: number) => void

/** A variant that is being made, or will be. */
interface Pending {
  done: Promise<void>
  /** Aborted if all callers leave before it has started. */
  readonly abort: AbortController
  callers: number
  hasStarted: boolean
}

/**
 * Makes variants on the first request and keeps them in the store. A kept variant counts only while its image exists and has the same
 * ETag.
 */
export class Variants {
  readonly #store: ObjectStore
  readonly #queue: Queue
  readonly #maxBytes: number
  readonly #observe: Observe
  readonly #workers: Pick<Workers, 'use' | 'close'>
  /** By the key of the variant. */
  readonly #pending = new Map<string, Pending>()
  /** By image, ETag and format, and unless it is broken also by size: a smaller variant may take less memory or time. */
  readonly #failures = new Map<string, { readonly error: Error; readonly until: number }>()

  /**
   * @param maxBytes largest image that variants are made of
   * @param workers make the variants, and are closed with them
   */
  constructor(
    store: ObjectStore,
    queue: Queue,
    maxBytes: number,
    observe: Observe = () => {},
    workers: Pick<Workers, 'use' | 'close'> = new Workers(),
  ) {
    this.#store = store
    this.#queue = queue
    this.#maxBytes = Math.min(maxBytes, MAX_BYTES)
    this.#observe = observe
    this.#workers = workers
  }

  /**
   * Reads a variant, and makes it first if there is none.
   *
   * @param read reads the head or the bytes of the object with this key
   * @throws {ObjectNotFound} if the image does not exist
   * @throws {UnreadableImage | HugeImage} if no variant can be made of it
   * @throws {ServiceError} of the store, or if it waited too long in the queue; the signal's reason
   */
  async find<Found extends ObjectHead & { body?: Readable }>(
    spec: VariantSpec,
    read: (key: string) => Promise<Found>,
    caller: Caller,
  ): Promise<Found> {
    const key = variantKey(spec)
    for (let lookup = 1; lookup <= MAX_LOOKUPS; lookup++) {
      const [image, found] = await Promise.allSettled([
        this.#store.head(spec.source, { signal: caller.signal }),
        read(key),
      ])
      if (found.status === 'fulfilled') {
        if (image.status === 'fulfilled' && isMadeOf(found.value, image.value)) {
          if (lookup === 1) this.#observe('kept')
          return found.value
        }
        found.value.body?.destroy()
      }
      if (image.status === 'rejected') throw image.reason
      if (found.status === 'rejected' && !(found.reason instanceof ObjectNotFound)) throw found.reason
      this.#throwIfFailed(spec, image.value)
      const other = this.#pending.get(key)
      await this.#wait(spec, key, caller).catch((error) => {
        if (!other || other.hasStarted || !(error instanceof ServerBusy)) throw error
        // The first caller has used up its time in the queue, this one perhaps hardly any
        return this.#wait(spec, key, caller)
      })
    }
    throw new StoreFailure({ cause: new Error(`the variant was missing or outdated in ${MAX_LOOKUPS} lookups`) })
  }

  /** Ends all work. Callers that still wait get an error. */
  async close(): Promise<void> {
    const pending = [...this.#pending.values()]
    for (const { abort } of pending) abort.abort(new ShuttingDown())
    await this.#workers.close()
    await Promise.allSettled(pending.map(({ done }) => done))
  }

  /** Waits until a variant is made, together with other callers. If all leave before it has started, it is not made. */
  async #wait(spec: VariantSpec, key: string, { clientId, signal }: Caller): Promise<void> {
    signal.throwIfAborted()
    const pending = this.#pending.get(key) ?? this.#start(spec, key, clientId)
    pending.callers += 1
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        pending.callers -= 1
        if (pending.callers === 0 && !pending.hasStarted) {
          pending.abort.abort()
          this.#pending.delete(key)
        }
        reject(signal.reason)
      }
      signal.addEventListener('abort', leave, { once: true })
      pending.done.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave))
    })
  }

  #start(spec: VariantSpec, key: string, clientId: string): Pending {
    const pending: Pending = {
      done: Promise.resolve(),
      abort: new AbortController(),
      callers: 0,
      hasStarted: false,
    }
    this.#pending.set(key, pending)
    pending.done = this.#enqueue(spec, key, clientId, pending).finally(() => {
      if (this.#pending.get(key) === pending) this.#pending.delete(key)
    })
    // All callers may have left
    pending.done.catch(() => {})
    return pending
  }

  async #enqueue(spec: VariantSpec, key: string, clientId: string, pending: Pending): Promise<void> {
    const { signal } = pending.abort
    await this.#queue.take(1, clientId, signal)
    try {
      signal.throwIfAborted()
      pending.hasStarted = true
      // A worker may die of something other than its image, for instance when the machine is short of memory
      for (const isLast of [false, true]) if (await this.#make(spec, key, isLast)) return
    } finally {
      this.#queue.give(1, clientId)
    }
  }

  /** Makes and stores a variant. Returns false if the worker died, which on the last try means that the image is unreadable. */
  async #make(spec: VariantSpec, key: string, isLast: boolean): Promise<boolean> {
    const store = this.#store
    // Another server may have made it meanwhile
    const lookup = store.head(key).catch(() => undefined)
    const image = await store.get(spec.source)
    const existing = await lookup
    const begin = performance.now()
    const seconds = () => (performance.now() - begin) / 1000
    try {
      if (existing && isMadeOf(existing, image)) {
        image.body.destroy()
        return true
      }
      await this.#convert(spec, key, image, existing !== undefined)
      this.#observe('made', seconds())
    } catch (thrown) {
      image.body.destroy()
      if (thrown instanceof WorkerDied && !isLast) return false
      this.#observe('failed', seconds())
      const error = thrown instanceof WorkerDied ? new UnreadableImage({ cause: thrown }) : thrown
      this.#remember(spec, image, error)
      throw error
    }
    // A deletion that has not seen the variant has removed the image by now
    await store.head(spec.source).catch(async (error) => {
      if (error instanceof ObjectNotFound) await store.delete([key])
      throw error
    })
    return true
  }

  async #convert(spec: VariantSpec, key: string, image: FoundObject, exists: boolean): Promise<void> {
    const { size, etag } = image
    if (size === 0) throw new UnreadableImage()
    if (size > this.#maxBytes) throw new HugeImage()
    await this.#workers.use((worker) =>
      worker.make(
        image,
        { size, width: spec.width, height: spec.height, format: spec.format },
        async ({ contentType, width, height, body }) => {
          const metadata = { ...WRITTEN_BY_US, width: String(width), height: String(height), source: unquoted(etag) }
          // Never overwritten: after a power cut a disk may have the old bytes with the new metadata
          if (exists) await this.#store.delete([key])
          await this.#store.put(key, body, { contentType, metadata })
        },
      ),
    )
  }

  #throwIfFailed(spec: VariantSpec, image: ObjectHead): void {
    for (const key of failureKeys(spec, image)) {
      const failure = this.#failures.get(key)
      if (failure && failure.until > performance.now()) throw failure.error
    }
  }

  #remember(spec: VariantSpec, image: ObjectHead, error: unknown): void {
    if (!(error instanceof UnreadableImage || error instanceof HugeImage || error instanceof JobTimeout)) return
    const [unreadable, huge] = failureKeys(spec, image)
    const key = error instanceof UnreadableImage ? unreadable : huge
    this.#failures.delete(key)
    this.#failures.set(key, { error, until: performance.now() + FAILURE_MS })
    const [oldest] = this.#failures.keys()
    if (this.#failures.size > MAX_FAILURES && oldest !== undefined) this.#failures.delete(oldest)
  }
}

function failureKeys(spec: VariantSpec, { etag }: ObjectHead): [unreadable: string, huge: string] {
  const unreadable = `${spec.source} ${etag} ${spec.format}`
  return [unreadable, `${unreadable} ${sizeName(spec)}`]
}

function isMadeOf({ metadata }: ObjectHead, image: ObjectHead): boolean {
  return isWrittenByUs(metadata) && metadata.source === unquoted(image.etag)
}

/** An ETag for metadata, which cannot have quotes. */
function unquoted(etag: string): string {
  return etag.replaceAll('"', '')
}
