import { StoreFailure } from '../../errors.ts'
import { compareKeys, type ListedObject, type ListOptions } from '../object-store.ts'
import type { S3Bucket } from './bucket.ts'
import type { ListPage } from './list-xml.ts'

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
  { calls }: S3Bucket,
  kind: ListKind<Entry>,
  { prefix, before, signal }: ListOptions,
  after: string | undefined,
  token: string | undefined,
): Promise<Page<Entry>> {
  for (;;) {
    const response = await calls.list({ prefix, after, token, delimiter: kind.delimiter, signal })
    let entries = kind.entries(response)
    if (kind.delimiter !== undefined && after !== undefined) {
      // Some engines repeat a prefix that is not after the key
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
    // Keys between the prefixes are in the order of the list, too
    const other = response.objects.at(-1)?.key
    if (other !== undefined && (last === undefined || compareKeys(other, last) > 0)) last = other
    if (before !== undefined && last !== undefined && compareKeys(last, before) >= 0) {
      entries = entries.filter((entry) => compareKeys(kind.keyOf(entry), before) < 0)
      return { entries, last, more: false, token: undefined }
    }
    if (last !== after || !response.truncated) return { entries, last, more: response.truncated, token: response.token }
    if ((response.token ?? token) === token) {
      throw new StoreFailure({ cause: new Error('The store says that there is more, but not where') })
    }
    token = response.token
  }
}
