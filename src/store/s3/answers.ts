import type { ListObjectsV2CommandOutput } from '@aws-sdk/client-s3'
import type { ByteRange, ListedObject, ObjectHead } from '../object-store.ts'

/** What GetObject and HeadObject say of an object. */
export function describe(answer: {
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

export function rangeHeader(range: ByteRange): string {
  return 'suffix' in range ? `bytes=-${range.suffix}` : `bytes=${range.start}-${range.end ?? ''}`
}

/** RFC 9110 section 14.4. A server that ignores ranges sends none, and the whole object. */
export function parseContentRange(text: string | undefined): { start: number; end: number; size: number } | undefined {
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(text ?? '')
  return match ? { start: Number(match[1]), end: Number(match[2]), size: Number(match[3]) } : undefined
}

/** One page of ListObjectsV2, without the prefix of the store. */
export function listed(answer: ListObjectsV2CommandOutput, prefixLength: number): ListedObject[] {
  const decode = answer.EncodingType === 'url' ? decodeKey : (key: string) => key
  return (answer.Contents ?? []).map(({ Key = '', Size = 0, LastModified = new Date(0) }) => ({
    key: decode(Key).slice(prefixLength),
    size: Size,
    lastModified: LastModified,
  }))
}

function decodeKey(key: string): string {
  return key.includes('%') || key.includes('+') ? decodeURIComponent(key.replaceAll('+', ' ')) : key
}
