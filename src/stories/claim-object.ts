import { randomBytes } from 'node:crypto'
import { KeyInUse, ObjectExists, ObjectNotFound, StoreFailure, StoreFull } from '../errors.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { ownIdTime, type StoryKeys, WRITTEN_BY_US } from './key.ts'
import { mayBeSwept } from './leftovers.ts'

/**
 * Which upload an Idempotency-Key stands for.
 *
 *   idempotency/<name>.<n>       a claim: the nth upload with this key has stored its images, and is about to write its record
 *   idempotency/<name>.<n>.end   how that ended
 *
 * Both are written only if they are not there yet, so of several writers one wins, and the others see who. Once an end says that an
 * upload is committed, its story is the key's answer for good, also when it is deleted later. Once it says that the upload was
 * given up, another one may claim the key, and a record that still arrives finds no images.
 */
export const CLAIMS = 'idempotency/'
export const CLAIM_NAME = /^([0-9a-f]{64})\.([1-9]\d{0,8})(\.end)?$/

/** Names an object that no upload reads or writes. One that a crash leaves looks like an expired claim to a sweep, which removes it. */
export function newScratchKey(): string {
  return `${CLAIMS}${randomBytes(32).toString('hex')}.1`
}

/** No claim and no record is longer, in bytes: the record of 10,000 images is 1.8 MB. */
const MAX_BYTES = 4 * 1024 * 1024

/** What a claim says of its upload. */
export interface ClaimedStory {
  readonly id: string
  /** Of the images, in their order. */
  readonly names: readonly string[]
  /** Of the images' bytes: see record.ts. */
  readonly fingerprint: string
}

/** How the upload of a story ended. */
export interface End {
  readonly id: string
  readonly committed: boolean
}

/** Returns false when there is such an object. */
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

/** What is there is no JSON of ours. */
class Unreadable extends StoreFailure {}

/** Rejects with `ObjectNotFound`, or with a `StoreFailure` for what is no JSON of ours. */
export async function readJson<T>(store: ObjectStore, key: string): Promise<T> {
  const { body, size } = await store.get(key)
  if (size > MAX_BYTES) {
    body.destroy()
    throw new Unreadable()
  }
  const chunks: Buffer[] = []
  for await (const chunk of body) chunks.push(chunk as Buffer)
  try {
    return JSON.parse(Buffer.concat(chunks).toString()) as T
  } catch (error) {
    throw new Unreadable({ cause: error })
  }
}

/** Nothing when there is no such object. */
export async function readIfThere<T>(store: ObjectStore, key: string): Promise<T | undefined> {
  try {
    return await readJson<T>(store, key)
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined
    throw error
  }
}

/** Says how the upload with this claim ended, unless that is said already; returns what holds. */
export async function settle(store: ObjectStore, key: string, own: End): Promise<End> {
  if (await putFirst(store, `${key}.end`, own)) return own
  const end = await readIfThere<End>(store, `${key}.end`)
  // It is being written at this moment
  if (!end) throw new KeyInUse()
  return end
}

/**
 * Says of a story with an idempotency record that its upload was committed, unless the end of it is there. Has to be done before its
 * commit record is deleted: its own process may have died before it did, and then an upload with the same key would make the story
 * once more.
 *
 * @param keys of the story; the body of a record with a claim names it
 * @returns false when the store has no room for the end
 */
export async function commitBeforeDeletion(store: ObjectStore, keys: StoryKeys): Promise<boolean> {
  const { id, claimedRecord } = keys
  if (claimedRecord === undefined) return true
  const { claim } = (await readIfThere<{ claim?: unknown }>(store, claimedRecord).catch(damaged)) ?? {}
  if (typeof claim !== 'string' || !CLAIM_NAME.test(claim.slice(CLAIMS.length))) return true
  // Nearly always: then nothing is written, which costs less, and which a full store can do
  if (await isThere(store, `${claim}.end`)) return true
  // Expired, or of the bucket that the story was copied from
  if ((await readIfThere<ClaimedStory>(store, claim).catch(damaged))?.id !== id) return true
  if (!(await wasCommitted(store, keys))) return true
  try {
    await settle(store, claim, { id, committed: true })
    return true
  } catch (error) {
    if (error instanceof StoreFull) return false
    throw error
  }
}

/**
 * Whether an upload whose idempotency record has no end was committed: its story is whole, or its commit record was written before a
 * sweep of any setting could come by. Then the images were all there, and are gone since the deletion of a full store begins with them.
 *
 * @param keys that a listing shows of its story
 */
export async function wasCommitted(store: ObjectStore, keys: StoryKeys): Promise<boolean> {
  if (keys.story()) return true
  if (keys.claimedRecord === undefined) return false
  try {
    const { lastModified } = await store.head(keys.claimedRecord)
    return !mayBeSwept(lastModified.getTime() - ownIdTime(keys.id))
  } catch (error) {
    // Deleted meanwhile, which has an end written before it
    if (error instanceof ObjectNotFound) return false
    throw error
  }
}

async function isThere(store: ObjectStore, key: string): Promise<boolean> {
  try {
    await store.head(key)
    return true
  } catch (error) {
    if (error instanceof ObjectNotFound) return false
    throw error
  }
}

/** What can't be read must not keep a story from being deleted. */
function damaged(error: unknown): undefined {
  if (!(error instanceof Unreadable)) throw error
}
