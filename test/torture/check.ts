import { isOwnId, ownIdTime } from '../../src/layout/story.ts'
import { TOMBSTONES } from '../../src/layout/tombstone.ts'
import { VARIANTS } from '../../src/layout/variant.ts'
import type {
  Content,
  Entry,
  Fetched,
  History,
  Listing,
  Look,
  Removal,
  RemovalOfAll,
  Restore,
  Upload,
} from './history.ts'

/** After this many milliseconds nothing of a request runs any more whose answer did not come. */
const GRACE_MS = 15_000

/** Clocks of processes of one machine, in milliseconds. */
const CLOCK_MS = 100

export interface Violation {
  /** The promise that is broken, in a word. */
  readonly rule: string
  readonly what: string
  /** What the history has about it. */
  readonly entries: readonly Entry[]
}

export interface Verdict {
  readonly violations: readonly Violation[]
  /** Stories that were acknowledged. */
  readonly acked: number
  /** Stories that were looked for in at least one list in which they had to be. */
  readonly verified: number
  /** Ids that were in a list and of which no image could be read, so that nobody knows whose they are. */
  readonly unidentified: number
  /** What was seen after its deletion since every object of it was written late: no server can prevent that. */
  excused: number
}

/** What is known of one id. Times are Infinity when something did not happen. */
interface Life {
  readonly id: string
  readonly content: Content | undefined
  /** When the first upload began that it can be of. */
  readonly born: number
  readonly acked: number
  /** From when on its uploads change nothing any more. */
  readonly settled: number
  /** From when on it must not be seen, since all its uploads failed. */
  readonly refused: number
  /** When the first deletion began that can be about it. */
  readonly deletion: number
  /** When the first deletion of it had succeeded. */
  readonly deleted: number
  /** Restores of it that began: they make what was deleted a story again. */
  readonly restores: readonly Restore[]
  /** When each began that can have deleted it, and until when it may have gone on. */
  readonly deletions: readonly { readonly start: number; readonly until: number }[]
  /** When its record was written late. */
  readonly lateRecord: number
  /** Names that were written late. */
  readonly late: ReadonlySet<string>
  /** End of the first read that has seen it settled. */
  seen: number
  /** End of the first read that has not seen it though it was there before, or settled, */
  gone: number
  /** and the read. */
  goneIn?: Read
  verified: boolean
}

type Read = Listing | Look | Removal

/**
 * Checks what clients have seen against what the server promises:
 *
 * - `lost`: what was acknowledged, or seen once it was settled, is there until a deletion of it begins
 * - `part`: a story that is shown has all its images
 * - `refused`: an upload that was answered with an error is in no list
 * - `restored`: what was restored with success once it was settled is there, until a deletion of it begins
 * - `deleted`: what was deleted with success is not there until a restore begins, nor is another story of the same Idempotency-Key
 * - `came back`: what was seen gone stays gone
 * - `twice`: one content is one story
 * - `bytes`: an image's path gives the bytes that were sent
 */
