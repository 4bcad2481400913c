import { newStoryId, STORIES } from './story.ts'

/**
 * Prefix of tombstones: `stories/-deleting/<story id or "all">.<uuid v7>`. No list shows such a key, and "-" sorts before every id.
 *
 * Below the watermark an id counts as a story while there is anything below it. A deletion leaves a part of a story for a while or, when
 * it is interrupted, for good, so it puts a tombstone before its first step, and deletes it when nothing is left. Only on a full store
 * it may do without: see remove.ts.
 */
export const TOMBSTONES = `${STORIES}-deleting/`

/**
 * What puts a tombstone:
 *
 * - `deletion`: the deletion of a story, or of all stories
 * - `debris`: the removal of what an interrupted upload or deletion has left
 * - `purge`: the deletion for good of a story, or of all stories, with everything that the store keeps of deleted ones
 * - `restore`: the restoring of a deleted story, which goes through the same states as its deletion, backwards
 */
export type TombstoneKind = 'deletion' | 'debris' | 'purge' | 'restore'

/** Returns the key of a new tombstone of a story, or of "all". Servers of earlier versions take every kind for a deletion. */
export function tombstoneKey(id: string, kind: TombstoneKind): string {
  return `${TOMBSTONES}${id}.${newStoryId()}${kind === 'deletion' ? '' : `.${kind}`}`
}

/** Returns the kind of a tombstone by its key. */
export function tombstoneKind(key: string): TombstoneKind {
  const kind = key.split('.')[2]
  return kind === 'debris' || kind === 'purge' || kind === 'restore' ? kind : 'deletion'
}
