import type { IncomingMessage } from 'node:http'
import { GetObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3'
import { ObjectNotFound, RangeNotSatisfiable } from '../../errors.ts'
import { onStall } from '../../stall.ts'
import type { ByteRange, FoundObject, ObjectHead } from '../object-store.ts'
import type { S3Bucket } from './bucket.ts'
import type { ShortAnswer } from './short-path.ts'
import { storeError } from './store-error.ts'

/** `ObjectStore.head` */
export async function headObject(bucket: S3Bucket, key: string, signal?: AbortSignal): Promise<ObjectHead> {
  const call = { method: 'HEAD', key: bucket.full(key) } as const
  const found = await bucket.short('HeadObject', async (path) => {
    const { status, headers } = await path.request(call, signal)
    // A HEAD has no body to tell a missing key from a missing bucket by; the SDK says the same
    if (status === 404) throw new ObjectNotFound(key)
    return status === 200 ? headOf(headers) : undefined
  })
  if (found) return found
  const bounded = bucket.bounded()
  const options = signal ? { abortSignal: AbortSignal.any([signal, bounded.abortSignal]) } : bounded
  const command = new HeadObjectCommand({ Bucket: bucket.settings.bucket, Key: bucket.full(key) })
  try {
    return describe(await bucket.client.send(command, options))
  } catch (error) {
    throw storeError(error, key)
  }
}

/** `ObjectStore.get` */
export async function getObject(
  bucket: S3Bucket,
  key: string,
  options: { range?: ByteRange; signal?: AbortSignal } = {},
): Promise<FoundObject> {
  const { range: wanted, signal } = options
  // Ceph RGW answers it with the whole object; RFC 9110 section 14.1.2 calls it unsatisfiable
  if (wanted && 'suffix' in wanted && wanted.suffix === 0) throw new RangeNotSatisfiable()
  const command = new GetObjectCommand({
    Bucket: bucket.settings.bucket,
    Key: bucket.full(key),
    ...(wanted && { Range: rangeHeader(wanted) }),
  })
  try {
    const answer = await bucket.downloads.send(command, signal ? { abortSignal: signal } : {})
    const body = answer.Body as IncomingMessage
    onStall(body, bucket.settings.timeout, () => body.destroy(new Error('The store stopped sending')))
    const range = wanted && parseContentRange(answer.ContentRange)
    return {
      ...describe(answer),
      ...(range && { size: range.size }),
      range: range && { start: range.start, end: range.end },
      body,
    }
  } catch (error) {
    throw storeError(error, key)
  }
}

/** What GetObject and HeadObject say of an object. */
function describe(answer: {
  ContentLength?: number | undefined
  ETag?: string | undefined
  LastModified?: Date | undefined
  ContentType?: string | undefined
  Metadata?: Record<string, string> | undefined
}): ObjectHead {
  return {
    size: answer.ContentLength ?? 0,
    etag: answer.ETag ?? '""',
    lastModified: answer.LastModified ?? new Date(0),
    contentType: answer.ContentType,
    metadata: answer.Metadata ?? {},
  }
}

const META = 'x-amz-meta-'

/** The same from the headers of an answer; nothing when they are not those of an object. */
function headOf(headers: ShortAnswer['headers']): ObjectHead | undefined {
  const { etag, 'content-length': length, 'last-modified': modified, 'content-type': contentType } = headers
  if (typeof etag !== 'string' || typeof length !== 'string' || typeof modified !== 'string') return undefined
  const metadata: Record<string, string> = {}
  for (const name in headers) {
    if (name.startsWith(META)) metadata[name.slice(META.length)] = String(headers[name])
  }
  return {
    size: Number(length),
    etag,
    lastModified: new Date(modified),
    contentType: typeof contentType === 'string' ? contentType : undefined,
    metadata,
  }
}

function rangeHeader(range: ByteRange): string {
  return 'suffix' in range ? `bytes=-${range.suffix}` : `bytes=${range.start}-${range.end ?? ''}`
}

/** RFC 9110 section 14.4. A server that ignores ranges sends none, and the whole object. */
function parseContentRange(text: string | undefined): { start: number; end: number; size: number } | undefined {
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(text ?? '')
  return match ? { start: Number(match[1]), end: Number(match[2]), size: Number(match[3]) } : undefined
}
