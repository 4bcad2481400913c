import { newStoryId, STORIES } from './story.ts'

/**
 * Prefix of tombstones: `stories/-deleting/<story id or "all">.<uuid v7>`. No list shows such a key, and "-" sorts before every id.
 *
 * Below the watermark an id counts as a story while there is anything below it. A deletion leaves a part of a story for a while or, when
 * it is interrupted, for good, so it puts a tombstone before its first step, and deletes it when nothing is left. Only on a full store
 * it may do without: see remove.ts.
 */
export const TOMBSTONES = `${STORIES}-deleting/`

/** Returns the key of a new tombstone of a story, or of "all". */
export const tombstoneKey = (id: string) => `${TOMBSTONES}${id}.${newStoryId()}`
