import type { ListOptions, ObjectStore } from '../object-store.ts'
import type { S3Bucket } from './bucket.ts'
import { type ListKind, OBJECTS, type Page, PREFIXES, type ReadPage, readPage } from './list-page.ts'
import { type ListLoad, readRanges } from './list-ranges.ts'
import { prefixesOfKeys, unlessAborted } from './prefixes.ts'

/**
 * Makes `ObjectStore.list` and `ObjectStore.listPrefixes`.
 *
 * @param concurrency most calls that run at once for lists with a key space; 1 reads page after page
 * @param prefixesAreExact whether common prefixes are only those of current objects; otherwise prefixes are read from keys
 */
export function openLists(
  bucket: S3Bucket,
  concurrency: number,
  prefixesAreExact: () => Promise<boolean>,
): Pick<ObjectStore, 'list' | 'listPrefixes'> {
  const load: ListLoad = { limit: concurrency, running: 0, lists: 0, ahead: 0 }

  async function* entries<Entry>(options: ListOptions, kind: ListKind<Entry>): AsyncGenerator<Entry[]> {
    const read: ReadPage<Entry> = (after, token) => readPage(bucket, kind, options, after, token)
    const first = await read(options.after)
    if (first.entries.length > 0) yield first.entries
    if (!first.more) return
    const { space, before } = options
    const rest =
      space && concurrency > 1
        ? readRanges(first, read, kind.keyOf, space, before, load)
        : readOneAfterAnother(first, read)
    for await (const page of rest) if (page.length > 0) yield page
  }

  const list = (options: ListOptions) => entries(options, OBJECTS)

  async function* listPrefixes(options: ListOptions): AsyncGenerator<string[]> {
    const isExact = await unlessAborted(prefixesAreExact(), options.signal)
    yield* isExact ? entries(options, PREFIXES) : prefixesOfKeys(list, options)
  }

  return { list, listPrefixes }
}

/** Reads the next page while one is in use. */
async function* readOneAfterAnother<Entry>(first: Page<Entry>, read: ReadPage<Entry>): AsyncGenerator<Entry[]> {
  let next: Promise<Page<Entry>> | undefined = read(first.last, first.token)
  while (next) {
    const page: Page<Entry> = await next
    next = page.more ? read(page.last, page.token) : undefined
    // Nobody waits for it when the reader stops here
    next?.catch(() => {})
    yield page.entries
  }
}
