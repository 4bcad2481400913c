import { RangeNotSatisfiable } from '../../errors.ts'
import type { ByteRange, FoundObject, ObjectStore, PutOptions } from '../object-store.ts'
import type { ListPage } from './list-xml.ts'

/** The calls that uploads, downloads and lists are made of: by the fast path, by the SDK, or by one after the other. */
export interface S3Calls extends Pick<ObjectStore, 'get' | 'head'> {
  /**
   * Puts an object in one call. Takes over the chunks, whose memory may be used again.
   *
   * @param sha256 of the bytes, in hexadecimal
   */
  put(key: string, chunks: readonly Uint8Array[], sha256: string, options: PutOptions): Promise<void>
  list(call: ListCall): Promise<ListPage>
}

export interface ListCall {
  readonly prefix: string
  readonly after?: string | undefined
  /** Where the page before has ended, instead of `after`. */
  readonly token?: string | undefined
  readonly delimiter?: string | undefined
  /** Most keys of the page; by default the store's own limit, which is 1,000. */
  readonly keys?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** Name in an object's metadata of the tag by which CloudFront finds it (AWS, "Invalidating content by cache tags"). */
export const CACHE_TAG = 'cache-tag'

/** Returns the parts of a PutObject or CreateMultipartUpload of the SDK that describe the object. */
export function describedFor({ contentType, metadata, caching }: PutOptions) {
  return {
    ContentType: contentType,
    Metadata: { ...metadata, ...(caching && { [CACHE_TAG]: caching.tag }) },
    ...(caching && { CacheControl: caching.cacheControl }),
  }
}

/** The error of a body whose bytes no longer come. */
export const STALLED = 'The store stopped sending'

/**
 * Makes the value of the header `Range`.
 *
 * @throws {RangeNotSatisfiable} for the last 0 bytes: RFC 9110 section 14.1.2 says so, and Ceph RGW responds with the whole object
 */
export function rangeHeader(range: ByteRange | undefined): string | undefined {
  if (!range) return undefined
  if (!('suffix' in range)) return `bytes=${range.start}-${range.end ?? ''}`
  if (range.suffix === 0) throw new RangeNotSatisfiable()
  return `bytes=-${range.suffix}`
}

/** Reads `Content-Range` (RFC 9110 section 14.4). A server that ignores ranges sends none, and the whole object. */
export function parseContentRange(value: unknown): Pick<FoundObject, 'range'> & { readonly size?: number } {
  const match = typeof value === 'string' && /^bytes (\d+)-(\d+)\/(\d+)$/.exec(value)
  if (!match) return { range: undefined }
  return { range: { start: Number(match[1]), end: Number(match[2]) }, size: Number(match[3]) }
}
