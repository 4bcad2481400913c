import type { Readable } from 'node:stream'
import { HugeImage, ObjectNotFound, ServerBusy, ShuttingDown, StoreFailure, UnreadableImage } from '../errors.ts'
import type { ObjectHead, ObjectStore } from '../store/object-store.ts'
import { isWrittenByUs, WRITTEN_BY_US } from '../stories/key.ts'
import { type VariantSpec, variantKey } from './variant.ts'
import { WorkerDied } from './worker-process.ts'
import { Workers } from './workers.ts'

/** How often a variant is looked for: somebody may delete it as soon as it is made. */
const MOST_LOOKS = 3

/** Most bytes of an image, however large images may be: a worker holds them in memory. */
const MOST_BYTES = 128 * 1024 * 1024

/** How long it is remembered that an image can't be had in a form, in milliseconds, and of how many. */
const PROBLEM_MS = 60_000
const MOST_PROBLEMS = 1000

/** Whose turn it is to have a picture made: see room.ts. */
export interface Turns {
  take(units: number, who: string, signal: AbortSignal): Promise<void>
  give(units: number, who: string): void
}

/** On whose behalf a variant is wanted. */
export interface Wish {
  /** For instance an address. */
  readonly who: string
  readonly signal: AbortSignal
}

/**
 * Is told what became of variants that were asked for.
 *
 * @param outcome `kept`: it had been made before
 * @param seconds that the work took
 */
export type Observe = (outcome: 'made' | 'kept' | 'failed', seconds?: number) => void

interface Job {
  done: Promise<void>
  /** Aborted when nobody waits for it any more before it has begun. */
  readonly dropped: AbortController
  waiting: number
  hasBegun: boolean
}

/**
 * Smaller forms of images, each made when it is first asked for, and then kept in the store. Only what is there counts: a variant of an
 * image that is gone, or that was overwritten since, is none.
 */
export class Variants {
  readonly #store: ObjectStore
  readonly #turns: Turns
  readonly #mostBytes: number
  readonly #observe: Observe
  readonly #workers = new Workers()
  /** What is being made, by key. */
  readonly #jobs = new Map<string, Job>()
  /** What can't be made, by image, ETag and form, and by width if it is too large: another variant of it may take less. */
  readonly #problems = new Map<string, { readonly error: Error; readonly until: number }>()

  /**
   * @param turns lets as many at once have pictures made as there may be workers
   * @param mostBytes of an image
   */
  constructor(store: ObjectStore, turns: Turns, mostBytes: number, observe: Observe = () => {}) {
    this.#store = store
    this.#turns = turns
    this.#mostBytes = Math.min(mostBytes, MOST_BYTES)
    this.#observe = observe
  }

