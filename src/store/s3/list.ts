import { ListObjectsV2Command, type ListObjectsV2CommandOutput } from '@aws-sdk/client-s3'
import { StoreFailure } from '../../errors.ts'
import { compareKeys, type KeySpace, type ListedObject, type ListOptions, type ObjectStore } from '../object-store.ts'
import type { S3Bucket } from './bucket.ts'
import type { FastPath } from './fast-path.ts'
import { decodeName, type ListPage, scanList } from './list-xml.ts'
import { prefixesOfKeys, unlessAborted } from './prefixes.ts'
import { storeError } from './store-error.ts'

/** What a list is of. */
interface Kind<Entry> {
  readonly delimiter?: string
  entries(answer: ListPage): Entry[]
  keyOf(entry: Entry): string
}

const OBJECTS: Kind<ListedObject> = {
  entries: (answer) => answer.objects,
  keyOf: (object) => object.key,
}

const PREFIXES: Kind<string> = {
  delimiter: '/',
  entries: (answer) => answer.prefixes,
  keyOf: (prefix) => prefix,
}

/** The entries that come next behind a key. */
interface Page<Entry> {
  readonly entries: Entry[]
  /** Nothing is missing up to this key. */
  readonly last: string | undefined
  /** Whether there may be more behind it. */
  readonly more: boolean
  readonly token: string | undefined
}

/** Reads the page behind a key; with a token that the page before has brought, the store need not look for it. */
type Read<Entry> = (after: string | undefined, token?: string) => Promise<Page<Entry>>

/** What the lists of a bucket that run at once share. */
interface Load {
  /** Most calls that run for all of them, though each may always have the one that its reader waits for. */
  readonly limit: number
  running: number
  /** Lists that have a running call. */
  lists: number
  /** Pages that were asked for and not handed over yet. */
  ahead: number
}

/**
 * `ObjectStore.list` and `ObjectStore.listPrefixes`
 *
 * @param concurrency most calls that run at once for lists with a key space; 1 reads page after page
 * @param prefixesAreExact whether common prefixes are only those of current objects; otherwise prefixes are read from keys
 */
export function openLists(
  bucket: S3Bucket,
  concurrency: number,
  prefixesAreExact: () => Promise<boolean>,
): Pick<ObjectStore, 'list' | 'listPrefixes'> {
  const load: Load = { limit: concurrency, running: 0, lists: 0, ahead: 0 }

  async function* entries<Entry>(options: ListOptions, kind: Kind<Entry>): AsyncGenerator<Entry[]> {
    const read: Read<Entry> = (after, token) => readPage(bucket, kind, options, after, token)
    const first = await read(options.after)
    if (first.entries.length > 0) yield first.entries
    if (!first.more) return
    const rest =
      options.space && concurrency > 1
        ? inRanges(first, read, kind, options.space, options.before, load)
        : oneAfterAnother(first, read)
    for await (const page of rest) if (page.length > 0) yield page
  }

  const list = (options: ListOptions) => entries(options, OBJECTS)

  async function* prefixes(options: ListOptions): AsyncGenerator<string[]> {
    const isExact = await unlessAborted(prefixesAreExact(), options.signal)
    yield* isExact ? entries(options, PREFIXES) : prefixesOfKeys(list, options)
  }

  return { list, listPrefixes: prefixes }
}

/** While a page is in use the next one is read. */
async function* oneAfterAnother<Entry>(first: Page<Entry>, read: Read<Entry>): AsyncGenerator<Entry[]> {
  let next: Promise<Page<Entry>> | undefined = read(first.last, first.token)
  while (next) {
    const page: Page<Entry> = await next
    next = page.more ? read(page.last, page.token) : undefined
    // Nobody waits for it when the reader stops here
    next?.catch(() => {})
    yield page.entries
  }
}

/** A page that was asked for; it has `page` or `error` once it is settled. */
interface Probe<Entry> {
  readonly after: string
  page?: Page<Entry>
  error?: unknown
  settled?: Promise<void>
}

/**
 * How far apart pages are begun, in pages. The one in between is asked for when the end of the first is known: two calls for 1.85
 * pages, since pages of 1,000 keys differ by a tenth in what they span, and two that end too early cost a third call.
 */
const STRIDE = 1.85

/** Pages that may be asked for and not handed over yet, for each call that may run: those of one list, and of all. */
const AHEAD = 2
const AHEAD_OF_ALL = 4

/**
 * Reads pages at estimated places of the key space side by side, and hands them over in order.
 *
 * A page is complete from the key behind which it was asked for to its own last one. So pages are handed over as long as each
 * begins where the one before it has ended, or earlier; what is missing in between is asked for. Wrong estimates cost calls, but
 * no keys.
 */