export function check(history: History): Verdict {
  const lives = readLives(history)
  const found = new Findings(history, lives)
  const deletions = history.entries
    .filter((entry): entry is RemovalOfAll => entry.kind === 'remove-all' && entry.result === 'done')
    .sort((a, b) => a.end - b.end)
  /** The latest start of a deletion of all that had succeeded before a time. */
  const clearedBefore = (time: number) => {
    let start = Number.NEGATIVE_INFINITY
    for (const deletion of deletions) {
      if (deletion.end >= time) break
      start = Math.max(start, deletion.start)
    }
    return start
  }
  const ofContent = new Map<number, Life[]>()
  for (const life of lives.values()) {
    if (!life.content) continue
    const others = ofContent.get(life.content.number)
    if (others) others.push(life)
    else ofContent.set(life.content.number, [life])
  }
  let excused = 0

  function present(life: Life, read: Read, names: string | undefined): void {
    const { content, id } = life
    if (names !== undefined) {
      const isFading = content?.imported && read.end >= life.deletion
      const isWhole = content ? names === content.names || isFading : isWithoutGap(names)
      if (!isWhole)
        found.add('part', `is shown with the images ${names}, it has ${content?.names ?? 'others'}`, id, read)
    }
    // A bucket with versions keeps what a failed upload has deleted
    if (life.refused < read.start && !mayBeRestored(life, read))
      found.add('refused', 'is shown, and its upload was answered with an error', id, read)
    const since = Math.min(life.acked, life.seen)
    const isLate = content !== undefined && isAllLate(life, content)
    if (mayBeRestored(life, read)) {
      // A restore has begun that can have brought it back
    } else if (life.deleted < read.start || clearedBefore(read.start) > since) {
      if (isLate) excused += 1
      else found.add('deleted', 'is shown, and was deleted with success', id, read)
    } else if (life.gone < read.start) {
      if (isLate) excused += 1
      else found.add('came back', 'is shown, and was gone already', id, read)
    }
    if (content?.key !== undefined) {
      for (const other of ofContent.get(content.number) ?? []) {
        if (other === life) continue
        // Whose upload was answered with an error never was a story: a deletion that met its images says nothing of the key
        const wasStory = other.refused === Number.POSITIVE_INFINITY
        if (wasStory && other.deleted < read.start && other.restores.length === 0) {
          found.add(
            'deleted',
            `is shown, and ${other.id} of the same Idempotency-Key was deleted with success`,
            id,
            read,
          )
        } else if (other.acked < read.start) {
          found.add('twice', `is shown, and the answer for its Idempotency-Key was ${other.id}`, id, read)
        }
      }
    }
    if (read.start >= life.settled) life.seen = Math.min(life.seen, read.end)
  }

  function absent(life: Life, read: Read): void {
    const since = Math.min(life.acked, life.seen)
    if (since < read.start && read.end < life.deletion) {
      const why = life.acked < read.start ? 'was acknowledged' : 'was seen'
      found.add('lost', `${why} and is not there, and nobody has deleted it`, life.id, read)
    }
    const isRestored = life.restores.some(
      ({ result, start, end }) =>
        result === 'done' &&
        // Before that its upload can fail and take back what somebody has seen
        start >= life.settled &&
        end < read.start &&
        !life.deletions.some((deletion) => deletion.until > start && deletion.start < read.end),
    )
    if (isRestored)
      found.add(
        'restored',
        'was restored with success and is not there, and nobody has deleted it again',
        life.id,
        read,
      )
    // It has no record that would be gone first: until a deletion of it has succeeded, it is what the store happens to list
    if (life.content?.imported && read.start < life.deleted) return
    if (read.start >= Math.max(Math.min(since, life.settled), life.lateRecord) && read.end < life.gone) {
      life.gone = read.end
      life.goneIn = read
    }
  }

  const reads = history.entries.filter(isRead).sort((a, b) => a.start - b.start)
  const coming = [...lives.values()]
    .filter((life) => watchedFrom(life) < Number.POSITIVE_INFINITY)
    .sort((a, b) => watchedFrom(b) - watchedFrom(a))
  /** Those whose absence says something. */
  const watched = new Set<Life>()
  for (const read of reads) {
    for (let life = coming.at(-1); life && watchedFrom(life) <= read.start; life = coming.at(-1)) {
      watched.add(life)
      coming.pop()
    }
    if (read.kind !== 'list') {
      const life = lives.get(read.id) as Life
      if (read.kind === 'story' && read.names !== undefined) present(life, read, read.names)
      else absent(life, read)
      continue
    }
    const ids = new Set(read.ids)
    const compare = read.isNewestFirst ? compareNewest : compareIds
    if (read.ids.some((id, index) => index > 0 && compare(id, read.ids[index - 1] as string) <= 0)) {
      found.add('part', 'a list is out of order', read.ids[0] ?? '', read)
    }
    for (const life of watched) {
      if (life.gone < read.start) {
        watched.delete(life)
        continue
      }
      if (read.after !== undefined && compare(life.id, read.after) <= 0) continue
      if (read.upTo !== undefined && compare(life.id, read.upTo) > 0) continue
      if (!ids.has(life.id)) absent(life, read)
      else if (read.end < life.deletion) life.verified = true
    }
    read.ids.forEach((id, index) => {
      present(lives.get(id) as Life, read, read.names?.[index])
    })
    const contents = new Set<number>()
    for (const id of read.ids) {
      const number = lives.get(id)?.content?.number
      if (number === undefined) continue
      if (contents.has(number)) found.add('twice', 'is in one list with another story of the same upload', id, read)
      contents.add(number)
    }
  }

  for (const [number, some] of ofContent) {
    const content = some[0]?.content
    const acked = some.filter((life) => life.acked < Number.POSITIVE_INFINITY)
    const several = content?.key === undefined ? some : acked
    if (several.length > 1) {
      const ids = several.map(({ id }) => id).join(' and ')
      found.add('twice', `upload ${number} became ${ids}`, several[1]?.id as string, undefined)
    }
  }

  for (const fetched of history.entries) {
    if (fetched.kind === 'image') checkImage(fetched, lives.get(fetched.id) as Life)
  }

  function checkImage(fetched: Fetched, life: Life): void {
    const { id, name, found: image, start } = fetched
    const since = Math.min(life.acked, life.seen)
    if (image === undefined) {
      if (since < start && fetched.end < life.deletion) found.add('lost', `has lost its image ${name}`, id, fetched)
      return
    }
    const isRight =
      image === 'smaller' ||
      (image !== 'damaged' && image.content === life.content?.number && image.image === Number.parseInt(name, 10))
    if (!isRight) {
      const what = image === 'damaged' ? 'damaged' : `image ${image.image} of upload ${image.content}`
      found.add('bytes', `its image ${name} is ${what}, and it is of upload ${life.content?.number}`, id, fetched)
    }
    if (life.late.has(name)) return
    // An earlier deletion that failed can have left images, of which one of all does not know
    const isCleared = clearedBefore(start) > since && life.deletion >= clearedBefore(start)
    if (mayBeRestored(life, fetched)) return
    if (life.deleted < start || isCleared) {
      found.add('deleted', `its image ${name} answers, and it was deleted with success`, id, fetched)
    }
  }

  const all = [...lives.values()]
  return {
    violations: found.violations,
    acked: all.filter(({ acked, content }) => acked < Number.POSITIVE_INFINITY && !content?.imported).length,
    verified: all.filter(({ verified }) => verified).length,
    unidentified: all.filter(({ content }) => !content).length,
    excused,
  }
}

