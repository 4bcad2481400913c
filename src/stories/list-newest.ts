import {
  isOwnId,
  isStoryFolder,
  ownIdTime,
  type Range,
  STORIES,
  STORY_SPACE,
  type Story,
  storyEnd,
  storyIdOf,
  storyPrefix,
} from '../layout/story.ts'
import { type ObjectStore, PAGE_KEYS } from '../store/object-store.ts'
import { lookUp, PAGE_IMAGES, storiesAfter, storiesIn } from './list.ts'

/** How far clocks of servers may be ahead of ours, and the first part of the time that is read. In milliseconds. */
const DAY = 24 * 3_600_000

/** Growth of the next part of the time after an empty one, and the most after any: five empty parts reach back to 1970. */
const GROWTH = 16

/** Margin in the width of the next part: if uploads come at a steady rate, it has one and a half times the stories that are missing. */
const RESERVE = 1.5

const LOOKS_AT_ONCE = 16
const MOST_LOOKS = 64

/**
 * Yields the newest stories first. Those that no upload can have made by now come last, in id order: imported stories, and ids from more
 * than a day ahead.
 *
 * The ids of uploads lie in the order of time and a store lists forward, so one part of the time after another is read, backwards.
 * Holds the stories that are wanted and a page of the store.
 *
 * @param wanted how many stories the reader takes at most, and no more once they have more than `PAGE_IMAGES` images together;
 *   further ones may be missing
 * @param after a story id: only stories that come after it in this order
 */
export async function* listNewest(store: ObjectStore, wanted: number, after?: string): AsyncGenerator<Story[]> {
  const horizon = Date.now() + DAY
  if (after === undefined || isDated(after, horizon)) {
    const missing = { stories: wanted, images: PAGE_IMAGES }
    yield* datedStories(store, missing, horizon, after)
    if (isWanted(missing)) yield* lastStories(store, horizon)
  } else yield* lastStories(store, horizon, after)
}

/** What the reader still takes. The story with the first image beyond these is the last one. */
interface Missing {
  stories: number
  images: number
}

function isWanted({ stories, images }: Missing): boolean {
  return stories > 0 && images >= 0
}

/**
 * Returns the ratio of these stories, or of these images, to the missing ones: the larger of the two. The ratio of images is at most the
 * number of stories, since a story is never split.
 */
function shareOf(stories: number, images: number, missing: Missing): number {
  return Math.max(stories / missing.stories, Math.min(stories, images / Math.max(1, missing.images)))
}

function imagesOf(stories: readonly Story[]): number {
  return stories.reduce((sum, { images }) => sum + images.length, 0)
}

/** Returns whether an upload has made an id, by its time. */
function isDated(id: string, horizon: number): boolean {
  return isOwnId(id) && ownIdTime(id) < horizon
}

/** Too many stories to read on: `readPart` stopped at the time `above`; about as many as are wanted lie in each `span` milliseconds. */
interface Crowd {
  readonly above: number
  readonly span: number
}

/** Yields stories, and subtracts them from `missing`. */
async function* datedStories(
  store: ObjectStore,
  missing: Missing,
  horizon: number,
  after: string | undefined,
): AsyncGenerator<Story[]> {
  /** Everything from this time on was yielded, in milliseconds since 1970; `before` is the key below which the rest is. */
  let to = after === undefined ? horizon : ownIdTime(after) + 1
  let before = after === undefined ? keyAt(to) : storyPrefix(after)
  let width = DAY
  let crowd: Crowd | undefined
  let given = 0
  while (isWanted(missing) && to > 0) {
    const from = Math.max(0, Math.floor(to - width))
    const found = await readPart(store, { after: keyAt(from), before }, missing, to - from > 1)
    if (!Array.isArray(found)) {
      const half = (to - found.above) / 2
      // The crowd may reach up to the end of this part, as it does where uploads are steady; if not, its end is looked for
      width = crowd ? half : Math.min(half, found.span)
      crowd = found
    } else {
      const images = imagesOf(found)
      given += found.length
      missing.stories -= found.length
      missing.images -= images
      // A page takes its first story whatever that has, and there may be another page
      if (given === 1) missing.images = Math.max(0, missing.images)
      if (found.length > 0) yield found
      const read = to - from
      to = from
      before = keyAt(to)
      if (crowd && found.length === 0 && crowd.above < to) width = widthAbove(crowd, to)
      else {
        crowd = undefined
        const share = shareOf(found.length, images, missing)
        width = read * (found.length === 0 ? GROWTH : Math.min(GROWTH, RESERVE / share))
      }
    }
    width = Math.max(1, width)
  }
}