async function* inRanges<Entry>(
  first: Page<Entry>,
  read: Read<Entry>,
  kind: Kind<Entry>,
  space: KeySpace,
  before: string | undefined,
  load: Load,
): AsyncGenerator<Entry[]> {
  /** In order of their keys. */
  const probes: Probe<Entry>[] = []
  /** All up to here is handed over. */
  let last = first.last as string
  /** What a page spans where `last` is; NaN while unknown. */
  let width = widthOf(first)
  // A reader who wants a few pages is to cause few calls
  let window = 1
  let running = 0
  let stopped = false

  function widthOf({ entries }: Page<Entry>): number {
    const [from, to] = [entries[0], entries.at(-1)].map((entry) => (entry ? space.position(kind.keyOf(entry)) : NaN))
    return Math.max(1, (to as number) - (from as number))
  }

  function ask(index: number, after: string): void {
    if (running++ === 0) load.lists += 1
    load.running += 1
    load.ahead += 1
    const probe: Probe<Entry> = { after }
    probes.splice(index, 0, probe)
    probe.settled = read(after)
      .then(
        (page) => {
          probe.page = page
        },
        (error) => {
          probe.error = error
        },
      )
      .then(() => {
        if (--running === 0) load.lists -= 1
        load.running -= 1
        fill()
      })
  }

  function mayAsk(index: number): boolean {
    const share = Math.max(1, Math.floor(load.limit / Math.max(1, load.lists)))
    if (running >= Math.min(window, share) || load.running >= load.limit) return false
    // What is behind all others can wait; and each page that runs will want another one behind it
    if (index < probes.length) return true
    return probes.length + running < AHEAD * window && load.ahead < AHEAD_OF_ALL * load.limit
  }

  /** Asks for what is missing, from the front on. */
  function fill(): void {
    if (stopped) return
    let span = width
    /** Where the pages so far end: at a key, or while that is not known somewhere about a key. */
    let end: string | undefined = last
    let guess: string | undefined
    for (let i = 0; ; i++) {
      const start = end ?? guess
      const next = probes[i]?.after
      const limit = next ?? before
      // A gap that is only guessed, and smaller than a page, is left to the page that will end in it
      const isGap = (key: string) =>
        end !== undefined || next === undefined || space.position(next) - space.position(key) >= span
      if (start !== undefined && isGap(start) && (limit === undefined || compareKeys(start, limit) < 0)) {
        if (start !== last && !mayAsk(i)) return
        ask(i, start)
        // What is needed first takes the place of what is needed last
        if (i + 1 < probes.length && (probes.length > AHEAD * window || load.ahead > AHEAD_OF_ALL * load.limit)) {
          probes.pop()
          load.ahead -= 1
        }
      }
      const probe = probes[i]
      if (!probe || probe.error !== undefined || probe.page?.more === false) return
      if (probe.page) {
        const found = probe.page.last as string
        if (end === undefined || compareKeys(found, end) > 0) end = found
        span = blend(span, widthOf(probe.page))
      } else if (end === undefined || compareKeys(probe.after, end) >= 0) {
        end = undefined
        guess = space.keyAt(space.position(probe.after) + STRIDE * span)
        // The key behind which it was asked for may be of no story, and its position of no use
        if (guess !== undefined && compareKeys(guess, probe.after) <= 0) guess = undefined
      }
    }
  }

  try {
    for (;;) {
      fill()
      const probe = probes[0] as Probe<Entry>
      await probe.settled
      if (!probe.page) throw probe.error
      probes.shift()
      load.ahead -= 1
      const { entries, more } = probe.page
      const known = last
      const fresh = entries.findIndex((entry) => compareKeys(kind.keyOf(entry), known) > 0)
      if (compareKeys(probe.page.last ?? '', last) > 0) last = probe.page.last as string
      width = blend(width, widthOf(probe.page))
      window = Math.min(2 * window, load.limit)
      if (!more) stopped = true
      fill()
      if (fresh !== -1) yield fresh === 0 ? entries : entries.slice(fresh)
      if (!more) return
    }
  } finally {
    stopped = true
    load.ahead -= probes.length
  }
}

/** Follows what pages span: at once where it changes much, else as an average. */
function blend(width: number, found: number): number {
  if (Number.isNaN(found)) return width
  return found > width / 2 && found < width * 2 ? (3 * width + found) / 4 : found
}

/** The next page behind a key that has anything in it. */
async function readPage<Entry>(
  bucket: S3Bucket,
  kind: Kind<Entry>,
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