/** What is to be in the store at the very end. */
export interface Remains {
  /** Every key that is there. */
  readonly keys: readonly string[]
  /** Every story that the list shows, and the names of its images. */
  readonly listed: ReadonlyMap<string, string>
  /** Keys that were placed by hand and are no story's of the list. */
  readonly placed: readonly string[]
}

const IDEMPOTENCY = 'idempotency/'

/**
 * `left over` and `missing`: after the last sweep there are the keys of the stories, smaller forms of their images, what others have
 * placed, and idempotency records.
 */
export function checkRemains({ keys, listed, placed }: Remains): { rule: string; what: string; id: string }[] {
  const expected = new Set(placed)
  for (const [id, names] of listed) {
    const images = names.split(',')
    if (isOwnId(id)) {
      const idempotent = `stories/${id}/0.${images.length}.claimed.json`
      expected.add(keys.includes(idempotent) ? idempotent : `stories/${id}/0.${images.length}.json`)
    }
    for (const name of images) expected.add(`stories/${id}/${name}`)
  }
  const there = new Set(keys)
  const idOf = (key: string) =>
    (key.startsWith(TOMBSTONES) ? key.slice(TOMBSTONES.length).split('.') : key.split('/').slice(1))[0] ?? ''
  // With objects of others below its id one that was never ours still has to be looked at
  const tombstone = (key: string) => key.startsWith(TOMBSTONES) && placed.some((other) => idOf(other) === idOf(key))
  const smaller = (key: string) => key.startsWith(VARIANTS) && listed.has(idOf(key))
  return [
    ...keys
      .filter((key) => !expected.has(key) && !key.startsWith(IDEMPOTENCY) && !tombstone(key) && !smaller(key))
      .map((key) => ({ rule: 'left over', what: `${key} is left, and is no story's`, id: idOf(key) })),
    ...[...expected]
      .filter((key) => !there.has(key))
      .map((key) => ({ rule: 'missing', what: `${key} is missing`, id: idOf(key) })),
  ]
}

