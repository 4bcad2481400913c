import type { Readable } from 'node:stream'
import { ObjectNotFound } from '../errors.ts'

/**
 * The bytes of an object to store. If the iteration throws, the object is not stored. A chunk belongs to the store once it is yielded.
 */
export type Body = AsyncIterable<Uint8Array>

export interface PutOptions {
  readonly contentType: string
  /** Short ASCII values under lower-case ASCII names; S3 allows 2 KB in all (AWS, "Working with object metadata"). */
  readonly metadata: Readonly<Record<string, string>>
  /** What caches that read the store themselves are told with the object. Means nothing to a store that only the server reads. */
  readonly caching?: Caching | undefined
  /**
   * Stores only a new object (RFC 9110 section 13.1.2): rejects with `ObjectExists` if the key has one. Only for bodies below 5 MiB, since
   * not every S3 server checks it at the end of a multipart upload.
   */
  readonly ifNoneMatch?: '*'
  /** Whether the store may read ahead in the body while it writes earlier bytes. Takes more memory, see `putMemory`. */
  readonly readAhead?: boolean
}

export interface Caching {
  /** The header `Cache-Control` of the object. */
  readonly cacheControl: string
  /** The tag by which a CDN forgets the object. */
  readonly tag: string
}

/** A part of an object: from `start` to `end` (both inclusive), or its last `suffix` bytes. */
export type ByteRange = { readonly start: number; readonly end?: number } | { readonly suffix: number }

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
  /** Last-Modified of HTTP. A file that was copied or restored keeps the time that it had before. */
  readonly lastModified: Date
  /** When the object was put here, where that can be later than `lastModified`. Tells its age. */
  readonly changedAt?: Date
  readonly contentType: string | undefined
  readonly metadata: Readonly<Record<string, string>>
}

/** The file of an object, which another process can read without the bytes going through this one. */
export interface SharedFile {
  /** File descriptor of this process, open until the object's `body` has ended or is destroyed. */
  readonly descriptor: number
  /** To be set by whoever has read the file instead of `body`, before `body` is destroyed. */
  wasRead: boolean
}

export interface FoundObject extends ObjectHead {
  /** The part of the object that `body` has, if a range was requested. Both ends are inclusive. */
  readonly range: { readonly start: number; readonly end: number } | undefined
  /**
   * Has to be read to its end or destroyed: until then it holds a connection or a file of the store. It has a listener for `error`, so
   * a failure is never an uncaught exception. A failure from before it is read is in `errored`.
   */
  readonly body: Readable
  /** Only where the whole object was requested and is a file. */
  readonly file?: SharedFile
}

export interface ListedObject {
  readonly key: string
  readonly size: number
  /** When it was put, by RFC 3339 in UTC: "2024-03-20T10:30:00.000Z", with a fraction of at most nine digits. */
  readonly modified: string
}

export interface ListOptions {
  readonly prefix: string
  /** Only keys after this one. */
  readonly after?: string
  /** Only keys before this one. */
  readonly before?: string
  /** Positions of keys, so that a store far away can read several parts of a long list at once. */
  readonly space?: KeySpace
  /**
   * Returns whether keys below a folder are wanted. The folder is the prefix and what follows up to the next "/". A store may leave out
   * other folders, and need not be able to read them.
   */
  readonly within?: (folder: string) => boolean
  /**
   * Is told of a folder below the prefix that can't be read, and the error, a `StoreFailure`. Returns whether the list goes on without
   * it. If not, or if it is the folder of the prefix itself, the list rejects with the error. Only in stores that have folders.
   */
  readonly onUnreadable?: (folder: string, error: unknown) => boolean
  /** Ends the list, and the call that is running. */
  readonly signal?: AbortSignal
}

/**
 * Which objects of a deletion a store keeps so that they can be restored:
 *
 * - `all`
 * - `rest`: those of folders of which it keeps something already, so that they are the rest of a deletion that was interrupted
 * - `none`
 *
 * A bucket with versioning keeps all of them in any case.
 */
export type Keep = 'all' | 'rest' | 'none'

/** An object that was deleted and can be restored. */
export interface DeletedObject {
  readonly key: string
  /** In bytes. */
  readonly size: number
  readonly deletedAt: Date
  /** When it was put, if it reused the key of a deleted object of which the store still knows: a time after that deletion. */
  readonly reusedAt: Date | undefined
  /** Until when the store keeps it, or less long if it gets full; undefined if it does not tell. */
  readonly until: Date | undefined
  /** Where the store finds it. Means nothing to others. */
  readonly handles: readonly string[]
}

