import { parseDuration } from '../config.ts'
import { deletedStories, restoreStory } from '../stories/restore.ts'
import { storiesOnStore, succeeds } from './on-store.ts'
import { UsageError } from './stopped.ts'

/**
 * Restores deleted stories, and prints the id of each.
 *
 * @param options.deletedSince a duration such as "2h": instead of ids, every story that was deleted in this time
 * @returns whether each story is there now
 */
export async function restore(
  ids: readonly string[],
  { deletedSince, json = false }: { readonly deletedSince?: string; readonly json?: boolean },
  signal: AbortSignal,
): Promise<boolean> {
  if ((deletedSince === undefined) === (ids.length === 0))
    throw new UsageError('restore takes either the ids of stories, or --deleted-since')
  const age = deletedSince === undefined ? undefined : parseDuration(deletedSince)
  if (deletedSince !== undefined && age === undefined)
    throw new UsageError('--deleted-since has to be a duration, such as 90s, 30m or 2h')
  return storiesOnStore(async (store) => {
    const since = age === undefined ? undefined : new Date(Date.now() - age)
    const wanted = since === undefined ? ids : idsOf(deletedStories(store, { since, signal }))
    let count = 0
    let failed = 0
    for await (const id of wanted) {
      signal.throwIfAborted()
      count += 1
      if (await succeeds(() => restoreStory(store, id)))
        console.log(json ? JSON.stringify({ restored: id }) : `Restored ${id}`)
      else failed += 1
    }
    if (count === 0) console.error('Nothing was deleted in that time that could be restored')
    return failed === 0
  })
}

/** Prints the deleted stories that can be restored. */
export function listDeleted({ json = false }: { readonly json?: boolean }, signal: AbortSignal): Promise<boolean> {
  return storiesOnStore(async (store) => {
    if (!json) console.log('STORY                                 DELETED               IMAGES  KEPT UNTIL')
    for await (const { id, deletedAt, images, until } of deletedStories(store, { signal })) {
      const [deleted, kept] = [deletedAt, until].map((time) => time?.toISOString().replace(/\.\d+Z$/, 'Z'))
      console.log(
        json
          ? JSON.stringify({ story_id: id, deleted_at: deleted, image_count: images, kept_until: kept })
          : [id, deleted, String(images).padStart(6), kept ?? 'unknown'].join('  '),
      )
    }
    return true
  })
}

async function* idsOf(stories: AsyncIterable<{ readonly id: string }>): AsyncGenerator<string> {
  for await (const { id } of stories) yield id
}