function mayBeRestored({ restores }: Life, read: Read | Fetched): boolean {
  return restores.some(({ start }) => start < read.end)
}

function isRead(entry: Entry): entry is Read {
  return entry.kind === 'list' || entry.kind === 'story' || (entry.kind === 'remove' && entry.result === 'absent')
}

function compareIds(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1
}

/** Imported stories come last, in the order of their ids. */
function compareNewest(a: string, b: string): number {
  if (isOwnId(a) !== isOwnId(b)) return isOwnId(a) ? -1 : 1
  return isOwnId(a) ? compareIds(b, a) : compareIds(a, b)
}

function watchedFrom(life: Life): number {
  return life.content ? Math.min(life.acked, life.settled) : Number.POSITIVE_INFINITY
}

function isWithoutGap(names: string): boolean {
  return names.split(',').every((name, index) => Number.parseInt(name, 10) === index + 1)
}

function isAllLate({ late }: Life, { names }: Content): boolean {
  const images = names.split(',')
  return images.every((name) => late.has(name)) && [...late].some((name) => name.startsWith(`0.${images.length}.`))
}

function readLives({ wall, contents, entries }: History): Map<string, Life> {
  const uploads = new Map<number, Upload[]>()
  const contentOf = new Map<string, number>()
  const ids = new Set<string>()
  const removals = new Map<string, Removal[]>()
  const restores = new Map<string, Restore[]>()
  const all: RemovalOfAll[] = []
  const late = new Map<string, { names: Set<string>; record: number }>()
  for (const entry of entries) {
    if (entry.kind === 'upload') {
      const others = uploads.get(entry.content)
      if (others) others.push(entry)
      else uploads.set(entry.content, [entry])
      if (entry.id === undefined) continue
      ids.add(entry.id)
      contentOf.set(entry.id, entry.content)
    } else if (entry.kind === 'remove') {
      ids.add(entry.id)
      const others = removals.get(entry.id)
      if (others) others.push(entry)
      else removals.set(entry.id, [entry])
    } else if (entry.kind === 'restore') {
      ids.add(entry.id)
      restores.set(entry.id, [...(restores.get(entry.id) ?? []), entry])
    } else if (entry.kind === 'remove-all') all.push(entry)
    else if (entry.kind === 'list') for (const id of entry.ids) ids.add(id)
    else if (entry.kind === 'late') {
      const own = late.get(entry.id) ?? { names: new Set(), record: Number.NEGATIVE_INFINITY }
      own.names.add(entry.name)
      if (entry.name.startsWith('0.')) own.record = Math.max(own.record, entry.end)
      late.set(entry.id, own)
    } else if (entry.kind !== 'fault') ids.add(entry.id)
  }
  for (const entry of entries) {
    if (entry.kind !== 'image' || typeof entry.found !== 'object' || contentOf.has(entry.id)) continue
    contentOf.set(entry.id, entry.found.content)
  }

  const lives = new Map<string, Life>()
  for (const id of ids) {
    const number = contentOf.get(id) ?? Number.NaN
    const content = contents.get(number)
    const own = uploads.get(number) ?? []
    const born = least(own.map(({ start }) => start))
    const acked = least(own.filter((upload) => upload.id === id).map(({ end }) => end))
    // With a key there are several; the id tells when its own was begun
    const time = ownIdTime(id) - wall
    const timely = own.filter(({ start, end }) => start - CLOCK_MS <= time && time <= end + GRACE_MS)
    const possible = timely.length > 0 ? timely : own
    const isRefused = possible.every(({ result }) => result === 'refused' || result === 'cut')
    const begun = (removals.get(id) ?? []).filter(({ result }) => result !== 'absent')
    const overlapping = all.filter(({ end, result }) => (result === 'unknown' ? end + GRACE_MS : end) >= born)
    lives.set(id, {
      id,
      content,
      born,
      acked,
      settled: Math.min(
        acked,
        possible.length === 0
          ? Number.POSITIVE_INFINITY
          : Math.max(...possible.map(({ end, result }) => (result === 'stored' ? end : end + GRACE_MS))),
      ),
      refused:
        possible.length > 0 && isRefused
          ? Math.max(...possible.map(({ start, end, result }) => (result === 'cut' ? start : end)))
          : Number.POSITIVE_INFINITY,
      restores: restores.get(id) ?? [],
      deletions: [...begun, ...overlapping].map(({ start, end, result }) => ({
        start,
        // Without an answer it can still be carried out, and one of its calls can be late
        until: result === 'done' ? Math.max(end, start + GRACE_MS) : end + GRACE_MS,
      })),
      deletion: least([...begun, ...overlapping].map(({ start }) => start)),
      deleted: least(begun.filter(({ result }) => result === 'done').map(({ end }) => end)),
      lateRecord: late.get(id)?.record ?? Number.NEGATIVE_INFINITY,
      late: late.get(id)?.names ?? new Set(),
      seen: Number.POSITIVE_INFINITY,
      gone: Number.POSITIVE_INFINITY,
      verified: false,
    })
  }
  return lives
}

