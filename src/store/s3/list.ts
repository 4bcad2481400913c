import { ListObjectsV2Command, type ListObjectsV2CommandOutput } from '@aws-sdk/client-s3'
import { StoreFailure } from '../../errors.ts'
import { compareKeys, type ListedObject, type ListOptions } from '../object-store.ts'
import type { S3Bucket } from './bucket.ts'
import { storeError } from './store-error.ts'

/** `ObjectStore.list` */
export async function* listObjects(
  bucket: S3Bucket,
  { prefix, after, before }: ListOptions,
): AsyncGenerator<ListedObject[]> {
  let last = after
  let token: string | undefined
  for (;;) {
    const answer = await listPage(bucket, {
      prefix,
      ...(last !== undefined && { after: last }),
      ...(token !== undefined && { token }),
    })
    const page = listed(answer, bucket.settings.prefix.length)
    for (const { key } of page) {
      if (last !== undefined && compareKeys(key, last) <= 0) {
        throw new StoreFailure().because(new Error('The store does not list keys in order, or repeats itself'))
      }
      last = key
    }
    const end = before === undefined ? -1 : page.findIndex((object) => compareKeys(object.key, before) >= 0)
    const wanted = end === -1 ? page : page.slice(0, end)
    if (wanted.length > 0) yield wanted
    if (end !== -1 || !answer.IsTruncated) return
    if (page.length === 0 && (answer.NextContinuationToken ?? token) === token) {
      throw new StoreFailure().because(new Error('The store says that there is more, but not where'))
    }
    token = answer.NextContinuationToken
  }
}

/** One call of ListObjectsV2. */
export async function listPage(
  bucket: S3Bucket,
  input: { prefix: string; after?: string; token?: string; keys?: number },
): Promise<ListObjectsV2CommandOutput> {
  const command = new ListObjectsV2Command({
    Bucket: bucket.settings.bucket,
    Prefix: bucket.full(input.prefix),
    // XML 1.0 has no form for some characters that keys can have
    EncodingType: 'url',
    ...(input.token !== undefined && { ContinuationToken: input.token }),
    ...(input.token === undefined && input.after !== undefined && { StartAfter: bucket.full(input.after) }),
    ...(input.keys !== undefined && { MaxKeys: input.keys }),
  })
  try {
    const answer = await bucket.client.send(command, bucket.bounded())
    if (answer.IsTruncated === undefined) throw new StoreFailure().because(new Error('The answer is no list'))
    return answer
  } catch (error) {
    throw storeError(error)
  }
}

/** One page of ListObjectsV2, without the prefix of the store. */
function listed(answer: ListObjectsV2CommandOutput, prefixLength: number): ListedObject[] {
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
