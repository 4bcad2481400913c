import type { Readable } from 'node:stream'

/**
 * Bytes of an object on their way in. An iteration that throws means that the object is not to be stored. A chunk is not written to
 * again once it was handed over.
 */
export type Body = AsyncIterable<Uint8Array>

export interface PutOptions {
  readonly contentType: string
  /** Short ASCII values under lower-case ASCII names; S3 allows 2 KB in all (AWS, "Working with object metadata"). */
  readonly metadata: Readonly<Record<string, string>>
  /**
   * Stores only what is new (RFC 9110 section 13.1.2): rejects with `ObjectExists` when there is an object under the key. For bodies
   * below 5 MiB: not every S3 server keeps that promise at the end of a multipart upload.
   */
  readonly ifNoneMatch?: '*'
  /** Whether the store may read ahead in the body while it writes earlier bytes. Takes more memory, see `putMemory`. */
  readonly readAhead?: boolean
}

/** Where an object's bytes are asked for: from `start` to `end` (both inclusive), or its last `suffix` bytes. */
export type ByteRange = { readonly start: number; readonly end?: number } | { readonly suffix: number }

/** What a put has stored. */
export interface PutResult {
  /** In bytes. */
  readonly size: number
  /** SHA-256 of the bytes, in hexadecimal. */
  readonly sha256: string
}

export interface ObjectHead {
  /** Size of the whole object in bytes. */
  readonly size: number
  /** A strong entity tag with its quotes (RFC 9110 section 8.8.3). */
  readonly etag: string
  /** What HTTP calls Last-Modified. A file that was copied or restored keeps the one it had elsewhere. */
  readonly lastModified: Date
  /** When the object came to be what it is here, where that can be later than `lastModified`: this tells its age. */
  readonly changedAt?: Date
  readonly contentType: string | undefined
  readonly metadata: Readonly<Record<string, string>>
}

export interface FoundObject extends ObjectHead {
  /** The part of the object that `body` holds, when a range was asked for; both ends are inclusive. */
  readonly range: { readonly start: number; readonly end: number } | undefined
  /**
   * Has to be read to its end or destroyed: until then it holds a connection or a file of the store. It has a listener for `error`
   * from its birth, so that a failure is never an uncaught exception; one from before it is read is in `errored`.
   */
  readonly body: Readable
}

export interface ListedObject {
  readonly key: string
  readonly size: number
  /** When it was put, as RFC 3339 in UTC: "2024-03-20T10:30:00.000Z", with a fraction of up to nine digits, or none. */
  readonly modified: string
}

export interface ListOptions {
  readonly prefix: string
  /** Only keys above this one. */
  readonly after?: string
  /** Only keys below this one. */
  readonly before?: string
  /** Where keys lie, so that a store that is far away can read several parts of a long list at once. */
  readonly space?: KeySpace
  /**
   * Returns whether keys below a folder are wanted; the folder is the prefix and what follows up to the next "/". A store may leave out
   * other folders, and need not be able to read them.
   */
  readonly within?: (folder: string) => boolean
  /**
   * Is told of a folder below the prefix that can't be read, and says whether the list goes on without it. Otherwise, and when it is
   * the folder of the prefix itself, the list rejects with that error, a `StoreFailure`. Of stores that have folders.
   */
  readonly onUnreadable?: (folder: string, error: unknown) => boolean
  /** Ends the list, and the call that is under way. */
  readonly signal?: AbortSignal
}

export interface RemoveDebrisOptions {
  /** Ends with "/". Only folders directly below it are looked into. */
  readonly prefix: string
  /** Which of these folders, in the order of keys. */
  readonly ranges: readonly Pick<ListOptions, 'after' | 'before'>[]
  /** Returns whether a folder is looked into. One that can't be read is skipped. */
  readonly within?: (folder: string) => boolean
  /** Milliseconds since 1970. */
  readonly olderThan: number
  /** Yields the names, and removes nothing. */
  readonly dryRun: boolean
}

/**
 * Positions of keys, as numbers in the order of the keys. They may be inexact: what is wrong about them costs time, and no key is
 * missed for it.
 */
export interface KeySpace {
  /** NaN for a key without one. */
  position(key: string): number
  /** A key that is below every key at this position and above those before it; nothing outside of the space. */
  keyAt(position: number): string | undefined
}

/**
 * Where objects are kept. Every adapter passes the one contract suite in `test/contract/`.
 *
 * Keys are strings in the order of their UTF-8 bytes, sizes are bytes. Every method can reject with `StoreUnavailable` (out of
 * reach, worth another try), `StoreFull` or `StoreFailure` from `errors.ts`; further errors are named below. A method whose signal
 * aborts rejects with the signal's reason, and so does the body of a `get`.
 */
export interface ObjectStore {
  /** Most bytes of a large body that a put holds: `minBytes` without `readAhead`, and `maxBytes` with it. */
  readonly putMemory: { readonly minBytes: number; readonly maxBytes: number }
  /**
   * All or nothing: once this resolves the object is visible and durable. If `body` fails nothing is stored and the promise
   * rejects with the body's own error. A put that rejects for another reason can still have been carried out.
   */
  put(key: string, body: Body, options: PutOptions): Promise<PutResult>
  /** Rejects with `ObjectNotFound`, or with `RangeNotSatisfiable` when no byte of the range exists (for the last 0
   * bytes that comes first). */
  get(key: string, options?: { range?: ByteRange; signal?: AbortSignal }): Promise<FoundObject>
  /** Reads no body. Rejects with `ObjectNotFound`. */
  head(key: string, options?: { signal?: AbortSignal }): Promise<ObjectHead>
  /** Pages in key order, none of them empty. Not a snapshot. Work stops when the consumer stops. */
  list(options: ListOptions): AsyncIterable<ListedObject[]>
  /**
   * What is between the prefix and the next "/" of keys, each once and with both: of "a/b/1", "a/b/2", "a/c/d/1" and "a/2" below
   * "a/" these are "a/b/" and "a/c/". Below each there is an object, not only a version of one that was deleted. `after` and `before`
   * are compared with them, not with keys. Otherwise like `list`.
   */
  listPrefixes(options: ListOptions): AsyncIterable<string[]>
  /** Any number of keys; one that is not there is fine. Rejects with `DeleteFailure`, naming the keys that are left. */
  delete(keys: readonly string[]): Promise<void>
  /**
   * Removes what interrupted puts and deletes have left beside objects and nobody has changed since `olderThan`. Yields the name of
   * each. Only in stores that leave such things.
   */
  removeDebris?(options: RemoveDebrisOptions): AsyncIterable<string>
  /**
   * Finds out what the store can do that differs between stores, so that the first upload need not wait for it. Writes and deletes an
   * object. Of stores that differ.
   */
  prepare?(): Promise<void>
  /** Resolves when the store can serve now. */
  ready(): Promise<void>
  /** Lets go of every connection and file. */
  close(): Promise<void>
}

const ABOVE_SURROGATES = /[\uE000-\uFFFF]/

/**
 * Order of the UTF-8 bytes, as S3 lists keys (AWS, "ListObjectsV2"). UTF-16 order differs from it where a character above U+FFFF,
 * which is two surrogates, meets one from U+E000 to U+FFFF: that one comes second there, and first here.
 */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0
  if (ABOVE_SURROGATES.test(a < b ? b : a)) return Buffer.compare(Buffer.from(a), Buffer.from(b))
  return a < b ? -1 : 1
}