function least(numbers: readonly number[]): number {
  return Math.min(Number.POSITIVE_INFINITY, ...numbers)
}

/** Most entries that are shown for one violation, and how long before it faults are shown, in milliseconds. */
const ENTRIES = 40
const FAULTS_MS = 5000

/** Collects violations, each rule once for an id. */
class Findings {
  readonly violations: Violation[] = []
  readonly #history: History
  readonly #lives: ReadonlyMap<string, Life>
  readonly #known = new Set<string>()

  constructor(history: History, lives: ReadonlyMap<string, Life>) {
    this.#history = history
    this.#lives = lives
  }

  add(rule: string, what: string, id: string, read: Entry | undefined): void {
    if (this.#known.has(`${rule} ${id}`)) return
    this.#known.add(`${rule} ${id}`)
    const content = this.#lives.get(id)?.content
    const upload =
      content === undefined ? '' : ` (upload ${content.number}${content.key === undefined ? '' : ', with key'})`
    const at = read ? ` in a read from ${Math.round(read.start)} to ${Math.round(read.end)}` : ''
    const entries = entriesAbout(this.#history, id, this.#lives.get(id), read)
    this.violations.push({ rule, what: `story ${id}${upload}: ${what}${at}`, entries })
  }
}

/** What the history has about one story: its uploads and deletions, reads of it alone, the last lists, and faults meanwhile. */
function entriesAbout(
  { entries }: History,
  id: string,
  life: Life | undefined,
  read: Entry | undefined,
): readonly Entry[] {
  const end = read?.end ?? Number.POSITIVE_INFINITY
  const start = life ? Math.min(life.born, read?.start ?? 0) : (read?.start ?? 0)
  const lists: Listing[] = []
  const others = entries.filter((entry) => {
    if (entry.start > end) return false
    if (entry.kind === 'upload') return entry.content === life?.content?.number
    if (entry.kind === 'remove-all') return entry.end >= start
    if (entry.kind === 'fault') return entry.end >= Math.max(start, (read?.start ?? 0) - FAULTS_MS)
    if (entry.kind !== 'list') return entry.id === id
    if (entry.ids.includes(id))
      lists.push({ ...entry, ids: [id], names: entry.names ? [entry.names[entry.ids.indexOf(id)] ?? ''] : [] })
    return false
  })
  const telling = lists.filter((_, index) => index === 0 || index >= lists.length - 2)
  const shown = [...others.filter((entry) => entry !== read), ...telling.filter(({ end }) => end !== read?.end)]
  if (read?.kind === 'list') shown.push({ ...read, ids: read.ids.filter((other) => other === id), names: [] })
  else if (read) shown.push(read)
  const { goneIn } = life ?? {}
  if (goneIn?.kind === 'list') shown.push({ ...goneIn, ids: [], names: [] })
  return shown.sort((a, b) => a.start - b.start).slice(-ENTRIES)
}
