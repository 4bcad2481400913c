import { text } from 'node:stream/consumers'
import { KeyInUse, ObjectExists, StoreFailure, StoreFull } from '../errors.ts'
import { endKey, IDEMPOTENCY, IDEMPOTENCY_NAME } from '../layout/idempotency.ts'
import { ownIdTime, type StoryKeys, WRITTEN_BY_US } from '../layout/story.ts'
import { ifThere, type ObjectStore } from '../store/object-store.ts'
import { mayBeSwept } from './story-store.ts'

/** No record of either kind is longer, in bytes: the commit record of 10,000 images has 1.8 MB. */
const MAX_BYTES = 4 * 1024 * 1024

/** What an idempotency record says of its upload. */
export interface RecordedUpload {
  readonly id: string
  /** Of the images, in their order. */
  readonly names: readonly string[]
  /** Of the images' bytes: see record.ts. */
  readonly fingerprint: string
}

/** How an upload ended. */
export interface End {
  readonly id: string
  readonly committed: boolean
}

/** Puts an object of JSON. Returns false if there is one under the key. */
export async function putFirst(store: ObjectStore, key: string, value: object): Promise<boolean> {
  const bytes = Buffer.from(JSON.stringify({ version: 1, ...value }))
  async function* body() {
    yield bytes
  }
  try {
    await store.put(key, body(), { contentType: 'application/json', metadata: WRITTEN_BY_US, ifNoneMatch: '*' })
    return true
  } catch (error) {
    if (error instanceof ObjectExists) return false
    throw error
  }
}

/** The stored object is not JSON of ours. */
class Unreadable extends StoreFailure {}

/** @throws {ObjectNotFound} and `Unreadable` */
async function readJson<T>(store: ObjectStore, key: string): Promise<T> {
  const { body, size } = await store.get(key)
  if (size > MAX_BYTES) {
    body.destroy()
    throw new Unreadable()
  }
  const json = await text(body)
  try {
    return JSON.parse(json) as T
  } catch (error) {
    throw new Unreadable({ cause: error })
  }
}

/** Reads an object of JSON. Returns undefined if there is no such object. */
export function readIfThere<T>(store: ObjectStore, key: string): Promise<T | undefined> {
  return ifThere(readJson<T>(store, key))
}

/** Says how the upload of an idempotency record ended, unless that is known already. Returns the end that counts. */
export async function putEnd(store: ObjectStore, key: string, own: End): Promise<End> {
  if (await putFirst(store, endKey(key), own)) return own
  const end = await readIfThere<End>(store, endKey(key))
  // It is being written at this moment
  if (!end) throw new KeyInUse()
  return end
}

/**
 * Puts the end of a story's idempotency record, if the story has such a record and the record has no end. Call this before the commit
 * record is deleted: the process of the upload may have died before it put the end, and an upload with the same key would then make the
 * story once more.
 *
 * @param keys of the story; the body of its commit record names the idempotency record
 * @returns false if the store has no room for the end
 */
export async function commitBeforeDeletion(store: ObjectStore, keys: StoryKeys): Promise<boolean> {
  const { id, idempotentRecord } = keys
  if (idempotentRecord === undefined) return true
  const { claim: record } = (await readIfThere<{ claim?: unknown }>(store, idempotentRecord).catch(damaged)) ?? {}
  if (typeof record !== 'string' || !IDEMPOTENCY_NAME.test(record.slice(IDEMPOTENCY.length))) return true
  // Nearly always. Then nothing is written, which is cheaper, and which a full store can do
  if (await ifThere(store.head(endKey(record)))) return true
  // Expired, or of the bucket that the story was copied from
  if ((await readIfThere<RecordedUpload>(store, record).catch(damaged))?.id !== id) return true
  if (!(await wasCommitted(store, keys))) return true
  try {
    await putEnd(store, record, { id, committed: true })
    return true
  } catch (error) {
    if (error instanceof StoreFull) return false
    throw error
  }
}

/**
 * Returns whether an upload whose idempotency record has no end was committed: its story is whole, or its commit record was written
 * before a sweep of any setting could have removed the images. They were all there then, and are gone because a deletion on a full
 * store begins with them.
 *
 * @param keys that a listing shows of its story
 */
export async function wasCommitted(store: ObjectStore, keys: StoryKeys): Promise<boolean> {
  if (keys.story()) return true
  if (keys.idempotentRecord === undefined) return false
  const head = await ifThere(store.head(keys.idempotentRecord))
  // If it was deleted meanwhile, an end was put before
  return head !== undefined && !mayBeSwept(head.lastModified.getTime() - ownIdTime(keys.id))
}

/** An unreadable record must not keep a story from being deleted. */
function damaged(error: unknown): undefined {
  if (!(error instanceof Unreadable)) throw error
}