/** What a store has of deleted objects: the trash of a folder, or the versions of a bucket. */
export interface DeletedObjects {
  /** Returns false if the store neither has deleted objects nor keeps any, and undefined if it does not tell. */
  isKept(): Promise<boolean | undefined>
  /**
   * Yields deleted objects in the order of their keys, of each key the one that was deleted last, if the key has no object now. Not a
   * snapshot. Rejects with `DeletedNotKept` if the store does not have versions, and with `VersionsHidden` if it may have some that this
   * server may not see.
   *
   * @param options `prefix` is empty or ends with "/"
   */
  list(options: Pick<ListOptions, 'prefix' | 'signal'>): AsyncIterable<DeletedObject[]>
  /**
   * Restores objects, with the bytes, metadata, type and ETag that they had. They are visible and durable once this resolves. After a
   * failure some of them may be. One that is restored already is fine, and so is one that the store no longer has.
   */
  restore(objects: readonly DeletedObject[]): Promise<void>
  /**
   * Removes for good what is kept of deleted objects below a prefix, which is empty or ends with "/". Rejects with `VersionsHidden` if the
   * store may keep some that this server may not see.
   */
  purge(options: Pick<ListOptions, 'prefix'>): Promise<void>
  /** Removes for good what has been kept for long enough, and yields the name of each. Only in stores that do not do this by themselves. */
  expire?(options: ExpireOptions): AsyncIterable<string>
}

export interface ExpireOptions {
  /** Milliseconds since 1970. */
  readonly now: number
  /** Yields the names, and removes nothing. */
  readonly dryRun: boolean
  /** Is told of a folder that can't be read or changed, and the error, a `StoreFailure`. The others are emptied. */
  readonly onUnreadable: (folder: string, error: unknown) => void
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

/** Positions of keys, as numbers in the order of the keys. Inexact positions cost time, and never keys. */
export interface KeySpace {
  /** Returns NaN for a key without a position. */
  position(key: string): number
  /** Returns a key before every key at this position and after those of lower positions; undefined outside of the space. */
  keyAt(position: number): string | undefined
}

/** Keys of one call, roughly: in a page of a list, or in a deletion. */
export const PAGE_KEYS = 1000

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
   * Stores an object whole or not at all. Once this resolves it is visible and durable. If `body` throws, nothing is stored and the put
   * rejects with that error. A put that rejects for another reason may still have stored the object.
   */
  put(key: string, body: Body, options: PutOptions): Promise<PutResult>
  /** Rejects with `ObjectNotFound`, or with `RangeNotSatisfiable` if no byte of the range exists. The last 0 bytes never exist. */
  get(key: string, options?: { range?: ByteRange; signal?: AbortSignal }): Promise<FoundObject>
  /** Like `get`, without the body. */
  head(key: string, options?: { signal?: AbortSignal }): Promise<ObjectHead>
  /** Yields pages in the order of keys, none of them empty. Not a snapshot. Work stops when the consumer stops. */
  list(options: ListOptions): AsyncIterable<ListedObject[]>
  /**
   * Lists what keys have up to the next "/" after the prefix, each once: of "a/b/1", "a/b/2", "a/c/d/1" and "a/2" below "a/" these are
   * "a/b/" and "a/c/". Below each there is an object, not only a version of one that was deleted. `after` and `before` are compared
   * with them, not with keys. Otherwise like `list`.
   */
  listPrefixes(options: ListOptions): AsyncIterable<string[]>
  /**
   * Deletes any number of keys. One without an object is fine. Rejects with `DeleteFailure`, which has the keys that are left.
   *
   * @param keep by default `none`
   * @returns whether everything that it deleted can be restored; false if it may be that some of it can't
   */
  delete(keys: readonly string[], keep?: Keep): Promise<boolean>
  /** Deleted objects, in stores that can restore them. */
  readonly deleted?: DeletedObjects
  /**
   * Removes what interrupted puts and deletes have left beside objects and nobody has changed since `olderThan`. Yields the name of
   * each. Only in stores that leave such things.
   */
  removeDebris?(options: RemoveDebrisOptions): AsyncIterable<string>
  /**
   * Finds out what differs between stores, so that the first upload need not wait for it. Writes and deletes an object. Only in stores
   * that differ.
   */
  prepare?(): Promise<void>
  /** Rejects if the store can't serve now. */
  ready(): Promise<void>
  /** Closes every connection and file. */
  close(): Promise<void>
}

/** Returns what a call of the store finds, or undefined if there is no such object. */
export async function ifThere<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined
    throw error
  }
}

const ABOVE_SURROGATES = /[\uE000-\uFFFF]/

/**
 * Compares keys by their UTF-8 bytes, as S3 lists them (AWS, "ListObjectsV2"). The order of strings, by UTF-16, differs where a character
 * above U+FFFF, which is two surrogates, meets one from U+E000 to U+FFFF: the latter comes first here.
 */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0
  if (ABOVE_SURROGATES.test(a < b ? b : a)) return Buffer.compare(Buffer.from(a), Buffer.from(b))
  return a < b ? -1 : 1
}
