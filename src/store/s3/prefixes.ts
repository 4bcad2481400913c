import { callbacksOf } from '../../io/aborted.ts'
import { compareKeys, type ListedObject, type ListOptions } from '../object-store.ts'
import type { S3Bucket } from './bucket.ts'
import { findEndpoint } from './endpoint.ts'
import type { Versioning } from './versioning.ts'

/** Hosts of AWS S3 itself, in all regions (AWS, "Amazon S3 endpoints and quotas"). */
const AWS_HOST = /\.amazonaws\.com(\.cn)?$/

/**
 * Makes a function that returns whether the common prefixes of a list are those of current objects, or only hints.
 *
 * MinIO names a prefix below which every object is deleted, if the bucket has or had versioning: the delete markers are still there.
 * AWS names only prefixes of current objects ("ListObjectsV2"), so it is not asked. If the versioning of any other store can't be told,
 * prefixes are hints: reading keys instead takes more calls and is always right.
 *
 * @returns a function that never rejects
 */
export function openPrefixCheck(
  { client, settings }: Pick<S3Bucket, 'client' | 'settings'>,
  versioning: () => Promise<Versioning>,
): () => Promise<boolean> {
  let aws: Promise<boolean> | undefined
  const isAws = async () => AWS_HOST.test((await findEndpoint(client, settings.bucket))?.url.hostname ?? '')
  return async () => {
    aws ??= isAws().catch(() => false)
    return (await aws) || (await versioning()) === 'never'
  }
}

/**
 * Implements `ObjectStore.listPrefixes` by a list of keys.
 *
 * @param list `ObjectStore.list`
 */
export async function* prefixesOfKeys(
  list: (options: ListOptions) => AsyncIterable<ListedObject[]>,
  options: ListOptions,
): AsyncGenerator<string[]> {
  const { prefix, after, before } = options
  const cut = (key: string) => {
    const end = key.startsWith(prefix) ? key.indexOf('/', prefix.length) : -1
    return end === -1 ? undefined : key.slice(0, end + 1)
  }
  // The keys of a prefix before `before` can come after it, up to the end of the prefix. "0" is the character after "/"
  const last = before === undefined ? undefined : cut(before)
  const end = last === undefined || last === before ? before : `${last.slice(0, -1)}0`
  let previous: string | undefined
  for await (const page of list({ ...options, ...(end !== undefined && { before: end }) })) {
    const found: string[] = []
    for (const { key } of page) {
      if (previous !== undefined && key.startsWith(previous)) continue
      const next = cut(key)
      if (next === undefined) continue
      previous = next
      if (after === undefined || compareKeys(next, after) > 0) found.push(next)
    }
    if (found.length > 0) yield found
  }
}

/** Resolves like `work`, or rejects with the signal's reason if it aborts first. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work
  signal.throwIfAborted()
  const callbacks = callbacksOf(signal)
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    callbacks.add(abort)
    work.then(resolve, reject).finally(() => callbacks.delete(abort))
  })
}
