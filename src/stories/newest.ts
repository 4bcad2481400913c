import { sideBySide } from '../side-by-side.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { isOwnId, ownIdTime, STORIES, STORY_SPACE, type Story, storyIdOf, storyPrefix } from './key.ts'
import { behind, lookUp, type Range, storiesIn } from './list.ts'

/**
 * How far clocks of servers may be ahead of ours, in milliseconds, and the first part of the time that is looked at. S3 takes no call
 * from a clock that is off by more than 15 minutes (AWS, "RequestTimeTooSkewed").
 */
const DAY = 24 * 3_600_000

/** From an empty part of the time to the next one: five of them reach back to 1970. */
const GROWTH = 16

/** Keys of one page of the store: so many cost one call, whether they are wanted or not. */
const KEYS_A_PAGE = 1000

/** Of a bucket of the same age all over, the part that is to hold what is wanted holds half as much again. */
const RESERVE = 1.5

const LOOKS_AT_ONCE = 16
const MOST_LOOKS = 64

/**
 * The newest stories first. Those that no upload can have made by now come last, in id order: foreign stories, and ids from more
 * than a day ahead.
 *
 * The ids of uploads lie in the order of time and a store lists forward, so one part of the time after another is read, backwards.
 * Holds the stories that are wanted and a page of the store.
 *
 * @param wanted how many stories the reader takes at most; further ones may be missing
 * @param after a story id: only stories that come behind it in this order
 */
export async function* listNewest(store: ObjectStore, wanted: number, after?: string): AsyncGenerator<Story[]> {
  const horizon = Date.now() + DAY
  if (after === undefined || isDated(after, horizon)) {
    for await (const stories of datedStories(store, wanted, horizon, after)) {
      wanted -= stories.length
      yield stories
    }
    if (wanted > 0) yield* lastStories(store, horizon)
  } else yield* lastStories(store, horizon, after)
}

/** Whether an id is one that an upload has made, by its time. */
function isDated(id: string, horizon: number): boolean {
  return isOwnId(id) && ownIdTime(id) < horizon
}

/** Somewhere above a time there are more stories than are wanted, about as many as that in a `span` of milliseconds. */
interface Crowd {
  readonly above: number
  readonly span: number
}

async function* datedStories(
  store: ObjectStore,
  wanted: number,
  horizon: number,
  after: string | undefined,
): AsyncGenerator<Story[]> {
  /** All from here on is handed over; in milliseconds since 1970, and as a key below which the rest is. */
  let to = after === undefined ? horizon : ownIdTime(after) + 1
  let before = after === undefined ? keyAt(to) : storyPrefix(after)
  let width = DAY
  let crowd: Crowd | undefined
  let missing = wanted
  while (missing > 0 && to > 0) {
    const from = Math.max(0, Math.floor(to - width))
    const found = await readPart(store, { after: keyAt(from), before }, missing, to - from > 1)
    if (!Array.isArray(found)) {
      const half = (to - found.above) / 2
      // The crowd may reach up to the end of this part, as it does where uploads are steady; if not, its end is looked for
      width = crowd ? half : Math.min(half, found.span)
      crowd = found
    } else {
      missing -= found.length
      if (found.length > 0) yield found
      const read = to - from
      to = from
      before = keyAt(to)
      if (crowd && found.length === 0 && crowd.above < to) width = widthAbove(crowd, to)
      else {
        crowd = undefined
        width = found.length === 0 ? GROWTH * read : read * Math.min(GROWTH, (RESERVE * missing) / found.length)
      }
    }
    width = Math.max(1, width)
  }
}

function keyAt(time: number): string {
  return STORY_SPACE.keyAt(time) as string
}

/** How far to go back when a crowd does not reach up to a time: halves the logarithm of the distance. */
function widthAbove({ above, span }: Crowd, to: number): number {
  const distance = to - above
  return distance <= 4 * span ? distance : distance - Math.sqrt(span * distance)
}

/**
 * The stories of a part of the time, the newest first, and only as many as are wanted; or, if it may give up, that these are too
 * many to read on.
 */
async function readPart(
  store: ObjectStore,
  range: Range,
  wanted: number,
  mayGiveUp: boolean,
): Promise<Story[] | Crowd> {
  let newest: Story[] = []
  let stories = 0
  let keys = 0
  let first: number | undefined
  for await (const page of storiesIn(store, range)) {
    const own = page.filter(({ id }) => isOwnId(id))
    const last = own.at(-1)
    if (!last) continue
    first ??= ownIdTime((own[0] as Story).id)
    stories += own.length
    keys += own.reduce((sum, { images }) => sum + 1 + images.length, 0)
    newest = [...newest, ...own].slice(-wanted)
    if (mayGiveUp && keys >= KEYS_A_PAGE * 0.9 && stories > 2 * wanted) {
      const above = ownIdTime(last.id)
      return { above, span: ((above - first + 1) / stories) * RESERVE * wanted }
    }
  }
  return newest.reverse()
}

/** What is not dated, in id order. */
async function* lastStories(store: ObjectStore, horizon: number, after?: string): AsyncGenerator<Story[]> {
  const end = keyAt(horizon)
  const rest = behind(after)
  const isBehind = rest.after !== undefined && rest.after >= end
  if (!isBehind) yield* foreignStories(store, { ...rest, before: end })
  yield* storiesIn(store, isBehind ? rest : { after: end })
}

/** Among those of uploads. Ids take one call of the store for each thousand. */
async function* foreignStories(store: ObjectStore, range: Range): AsyncGenerator<Story[]> {
  for await (const page of store.listPrefixes({ prefix: STORIES, space: STORY_SPACE, ...range })) {
    const ids = page.map(storyIdOf).filter((id) => id !== undefined && !isOwnId(id)) as string[]
    if (ids.length > MOST_LOOKS) {
      const [first, last] = [ids[0], ids.at(-1)] as [string, string]
      const stories = storiesIn(store, { after: storyPrefix(first), before: behind(last).after as string })
      for await (const found of stories) yield found.filter(({ id }) => !isOwnId(id))
      continue
    }
    const found = new Map<string, Story>()
    await sideBySide(ids, LOOKS_AT_ONCE, async (id) => {
      const story = await lookUp(store, id)
      if (story) found.set(id, story)
    })
    yield ids.map((id) => found.get(id)).filter((story) => story !== undefined)
  }
}
