import { compareKeys, type KeySpace } from '../object-store.ts'
import type { Page, ReadPage } from './list-page.ts'
import { blend, nextRange, type Range } from './list-plan.ts'

/** What the lists of a bucket that run at the same time share. */
export interface ListLoad {
  /** Most calls that run for all of them. Each list may always have the one call that its reader waits for. */
  readonly limit: number
  running: number
  /** Lists that have a running call. */
  lists: number
  /** Pages that were asked for and not yielded yet. */
  ahead: number
}

/** Most pages that are asked for and not yielded yet, for each call that may run: of one list, and of all. */
const AHEAD = 2
const AHEAD_OF_ALL = 4

interface PageRange<Entry> extends Range {
  page?: Page<Entry>
  error?: unknown
  settled?: Promise<void>
}

/** Reads pages of a list concurrently, where `nextRange` says, and yields them in order. */
export async function* readRanges<Entry>(
  first: Page<Entry>,
  read: ReadPage<Entry>,
  keyOf: (entry: Entry) => string,
  space: KeySpace,
  before: string | undefined,
  load: ListLoad,
): AsyncGenerator<Entry[]> {
  const ranges: PageRange<Entry>[] = []
  const known = { end: first.last as string, width: widthOf(first) }
  // Grows with each page: a reader who wants few of them causes few calls
  let concurrency = 1
  let running = 0
  let isStopped = false

  function widthOf({ entries }: Page<Entry>): number {
    const [from, to] = [entries[0], entries.at(-1)].map((entry) => (entry ? space.position(keyOf(entry)) : NaN))
    return Math.max(1, (to as number) - (from as number))
  }

  function start(index: number, after: string): void {
    if (running++ === 0) load.lists += 1
    load.running += 1
    load.ahead += 1
    const range: PageRange<Entry> = { after }
    ranges.splice(index, 0, range)
    range.settled = read(after)
      .then(
        (page) => Object.assign(range, { page, end: page.last, width: widthOf(page), isLast: !page.more }),
        (error) => Object.assign(range, { error, isLast: true }),
      )
      .then(() => {
        if (--running === 0) load.lists -= 1
        load.running -= 1
        startMissing()
      })
  }

  function mayStart(index: number): boolean {
    const share = Math.max(1, Math.floor(load.limit / Math.max(1, load.lists)))
    if (running >= Math.min(concurrency, share) || load.running >= load.limit) return false
    // What comes after all others can wait, and each page that is being read will want another one after it
    if (index < ranges.length) return true
    return ranges.length + running < AHEAD * concurrency && load.ahead < AHEAD_OF_ALL * load.limit
  }

  function startMissing(): void {
    while (!isStopped) {
      const next = nextRange(ranges, known, space, before)
      if (!next || (next.after !== known.end && !mayStart(next.index))) return
      start(next.index, next.after)
      const isFull = ranges.length > AHEAD * concurrency || load.ahead > AHEAD_OF_ALL * load.limit
      // What is needed first takes the place of what is needed last
      if (!isFull || next.index === ranges.length - 1) continue
      ranges.pop()
      load.ahead -= 1
    }
  }

  try {
    for (;;) {
      startMissing()
      const range = ranges[0] as PageRange<Entry>
      await range.settled
      if (!range.page) throw range.error
      ranges.shift()
      load.ahead -= 1
      const { entries, last = '', more } = range.page
      const { end } = known
      const fresh = entries.findIndex((entry) => compareKeys(keyOf(entry), end) > 0)
      if (compareKeys(last, end) > 0) known.end = last
      known.width = blend(known.width, range.width)
      concurrency = Math.min(2 * concurrency, load.limit)
      isStopped = !more
      startMissing()
      if (fresh !== -1) yield fresh === 0 ? entries : entries.slice(fresh)
      if (!more) return
    }
  } finally {
    isStopped = true
    load.ahead -= ranges.length
  }
}
