import { ListObjectsV2Command, type ListObjectsV2CommandOutput } from '@aws-sdk/client-s3'
import { StoreFailure } from '../../errors.ts'
import { compareKeys, type ListedObject, type ListOptions } from '../object-store.ts'
import type { S3Bucket } from './bucket.ts'
import type { FastPath } from './fast-path.ts'
import { decodeName, type ListPage, scanList } from './list-xml.ts'
import { storeError } from './store-error.ts'

/** What a list is of. */
export interface ListKind<Entry> {
  readonly delimiter?: string
  entries(response: ListPage): Entry[]
  keyOf(entry: Entry): string
}

export const OBJECTS: ListKind<ListedObject> = {
  entries: ({ objects }) => objects,
  keyOf: ({ key }) => key,
}

export const PREFIXES: ListKind<string> = {
  delimiter: '/',
  entries: ({ prefixes }) => prefixes,
  keyOf: (prefix) => prefix,
}

/** The entries that come next after a key. */
export interface Page<Entry> {
  readonly entries: Entry[]
  /** Nothing is missing up to this key. */
  readonly last: string | undefined
  /** Whether there may be more after it. */
  readonly more: boolean
  readonly token: string | undefined
}

/** Reads the page after a key. With the token of the page before, the store need not look for the key. */
export type ReadPage<Entry> = (after: string | undefined, token?: string) => Promise<Page<Entry>>

/** Reads the next page after a key that has entries, or the last one. */
export async function readPage<Entry>(
  bucket: S3Bucket,
  kind: ListKind<Entry>,
  { prefix, before, signal }: ListOptions,
  after: string | undefined,
  token: string | undefined,
): Promise<Page<Entry>> {
  for (;;) {
    const answer = await listPage(bucket, { prefix, after, token, delimiter: kind.delimiter, signal })
    let entries = kind.entries(answer)
    if (kind.delimiter !== undefined && after !== undefined) {
      // Whether a prefix that is not above the key comes again differs between engines
      entries = entries.filter((entry) => compareKeys(kind.keyOf(entry), after) > 0)
    }
    let last = after
    for (const entry of entries) {
      const key = kind.keyOf(entry)
      if (last !== undefined && compareKeys(key, last) <= 0) {
        throw new StoreFailure({ cause: new Error('The store does not list keys in order, or repeats itself') })
      }
      last = key
    }
    // Keys between prefixes are in the order of the list, too
    const other = answer.objects.at(-1)?.key
    if (other !== undefined && (last === undefined || compareKeys(other, last) > 0)) last = other
    if (before !== undefined && last !== undefined && compareKeys(last, before) >= 0) {
      entries = entries.filter((entry) => compareKeys(kind.keyOf(entry), before) < 0)
      return { entries, last, more: false, token: undefined }
    }
    if (last !== after || !answer.truncated) return { entries, last, more: answer.truncated, token: answer.token }
    if ((answer.token ?? token) === token) {
      throw new StoreFailure({ cause: new Error('The store says that there is more, but not where') })
    }
    token = answer.token
  }
}

interface ListCall {
  readonly prefix: string
  readonly after?: string | undefined
  /** Instead of `after`: where the page before has ended. */
  readonly token?: string | undefined
  readonly delimiter?: string | undefined
  /** At most so many; by default the store's own limit, which is 1,000. */
  readonly keys?: number
  readonly signal?: AbortSignal | undefined
}

/** One call of ListObjectsV2; keys are those of the store, without the bucket's prefix. */
export async function listPage(bucket: S3Bucket, call: ListCall): Promise<ListPage> {
  const { token, after, delimiter, keys, signal } = call
  const prefix = bucket.full(call.prefix)
  const strip = bucket.settings.prefix.length
  const start = token === undefined && after !== undefined ? bucket.full(after) : undefined
  // XML 1.0 has no form for some characters that keys can have
  const query = {
    'list-type': '2',
    prefix,
    'encoding-type': 'url',
    ...(token !== undefined && { 'continuation-token': token }),
    ...(start !== undefined && { 'start-after': start }),
    ...(delimiter !== undefined && { delimiter }),
    ...(keys !== undefined && { 'max-keys': String(keys) }),
  }
  const attempt = async (path: FastPath) => {
    const { status, body } = await path.request({ method: 'GET', query }, signal)
    return status === 200 ? scanList(body, strip) : undefined
  }
  const answer = await bucket.fast('ListObjectsV2', attempt, signal)
  if (answer) return answer
  const command = new ListObjectsV2Command({
    Bucket: bucket.settings.bucket,
    Prefix: prefix,
    EncodingType: 'url',
    ContinuationToken: token,
    StartAfter: start,
    Delimiter: delimiter,
    MaxKeys: keys,
  })
  try {
    return answerOf(await bucket.client.send(command, bucket.bounded(signal)), strip)
  } catch (error) {
    throw storeError(error, '', signal)
  }
}

/** The same from the SDK's answer. */
function answerOf(answer: ListObjectsV2CommandOutput, strip: number): ListPage {
  if (answer.IsTruncated === undefined) throw new StoreFailure({ cause: new Error('The answer is no list') })
  const decode = (name = '') => (answer.EncodingType === 'url' ? decodeName(name) : name).slice(strip)
  return {
    objects: (answer.Contents ?? []).map(({ Key, Size = 0, LastModified = new Date(0) }) => ({
      key: decode(Key),
      size: Size,
      modified: LastModified.toISOString(),
    })),
    prefixes: (answer.CommonPrefixes ?? []).map(({ Prefix }) => decode(Prefix)),
    truncated: answer.IsTruncated,
    token: answer.NextContinuationToken,
  }
}
