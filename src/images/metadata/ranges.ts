import { MAX_BLOCK } from './editor.ts'

/** Metadata cannot be removed while the file streams through, since its index is too large or comes too late. */
export class OutOfReach extends Error {}

/** Bytes of a file, from `start` up to before `end`. */
export interface Range {
  readonly start: number
  readonly end: number
}

/** Bytes to overwrite. */
export interface Metadata extends Range {
  readonly kind: 'exif' | 'xmp' | 'jpeg' | 'other'
  /** Makes the item unreachable. Called if its bytes cannot be cleaned, for instance because they are shared with others. */
  readonly hide?: () => void
}

/**
 * Returns what to overwrite, in order and apart from each other. Pictures win over metadata. Metadata is only cleaned if its bytes are its
 * own and few enough to hold; otherwise it is blanked as far as it is not of a picture, and hidden.
 */
export function planOverwrites(metadata: readonly Metadata[], pictures: readonly Range[]): Metadata[] {
  const kept = merge(pictures)
  const plan: Metadata[] = []
  let next = 0
  for (const group of groupOverlapping(metadata)) {
    const [first] = group.members as [Metadata, ...Metadata[]]
    while ((kept[next]?.end ?? Number.POSITIVE_INFINITY) <= group.start) next += 1
    const isShared =
      group.members.some(
        (other) => other.end !== first.end || other.start !== first.start || other.kind !== first.kind,
      ) || (kept[next]?.start ?? Number.POSITIVE_INFINITY) < group.end
    if (!isShared && first.end - first.start <= MAX_BLOCK) {
      plan.push(first)
      continue
    }
    for (const { hide } of group.members) hide?.()
    let start = group.start
    for (let at = next; start < group.end; at += 1) {
      const hole = kept[at] ?? { start: group.end, end: group.end }
      if (hole.start > start) plan.push({ start, end: Math.min(hole.start, group.end), kind: 'other' })
      start = Math.max(start, hole.end)
    }
  }
  return plan
}

/** Returns the ranges in order, those that touch as one. */
export function merge(ranges: readonly Range[]): Range[] {
  const merged: { start: number; end: number }[] = []
  for (const { start, end } of inOrder(ranges)) {
    const last = merged.at(-1)
    if (last && start <= last.end) last.end = Math.max(last.end, end)
    else merged.push({ start, end })
  }
  return merged
}

/** Returns the parts of ranges that are in areas; both are in order and do not overlap. */
export function intersect<T extends Range>(ranges: readonly T[], areas: readonly Range[]): { range: T; part: Range }[] {
  const parts: { range: T; part: Range }[] = []
  let next = 0
  for (const range of ranges) {
    while ((areas[next]?.end ?? Number.POSITIVE_INFINITY) <= range.start) next += 1
    for (let at = next; (areas[at]?.start ?? Number.POSITIVE_INFINITY) < range.end; at += 1) {
      const area = areas[at] as Range
      parts.push({ range, part: { start: Math.max(range.start, area.start), end: Math.min(range.end, area.end) } })
    }
  }
  return parts
}

function groupOverlapping(metadata: readonly Metadata[]): (Range & { members: Metadata[] })[] {
  const groups: { start: number; end: number; members: Metadata[] }[] = []
  for (const entry of inOrder(metadata)) {
    const last = groups.at(-1)
    if (last && entry.start < last.end) {
      last.end = Math.max(last.end, entry.end)
      last.members.push(entry)
    } else groups.push({ start: entry.start, end: entry.end, members: [entry] })
  }
  return groups
}

function inOrder<T extends Range>(ranges: readonly T[]): T[] {
  return ranges.filter(({ start, end }) => start < end).sort((a, b) => a.start - b.start || a.end - b.end)
}