function keyAt(time: number): string {
  return STORY_SPACE.keyAt(time) as string
}

/** Returns how far to go back from `to` in search of the end of a crowd: each step halves the logarithm of the distance in spans. */
function widthAbove({ above, span }: Crowd, to: number): number {
  const distance = to - above
  return distance <= 4 * span ? distance : distance - Math.sqrt(span * distance)
}

/**
 * Reads a part of the time. Returns its newest stories, as many as are wanted, the newest first. If it may give up and there are too many
 * to read on, returns where it has stopped.
 */
async function readPart(
  store: ObjectStore,
  range: Range,
  missing: Missing,
  mayGiveUp: boolean,
): Promise<Story[] | Crowd> {
  const newest: Story[] = []
  let held = 0
  let stories = 0
  let images = 0
  let first: number | undefined
  for await (const page of storiesIn(store, range)) {
    const own = page.filter(({ id }) => isOwnId(id))
    const last = own.at(-1)
    if (!last) continue
    first ??= ownIdTime((own[0] as Story).id)
    const count = imagesOf(own)
    stories += own.length
    images += count
    newest.push(...own)
    held += count
    let surplus = 0
    for (const story of newest) {
      const left = newest.length - surplus
      // Of two one may be more than fits on the page, and the other says that there is another page
      const isTooMuch = left > 2 && held - story.images.length > missing.images
      if (left <= missing.stories && !isTooMuch) break
      held -= story.images.length
      surplus += 1
    }
    newest.splice(0, surplus)
    const share = shareOf(stories, images, missing)
    if (mayGiveUp && stories + images >= PAGE_KEYS * 0.9 && share > 2) {
      const above = ownIdTime(last.id)
      return { above, span: ((above - first + 1) / share) * RESERVE }
    }
  }
  return newest.reverse()
}

/** Yields the stories without a date, in id order. */
async function* lastStories(store: ObjectStore, horizon: number, after?: string): AsyncGenerator<Story[]> {
  const end = keyAt(horizon)
  const rest = storiesAfter(after)
  const isBehind = rest.after !== undefined && rest.after >= end
  if (!isBehind) yield* importedStories(store, { ...rest, before: end })
  yield* storiesIn(store, isBehind ? rest : { after: end })
}

/** Yields the imported stories of a range. Listing the ids takes one call of the store for each thousand. */
async function* importedStories(store: ObjectStore, range: Range): AsyncGenerator<Story[]> {
  for await (const page of store.listPrefixes({
    prefix: STORIES,
    space: STORY_SPACE,
    within: isStoryFolder,
    ...range,
  })) {
    const ids = page.map(storyIdOf).filter((id) => id !== undefined && !isOwnId(id)) as string[]
    if (ids.length > MOST_LOOKS) {
      const [first, last] = [ids[0], ids.at(-1)] as [string, string]
      const stories = storiesIn(store, { after: storyPrefix(first), before: storyEnd(last) })
      for await (const found of stories) yield found.filter(({ id }) => !isOwnId(id))
      continue
    }
    for (let at = 0; at < ids.length; at += LOOKS_AT_ONCE) {
      const found = await Promise.all(ids.slice(at, at + LOOKS_AT_ONCE).map((id) => lookUp(store, id)))
      yield found.filter((story) => story !== undefined)
    }
  }
}