  /**
   * Reads a variant, which is made if there is none.
   *
   * @param read the head or the bytes of the object with this key
   * @throws {ObjectNotFound} when there is no such image
   * @throws {UnreadableImage | HugeImage} when it can't be made smaller
   * @throws {ServiceError} of the store, or when it was not its turn in time; the signal's reason
   */
  async find<Found extends ObjectHead & { body?: Readable }>(
    spec: VariantSpec,
    read: (key: string) => Promise<Found>,
    wish: Wish,
  ): Promise<Found> {
    const key = variantKey(spec)
    for (let look = 1; look <= MOST_LOOKS; look++) {
      const [source, found] = await Promise.allSettled([
        this.#store.head(spec.source, { signal: wish.signal }),
        read(key),
      ])
      if (found.status === 'fulfilled') {
        if (source.status === 'fulfilled' && isMadeOf(found.value, source.value)) {
          if (look === 1) this.#observe('kept')
          return found.value
        }
        found.value.body?.destroy()
      }
      if (source.status === 'rejected') throw source.reason
      if (found.status === 'rejected' && !(found.reason instanceof ObjectNotFound)) throw found.reason
      for (const problemKey of problemKeys(spec, source.value)) {
        const problem = this.#problems.get(problemKey)
        if (problem && problem.until > performance.now()) throw problem.error
      }
      const isOwn = !this.#jobs.has(key)
      await this.#joinJob(spec, key, wish).catch((error) => {
        if (isOwn || !(error instanceof ServerBusy)) throw error
        // Who began it has waited in vain, and we perhaps hardly at all
        return this.#joinJob(spec, key, wish)
      })
    }
    throw new StoreFailure({ cause: new Error('a variant was gone as often as it was made') })
  }

  /** Ends the work: who still waits for it gets an error. */
  async close(): Promise<void> {
    const jobs = [...this.#jobs.values()]
    for (const { dropped } of jobs) dropped.abort(new ShuttingDown())
    await this.#workers.close()
    await Promise.allSettled(jobs.map(({ done }) => done))
  }

  /** Waits for the work on a variant, which is begun if nobody waits for it yet, and not begun if nobody waits for it any more. */
  async #joinJob(spec: VariantSpec, key: string, { who, signal }: Wish): Promise<void> {
    signal.throwIfAborted()
    const job = this.#jobs.get(key) ?? this.#startJob(spec, key, who)
    job.waiting += 1
    const leave = () => {
      job.waiting -= 1
      if (job.waiting > 0 || job.hasBegun) return
      job.dropped.abort()
      this.#jobs.delete(key)
    }
    await new Promise<void>((resolve, reject) => {
      const gone = () => {
        leave()
        reject(signal.reason)
      }
      signal.addEventListener('abort', gone, { once: true })
      job.done.then(resolve, reject).finally(() => signal.removeEventListener('abort', gone))
    })
  }

  #startJob(spec: VariantSpec, key: string, who: string): Job {
    const job: Job = { done: Promise.resolve(), dropped: new AbortController(), waiting: 0, hasBegun: false }
    this.#jobs.set(key, job)
    job.done = this.#inTurn(spec, key, who, job).finally(() => {
      if (this.#jobs.get(key) === job) this.#jobs.delete(key)
    })
    // Nobody may wait any more
    job.done.catch(() => {})
    return job
  }

  async #inTurn(spec: VariantSpec, key: string, who: string, job: Job): Promise<void> {
    const { signal } = job.dropped
    await this.#turns.take(1, who, signal)
    try {
      signal.throwIfAborted()
      job.hasBegun = true
      // A worker may die of something else than its picture: the machine is short of memory
      for (const isLast of [false, true]) if (await this.#make(spec, key, isLast)) return
    } finally {
      this.#turns.give(1, who)
    }
  }

  /** Returns false when the worker died, which the last time means that the picture can't be made smaller. */
  async #make(spec: VariantSpec, key: string, isLast: boolean): Promise<boolean> {
    const store = this.#store
    // Another one may have made it since it was looked for
    const looked = store.head(key).catch(() => undefined)
    const source = await store.get(spec.source)
    const { body, size, etag } = source
    const there = await looked
    const begin = performance.now()
    const seconds = () => (performance.now() - begin) / 1000
    try {
      if (there && isMadeOf(there, source)) {
        body.destroy()
        return true
      }
      if (size === 0) throw new UnreadableImage()
      if (size > this.#mostBytes) throw new HugeImage()
      const order = { size, width: spec.width, form: spec.form }
      await this.#workers.use((worker) =>
        worker.make(body, order, async ({ contentType, width, height, body }) => {
          const metadata = { ...WRITTEN_BY_US, width: String(width), height: String(height), source: nameOf(etag) }
          // Never over an older one: after a power cut a disk may have the bytes of that, and what we say of these
          if (there) await store.delete([key])
          await store.put(key, body, { contentType, metadata })
        }),
      )
      this.#observe('made', seconds())
    } catch (thrown) {
      body.destroy()
      if (thrown instanceof WorkerDied && !isLast) return false
      this.#observe('failed', seconds())
      const error = thrown instanceof WorkerDied ? new UnreadableImage({ cause: thrown }) : thrown
      const [broken, huge] = problemKeys(spec, source)
      if (error instanceof UnreadableImage) this.#remember(broken, error)
      if (error instanceof HugeImage) this.#remember(huge, error)
      throw error
    }
    // A deletion that has not seen the variant has removed the image by now
    await store.head(spec.source).catch(async (error) => {
      if (error instanceof ObjectNotFound) await store.delete([key])
      throw error
    })
    return true
  }

  #remember(what: string, error: Error): void {
    this.#problems.delete(what)
    this.#problems.set(what, { error, until: performance.now() + PROBLEM_MS })
    const [oldest] = this.#problems.keys()
    if (this.#problems.size > MOST_PROBLEMS && oldest !== undefined) this.#problems.delete(oldest)
  }
}

function problemKeys({ source, form, width }: VariantSpec, { etag }: ObjectHead): [broken: string, huge: string] {
  return [`${source} ${etag} ${form}`, `${source} ${etag} ${form} ${width}`]
}

function isMadeOf({ metadata }: ObjectHead, source: ObjectHead): boolean {
  return isWrittenByUs(metadata) && metadata.source === nameOf(source.etag)
}

/** An ETag as a value of metadata, which has no quotes. */
function nameOf(etag: string): string {
  return etag.replaceAll('"', '')
}
