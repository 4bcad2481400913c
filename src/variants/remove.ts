import { type Range, STORIES } from '../layout/story.ts'
import { isVariantKey, VARIANTS, variantStoryId, variantsPrefix } from '../layout/variant.ts'
import type { ListedObject, ListOptions, ObjectStore } from '../store/object-store.ts'

/**
 * Lists the keys of a story's variants. After its images are deleted the list is complete: whoever stores a variant checks afterwards
 * that its image still exists.
 */
export async function variantsOf(store: ObjectStore, storyId: string): Promise<string[]> {
  const keys: string[] = []
  for await (const page of store.list({ prefix: variantsPrefix(storyId) }))
    keys.push(...page.map(({ key }) => key).filter(isVariantKey))
  return keys
}

/** Variants of a story id that has no other objects. */
export interface Orphans {
  readonly storyId: string
  readonly objects: readonly ListedObject[]
}

/**
 * Yields the variants of story ids that have no other objects, in order, in at most one array for each page of the store. Lists the ids
 * with variants and those with objects, so it makes no call for each story.
 *
 * @param range of story ids: `after` and `before` are keys of stories
 */
export async function* orphanedVariants(store: ObjectStore, range: Range = {}): AsyncGenerator<Orphans[]> {
  const within = (folder: string) => variantStoryId(folder) !== undefined
  for await (const prefixes of store.listPrefixes({ prefix: VARIANTS, within, ...variantRange(range) })) {
    const ids = prefixes.map(variantStoryId).filter((id) => id !== undefined)
    const orphaned = await withoutObjects(store, ids)
    const [first] = orphaned
    if (first === undefined) continue
    const last = [...orphaned].at(-1) as string
    // "0" is the character after "/"
    const keys = { prefix: VARIANTS, after: variantsPrefix(first), before: `${VARIANTS}${last}0` }
    yield* grouped(store, keys, orphaned)
  }
}

/** Returns the ids that have no objects except variants, in order. Since they have variants, their upload is over: none will follow. */
async function withoutObjects(store: ObjectStore, ids: readonly string[]): Promise<Set<string>> {
  const missing = new Set(ids)
  const [first, last] = [ids[0], ids.at(-1)]
  if (first === undefined) return missing
  const found = (folder: string) => missing.delete(folder.slice(STORIES.length, -1))
  const options = {
    prefix: STORIES,
    after: `${STORIES}${first}`,
    before: `${STORIES}${last}0`,
    within: (folder: string) => missing.has(folder.slice(STORIES.length, -1)),
    // It may have objects; listing stories reports it
    onUnreadable: (folder: string) => found(folder),
  }
  for await (const prefixes of store.listPrefixes(options)) for (const prefix of prefixes) found(prefix)
  return missing
}

async function* grouped(store: ObjectStore, options: ListOptions, ids: ReadonlySet<string>): AsyncGenerator<Orphans[]> {
  let last: { storyId: string; objects: ListedObject[] } | undefined
  const within = (folder: string) => variantStoryId(folder) !== undefined
  for await (const page of store.list({ within, ...options })) {
    const complete: Orphans[] = []
    for (const object of page) {
      const storyId = variantStoryId(object.key)
      if (storyId === undefined || !ids.has(storyId) || !isVariantKey(object.key)) continue
      if (last?.storyId !== storyId) {
        if (last) complete.push(last)
        last = { storyId, objects: [] }
      }
      last.objects.push(object)
    }
    if (complete.length > 0) yield complete
  }
  if (last) yield [last]
}

/** Converts a range of keys of stories to that of their variants. */
export function variantRange({ after, before }: Range): Range {
  const moved = (key: string) => key.replace(STORIES, VARIANTS)
  return { ...(after !== undefined && { after: moved(after) }), ...(before !== undefined && { before: moved(before) }) }
}
