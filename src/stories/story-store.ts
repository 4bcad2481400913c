import type { ObjectStore } from '../store/object-store.ts'

/** The object store of a process, with what all work on its stories has in common. */
export interface StoryStore extends ObjectStore {
  /** Milliseconds after which an upload of a server with the same setting can't be running any more. */
  readonly uploadTimeout: number
  /** Ids that this process deletes, or has begun to delete, without a tombstone, since the store had no room for one. */
  readonly withoutTombstone: Set<string>
  /** Is told of stories whose images are gone, perhaps more than once, so that caches can forget them. Never throws. */
  readonly onImagesRemoved: (ids: readonly string[]) => void
}

export function storyStore(
  store: ObjectStore,
  uploadTimeout: number,
  onImagesRemoved: StoryStore['onImagesRemoved'] = () => {},
): StoryStore {
  return { ...store, uploadTimeout, withoutTombstone: new Set(), onImagesRemoved }
}

/** Returns whether the store may restore something, or have something restored: it keeps what is deleted, or does not tell. */
export async function mayRestore({ deleted }: StoryStore): Promise<boolean> {
  return deleted !== undefined && (await deleted.isKept()) !== false
}

/** Clocks of servers differ, and an upload may end a little after its time. Milliseconds. */
export const CLOCK_MARGIN_MS = 5 * 60_000

/**
 * Returns the time from before which no upload can be running, by the setting of this process.
 *
 * @param now milliseconds since 1970
 */
export function endedBefore({ uploadTimeout }: StoryStore, now = Date.now()): number {
  return now - uploadTimeout - CLOCK_MARGIN_MS
}

/** Milliseconds from which on an upload may be taken for interrupted somewhere: sweeps leave twice as much for clocks. */
const SAFE_MS = CLOCK_MARGIN_MS / 2

/** Returns whether a removal by another server's settings may hit an upload of this age, in milliseconds. */
export function mayBeSwept(age: number): boolean {
  return age > SAFE_MS
}
