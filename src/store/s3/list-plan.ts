import { compareKeys, type KeySpace } from '../object-store.ts'

/** What one call of a list reads: the page that comes after a key. */
export interface Range {
  readonly after: string
  /** Key up to which nothing is missing. Undefined while the page is being read, and if it can't be read. */
  end?: string
  /** Positions that the page spans; NaN if its keys have none. */
  width?: number
  /** Whether nothing is read after it: the list ends in it, or it can't be read. */
  isLast?: boolean
}

/**
 * How far apart pages are asked for, in widths of a page. The page between two of them is asked for when the end of the first is known:
 * two calls for 1.85 pages, since pages of 1,000 keys differ by a tenth in what they span, and two that end too early cost a third call.
 */
const STRIDE = 1.85

/**
 * Finds the first part of a list that no range reads.
 *
 * A page is complete from the key after which it was asked for to its own last key. So pages are a list without a gap if each of them
 * begins where the one before it ends, or earlier. While a page is being read, its end is estimated by the width of the others: a wrong
 * estimate costs calls, and never keys.
 *
 * @param ranges in the order of their keys
 * @param known what was read before them: everything up to `end`, where a page spans about `width` positions
 * @param before where the list ends
 * @returns the start of the missing range and its index among the others; undefined if nothing is missing that can be estimated
 */
export function nextRange(
  ranges: readonly Range[],
  known: { readonly end: string; readonly width: number },
  space: KeySpace,
  before?: string,
): { readonly index: number; readonly after: string } | undefined {
  let end: string | undefined = known.end
  let { width } = known
  let estimate: string | undefined
  for (let index = 0; ; index++) {
    const range = ranges[index]
    const start = end ?? estimate
    const limit = range?.after ?? before
    if (start !== undefined && (limit === undefined || compareKeys(start, limit) < 0)) {
      // An estimated gap that is smaller than a page is left to the page that will end in it
      const isWide = !range || space.position(range.after) - space.position(start) >= width
      if (end !== undefined || isWide) return { index, after: start }
    }
    if (!range || range.isLast) return undefined
    if (range.end !== undefined) {
      if (end === undefined || compareKeys(range.end, end) > 0) end = range.end
      width = blend(width, range.width)
    } else if (end === undefined || compareKeys(range.after, end) >= 0) {
      end = undefined
      estimate = space.keyAt(space.position(range.after) + STRIDE * width)
      // A key that is not of the space has a position of no use
      if (estimate !== undefined && compareKeys(estimate, range.after) <= 0) estimate = undefined
    }
  }
}

/** Updates the width of pages by one more page: at once if it is another magnitude, and as an average otherwise. */
export function blend(width: number, found = Number.NaN): number {
  if (Number.isNaN(found)) return width
  return found > width / 2 && found < width * 2 ? (3 * width + found) / 4 : found
}
