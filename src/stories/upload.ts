import { KeyInUse, KeyReused, NoFiles, OutcomeUnknown, UploadSwept, UploadTimeout } from '../errors.ts'
import { EditRun } from '../images/metadata/editor.ts'
import { stripMetadata } from '../images/metadata/strip.ts'
import { type Head, readHead } from '../images/read-head.ts'
import { NO_BYTES } from '../images/scan.ts'
import { CONTENT_TYPES, type ImageInfo, type ImageType, type Stripped } from '../images/types.ts'
import { hashBody } from '../io/hash.ts'
import { stopwatch } from '../io/stopwatch.ts'
import { imageKey, newStoryId, recordKey, storyPrefix, WRITTEN_BY_US } from '../layout/story.ts'
import type { Body, Caching } from '../store/object-store.ts'
import { isLasting } from './debris.ts'
import { committedUpload, IdempotencyRecord, recordUpload } from './idempotency.ts'
import type { RecordedUpload } from './idempotency-record.ts'
import { fingerprintOf, type ManifestImage, writeRecord } from './record.ts'
import { CLOCK_MARGIN_MS, mayBeSwept, type StoryStore } from './story-store.ts'

/** Most bytes of images that were read and are not stored yet, before the next one is read. */
const UNSTORED_BYTES = 5 * 1024 * 1024
const UNSTORED_IMAGES = 8

export interface UploadOptions {
  /** Most pixels (width × height) of one image. */
  readonly maxPixels: number
  /** Metadata that is removed from each image before it is hashed and stored; undefined for none. */
  readonly strip?: Stripped | undefined
  /** Whether to read ahead while earlier bytes are being stored. Takes more memory. */
  readonly readAhead: boolean
  /** Ends the upload, of which nothing is listed then. Has no effect once every image is stored and the record is being written. */
  readonly signal: AbortSignal
  /** `Cache-Control` of images that caches may read from the store themselves; undefined if only the server may serve them. */
  readonly cacheControl?: string | undefined
  /** SHA-256 of an idempotency key and of its sender, in hexadecimal. Only one upload with this name makes a story. */
  readonly idempotencyName?: string | undefined
  /** Gets why a failed upload could not remove all of its images. No list shows them. */
  readonly onDebris: (error: unknown) => void
}

export interface UploadedStory {
  readonly id: string
  /** Keys of the images, in their order. */
  readonly keys: readonly string[]
  /** Whether it is the story of an earlier upload with the same idempotency key. */
  readonly isReplay: boolean
}

/**
 * Stores the images of a new story while they arrive, several at a time, and then its commit record: only with it does the story
 * exist. A failure stores no record and removes the images.
 *
 * @param images one body after another, each to be read to its end before the next one comes
 * @throws {ServiceError} with what is wrong with an image, the idempotency key or the store; what the iteration throws; the
 *   signal's reason
 */
export async function uploadStory(
  store: StoryStore,
  images: AsyncIterable<Body>,
  options: UploadOptions,
): Promise<UploadedStory> {
  const id = newStoryId()
  const upload = new RunningUpload(store, id, options)
  const source = images[Symbol.asyncIterator]()
  try {
    for (let number = 1; ; number++) {
      const next = await upload.orFailure(source.next())
      if (next.done) break
      await upload.orFailure(upload.takeImage(number, next.value))
    }
    await upload.orFailure(upload.allStored())
    if (upload.keys.length === 0) throw new NoFiles()
    const earlier = await upload.recordIdempotency()
    if (earlier) {
      await upload.undo()
      return { id: earlier.id, keys: earlier.names.map((name) => storyPrefix(earlier.id) + name), isReplay: true }
    }
    options.signal.throwIfAborted()
    await upload.commit()
  } catch (error) {
    if (await upload.giveUp(error)) throw error
  } finally {
    upload.release()
    // Not awaited: with a read under way it ends only with the sender's next bytes
    source.return?.().catch(() => {})
  }
  return { id, keys: upload.keys, isReplay: false }
}

