import type { ListedObject, ListOptions, ObjectStore } from '../store/object-store.ts'
import { type Range, STORIES } from '../stories/key.ts'
import { isVariantKey, VARIANTS, variantStoryId, variantsPrefix } from './variant.ts'

/**
 * The keys of a story's variants. Asked for after its images were deleted, it shows every one: who makes a variant looks afterwards
 * whether the image is still there.
 */
export async function variantsOf(store: ObjectStore, storyId: string): Promise<string[]> {
  const keys: string[] = []
  for await (const page of store.list({ prefix: variantsPrefix(storyId) }))
    keys.push(...page.map(({ key }) => key).filter(isVariantKey))
  return keys
}

/** Variants of one story id of which there is nothing else. */
export interface Orphans {
  readonly storyId: string
  readonly objects: readonly ListedObject[]
}

/**
 * Variants of ids below which there is no object any more, in id order, for each page of the store at most one array. Reads the ids that
 * have variants, and beside them those that have objects, so makes no call for each story.
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
    // "0" is the character behind "/"
    const keys = { prefix: VARIANTS, after: variantsPrefix(first), before: `${VARIANTS}${last}0` }
    yield* grouped(store, keys, orphaned)
  }
}

/** Of these ids, in their order, those below which there is nothing. They were seen before, so there will not be anything either. */
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
    // There is something, and who lists stories is told of it
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

/** From keys of stories to those of their variants. */
export function variantRange({ after, before }: Range): Range {
  const moved = (key: string) => key.replace(STORIES, VARIANTS)
  return { ...(after !== undefined && { after: moved(after) }), ...(before !== undefined && { before: moved(before) }) }
}
