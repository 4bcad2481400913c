import type { S3Client } from '@aws-sdk/client-s3'
import type { S3Calls } from './calls.ts'

export interface S3Settings {
  readonly bucket: string
  /** Goes before every key; empty or ending with "/". */
  readonly prefix: string
  /** Only for servers other than AWS. */
  readonly endpoint: string | undefined
  readonly region: string | undefined
  readonly forcePathStyle: boolean
  /** Milliseconds without a response, or without the next bytes of one, after which a call is given up. */
  readonly timeout: number
  /** Prefix that `ready` lists, one that the credentials may list. By default everything. */
  readonly probe?: string | undefined
  /** Returns a new key for a probe, where the credentials may put and delete. By default it has no prefix. */
  readonly scratch?: (() => { readonly key: string; readonly metadata: Readonly<Record<string, string>> }) | undefined
  /** Most calls that run at once for lists with a key space. By default 1, which reads page after page. */
  readonly listConcurrency?: number
  /** Whether frequent calls take the fast path. By default they do. */
  readonly fastPath?: boolean
  /** Is told of each call that the SDK has to make again, and why. */
  readonly onFallback?: (operation: string, reason: unknown) => void
  /** Is told what the store does not do once that is noticed, perhaps more than once. */
  readonly onLimit?: (limit: StoreLimit) => void
}

/**
 * What a store does not do, though the server works without it:
 *
 * - `conditional_put`: `If-None-Match: *` is refused or ignored, so the server looks before it puts
 * - `delete_many`: DeleteObjects is not implemented, so keys are deleted one by one
 * - `versioning`: the key may not read the bucket's versioning (s3:GetBucketVersioning), so lists of prefixes are read from keys
 * - `versions`: the bucket has versioning, and its versions can't be listed (s3:ListBucketVersions), so nothing is restored
 */
export type StoreLimit = 'conditional_put' | 'delete_many' | 'versioning' | 'versions'

/** A bucket and the ways to it. */
export interface S3Bucket {
  readonly settings: S3Settings
  readonly client: S3Client
  readonly calls: S3Calls
  /** The key in the bucket: with the bucket's prefix. */
  full(key: string): string
  /** The store's key of a key in the bucket: without the prefix. */
  own(key: string): string
  /**
   * Options for a call of the SDK whose response is read whole. They bound the time of all its tries, since the SDK does not bound that of
   * a body that stalls.
   *
   * @param signal ends the call earlier
   */
  bounded(signal?: AbortSignal): { abortSignal: AbortSignal }
  close(): Promise<void>
}