/** An upload under way. */
class RunningUpload {
  readonly keys: string[] = []
  readonly #manifest: ManifestImage[] = []
  #idempotencyRecord: IdempotencyRecord | undefined
  #isRecordSent = false
  /** The story of an earlier upload with the same idempotency key: then these images are compared with it and not stored. */
  readonly #earlier: Promise<RecordedUpload | undefined>
  #isStored = false
  readonly #store: StoryStore
  readonly #id: string
  readonly #age = stopwatch()
  readonly #options: UploadOptions
  /** One object for all images of the story. */
  readonly #caching: Caching | undefined
  readonly #stores = new Map<string, Promise<void>>()
  /** Rejects each wait for the client or the store when the upload fails. */
  readonly #waits = new Set<(error: unknown) => void>()
  readonly #onAbort = () => this.#fail(this.#options.signal.reason)
  #failure: { readonly error: unknown } | undefined
  #unstored = 0

  constructor(store: StoryStore, id: string, options: UploadOptions) {
    this.#store = store
    this.#id = id
    this.#options = options
    this.#caching = options.cacheControl === undefined ? undefined : { cacheControl: options.cacheControl, tag: id }
    // While the first image arrives
    this.#earlier =
      options.idempotencyName === undefined
        ? Promise.resolve(undefined)
        : committedUpload(store, options.idempotencyName)
    this.#earlier.catch(() => {})
    options.signal.addEventListener('abort', this.#onAbort)
    if (options.signal.aborted) this.#onAbort()
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    for (const reject of this.#waits) reject(error)
    this.#waits.clear()
  }

  /** Waits for work, or until the upload fails: the failure of one put ends the wait for the next image. */
  orFailure<T>(work: Promise<T>): Promise<T> {
    // Not Promise.race: a promise that lives as long as the upload would keep something of every chunk
    return new Promise((resolve, reject) => {
      if (this.#failure) reject(this.#failure.error)
      else this.#waits.add(reject)
      work.then(resolve, reject).finally(() => this.#waits.delete(reject))
    })
  }

  /** Stops listening to the signal. */
  release(): void {
    this.#options.signal.removeEventListener('abort', this.#onAbort)
  }

  /** Resolves when the image was read, while storing it goes on. */
  async takeImage(number: number, body: Body): Promise<void> {
    const chunks = body[Symbol.asyncIterator]()
    let { bytes: start, info, type, readNext }: Head = await readHead(chunks, number, this.#options.maxPixels)
    await this.#room()
    const isStored = (await this.#earlier) === undefined
    const rewrite = rewriterOf(type, start, this.#options.strip, number)
    const key = imageKey(this.#id, number, type)
    this.keys.push(key)
    let size = 0
    let wasRead = () => {}
    const read = new Promise<void>((resolve) => {
      wasRead = resolve
    })
    const upload = this
    async function* bytes() {
      let alone = false
      let chunk: Uint8Array | undefined = start
      // Would be held until the image is read
      start = NO_BYTES
      for (;;) {
        for (const written of rewrite(chunk)) {
          size += written.length
          // It takes the memory that the others hold until they are stored
          if (size > UNSTORED_BYTES && !alone) {
            alone = true
            await upload.#othersStored(key)
          }
          yield written
        }
        if (!chunk) break
        const next: IteratorResult<Uint8Array> = await upload.orFailure(chunks.next())
        chunk = next.done ? undefined : next.value
        // A size that comes after more than is held is in the record alone. Read here, since the next step may change the chunk
        info ??= readNext(chunk)
      }
      upload.#unstored += size
      wasRead()
    }
    if (isStored) this.#isStored = true
    const result = isStored
      ? this.#store.put(key, bytes(), {
          contentType: CONTENT_TYPES[type],
          metadata: {
            ...WRITTEN_BY_US,
            ...(info && { width: String(info.width), height: String(info.height) }),
          },
          caching: this.#caching,
          readAhead: this.#options.readAhead,
        })
      : hashBody(bytes())
    const stored = result
      .then(
        ({ size, sha256 }) => {
          const name = `${number}.${type}`
          const { width, height } = info as ImageInfo
          this.#manifest[number - 1] = { name, type: CONTENT_TYPES[type], size, width, height, sha256 }
        },
        (error) => this.#fail(error),
      )
      .finally(() => {
        this.#unstored -= size
        this.#stores.delete(key)
      })
    this.#stores.set(key, stored)
    await read
  }

  async allStored(): Promise<void> {
    await Promise.all(this.#stores.values())
  }

  /** Puts the idempotency record, if there is a key. Returns the earlier upload that the key stands for already. */
  async recordIdempotency(): Promise<RecordedUpload | undefined> {
    const { idempotencyName: name } = this.#options
    if (name === undefined) return undefined
    const names = this.#manifest.map((image) => image.name)
    const own = { id: this.#id, names, fingerprint: fingerprintOf(this.#manifest) }
    const earlier = await this.#earlier
    if (earlier && earlier.fingerprint !== own.fingerprint) throw new KeyReused()
    if (earlier) return earlier
    const record = await recordUpload(this.#store, name, own)
    if (!(record instanceof IdempotencyRecord)) return record
    this.#idempotencyRecord = record
    return undefined
  }

  /** Writes the record. The upload must not be acknowledged before this resolves. */
  async commit(): Promise<void> {
    this.#isRecordSent = true
    await writeRecord(this.#store, this.#id, this.#manifest, this.#idempotencyRecord?.key)
    const { uploadTimeout } = this.#store
    const age = this.#age()
    // The process stood still
    if (age > uploadTimeout + CLOCK_MARGIN_MS / 2) throw new UploadTimeout(uploadTimeout)
    if (mayBeSwept(age) && !(await isLasting(this.#store, this.#id))) throw new UploadSwept()
    await this.#idempotencyRecord?.commit().catch((error) => {
      // The record is there, and a client that sends the upload again gets its story
      throw error instanceof KeyInUse ? error : new OutcomeUnknown({ cause: error })
    })
  }

  /**
   * Makes sure that there will be no story, after a failure.
   *
   * @returns false if another upload with the same idempotency key has found the record and responded with the story, which stays then
   * @throws {OutcomeUnknown} if nobody can tell whether there is a story
   */
  async giveUp(error: unknown): Promise<boolean> {
    this.#fail(error)
    await this.allStored()
    // A story that may be there must not lose an image
    if (error instanceof OutcomeUnknown) return true
    try {
      if (this.#idempotencyRecord && !(await this.#idempotencyRecord.giveUp())) return false
    } catch (failure) {
      if (this.#isRecordSent) throw new OutcomeUnknown({ cause: failure })
    }
    await this.undo()
    return true
  }

  /**
   * Deletes all that the upload has put. Whatever can't be deleted is in no list.
   *
   * @throws {OutcomeUnknown} if a record that may still arrive could find its images
   */
  async undo(): Promise<void> {
    if (!this.#isStored) return
    if (this.#isRecordSent) {
      await this.#store
        .delete([recordKey(this.#id, this.keys.length, this.#idempotencyRecord !== undefined)])
        .catch((deletion) => {
          throw new OutcomeUnknown({ cause: deletion })
        })
    }
    await this.#store.delete(this.keys).catch((deletion) => {
      this.#options.onDebris(deletion)
      if (this.#isRecordSent) throw new OutcomeUnknown({ cause: deletion })
    })
  }

  async #room(): Promise<void> {
    const bytes = this.#options.readAhead ? UNSTORED_BYTES : 0
    while (this.#unstored > bytes || this.#stores.size >= UNSTORED_IMAGES) await Promise.race(this.#stores.values())
  }

  async #othersStored(own: string): Promise<void> {
    await Promise.all([...this.#stores].filter(([key]) => key !== own).map(([, stored]) => stored))
  }
}

/**
 * Returns what to store for each chunk of an image, and without one, at its end.
 *
 * @param head the first chunk
 * @param number of the file in its upload, for errors
 */
function rewriterOf(
  type: ImageType,
  head: Uint8Array,
  strip: Stripped | undefined,
  number: number,
): (chunk?: Uint8Array) => Uint8Array[] {
  if (!strip) return (chunk) => (chunk ? [chunk] : [])
  const run = new EditRun(stripMetadata(type, Buffer.from(head.buffer, head.byteOffset, head.length), strip, number))
  return (chunk) => (chunk ? run.push(chunk) : run.end())
}
