import { StoreFull } from '../errors.ts'
import { isStoryId, ownIdTime, WRITTEN_BY_US } from '../layout/story.ts'
import { TOMBSTONES, type TombstoneKind, tombstoneKey, tombstoneKind } from '../layout/tombstone.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { CLOCK_MARGIN_MS } from './story-store.ts'

/** With more tombstones, lists read ids from keys. So a sweep that would put more puts none. */
export const MAX_TOMBSTONES = 1000

/** A removal that stood still for longer than this, in milliseconds, may have lost its tombstone to another sweep. */
export const TOMBSTONE_MS = CLOCK_MARGIN_MS / 2

export interface Tombstone {
  readonly key: string
  /** The story's, or "all". */
  readonly id: string
  readonly kind: TombstoneKind
  /** When it was put, in milliseconds since 1970. */
  readonly time: number
}

/**
 * Puts a tombstone; once it is there, every reader knows of the deletion.
 *
 * @returns its key, or undefined if the store has no room for it: a full store still has to be emptied
 */
export async function putTombstone(
  store: ObjectStore,
  id: string,
  kind: TombstoneKind = 'deletion',
): Promise<string | undefined> {
  const key = tombstoneKey(id, kind)
  async function* body() {
    yield Buffer.from(`A ${kind === 'debris' ? 'removal of debris' : kind} is under way, or was interrupted.\n`)
  }
  try {
    await store.put(key, body(), { contentType: 'text/plain', metadata: WRITTEN_BY_US })
    return key
  } catch (error) {
    if (error instanceof StoreFull) return undefined
    throw error
  }
}

/**
 * Reads every tombstone, or those of one deletion.
 *
 * @param id a story's, or "all"
 */
export async function readTombstones(store: ObjectStore, id?: string): Promise<Tombstone[]> {
  const tombstones: Tombstone[] = []
  for await (const page of store.list({ prefix: id === undefined ? TOMBSTONES : `${TOMBSTONES}${id}.` })) {
    for (const { key } of page) {
      const [of = '', uuid = ''] = key.slice(TOMBSTONES.length).split('.')
      if ((of === 'all' || isStoryId(of)) && isStoryId(uuid))
        tombstones.push({ key, id: of, kind: tombstoneKind(key.slice(TOMBSTONES.length)), time: ownIdTime(uuid) })
    }
  }
  return tombstones
}
