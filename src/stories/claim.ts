import { KeyInUse, KeyReused } from '../errors.ts'
import type { ListedObject, ObjectStore } from '../store/object-store.ts'
import {
  CLAIM_NAME,
  CLAIMS,
  type ClaimedStory,
  type End,
  putFirst,
  readIfThere,
  settle,
  wasCommitted,
} from './claim-object.ts'
import { CLOCK_MARGIN_MS, LONGEST_UPLOAD_MS, ownIdTime } from './key.ts'
import { isLasting, mayBeSwept } from './leftovers.ts'
import { keysOfStory } from './list.ts'
import { isOurs, leftoversOf, Removal } from './remove.ts'

/**
 * Milliseconds after which a claim has expired, from the beginning of its upload. A ticket is valid for a day, and an upload with it that
 * began in time may still claim it.
 */
export const CLAIM_AGE_MS = 24 * 60 * 60_000 + LONGEST_UPLOAD_MS

/** Returns the story that a key stands for, if an upload with it is known to be committed. Writes nothing. */
export async function committedStory(store: ObjectStore, name: string): Promise<ClaimedStory | undefined> {
  for (let number = 1; ; number++) {
    const key = claimAt(name, number)
    const story = await readIfThere<ClaimedStory>(store, key)
    const end = story && (await readIfThere<End>(store, endOfClaim(key)))
    if (!end || end.id !== story.id) return undefined
    if (end.committed) return story
  }
}

const claimAt = (name: string, number: number) => `${CLAIMS}${name}.${number}`
const endOfClaim = (key: string) => `${key}.end`

/**
 * Claims a key for an upload whose images are stored and whose record is to be written next.
 *
 * @param name SHA-256 of the key and of who sent it, in hexadecimal
 * @param uploadTimeout milliseconds after which an upload of ours can't be running any more
 * @returns the claim, or the story that the key stands for
 * @throws {KeyInUse} while another upload is between its claim and its record, or may be
 * @throws {KeyReused} when the key stands for other images
 */
export async function claimKey(
  store: ObjectStore,
  name: string,
  own: ClaimedStory,
  uploadTimeout: number,
): Promise<Claim | ClaimedStory> {
  for (let number = 1; ; number++) {
    const key = claimAt(name, number)
    if (await putFirst(store, key, own)) return new Claim(store, key, own.id)
    const last = await readLastClaim(store, name, number)
    // The answer to our own write got lost
    if (last.story.id === own.id) return new Claim(store, last.key, own.id)
    const { committed } = await endOf(store, last.key, last.story.id, uploadTimeout)
    if (committed && last.story.fingerprint !== own.fingerprint) throw new KeyReused()
    if (committed) return last.story
    await removeImages(store, last.story.id)
    number = last.number
  }
}

/** The right to write the record of an upload. */
export class Claim {
  readonly #store: ObjectStore
  readonly #id: string

  /** @param key of the claim's object */
  constructor(
    store: ObjectStore,
    readonly key: string,
    id: string,
  ) {
    this.#store = store
    this.#id = id
  }

  /**
   * Says that the record is there.
   *
   * @throws {KeyInUse} when another upload has taken over
   */
  async commit(): Promise<void> {
    const { id, committed } = await settle(this.#store, this.key, { id: this.#id, committed: true })
    if (!committed || id !== this.#id) throw new KeyInUse()
  }

  /**
   * Says that there will be no record.
   *
   * @returns false when another upload has found the record and answered with it: then the story has to stay
   */
  async giveUp(): Promise<boolean> {
    const { id, committed } = await settle(this.#store, this.key, { id: this.#id, committed: false })
    return !(committed && id === this.#id)
  }
}

/**
 * Removes claims that have expired.
 *
 * @param now milliseconds since 1970
 * @param options.signal ends it before the next claim; it rejects with the signal's reason
 * @param options.onRemoved is told which keys were removed, those of one name after another
 * @param options.dryRun changes nothing
 */
export async function sweepClaims(
  store: ObjectStore,
  now: number,
  options: {
    signal?: AbortSignal | undefined
    dryRun?: boolean
    onRemoved?: (keys: readonly string[]) => void
  } = {},
): Promise<void> {
  const { signal, onRemoved, dryRun = false } = options
  const expired = now - CLAIM_AGE_MS - CLOCK_MARGIN_MS
  for await (const objects of readClaims(store)) {
    signal?.throwIfAborted()
    const keys = objects.map(({ key }) => key)
    if (!objects.every(({ modified }) => Date.parse(modified) < expired)) continue
    if (!(await areOurs(store, keys, expired))) continue
    if (!dryRun) {
      // The first claim last: once it is gone an upload begins anew, and must not meet what is left of the others
      const claims = keys.filter((key) => !key.endsWith('.end'))
      const isFirst = (key: string) => key.endsWith('.1')
      await store.delete(keys.filter((key) => key.endsWith('.end')))
      await store.delete(claims.filter((key) => !isFirst(key)))
      await store.delete(claims.filter(isFirst))
    }
    onRemoved?.(keys)
  }
}

/** The objects of one name after another. */
async function* readClaims(store: ObjectStore): AsyncGenerator<ListedObject[]> {
  let name: string | undefined
  let objects: ListedObject[] = []
  for await (const page of store.list({ prefix: CLAIMS })) {
    for (const object of page) {
      const match = CLAIM_NAME.exec(object.key.slice(CLAIMS.length))
      if (!match) continue
      if (match[1] !== name && objects.length > 0) {
        yield objects
        objects = []
      }
      name = match[1]
      objects.push(object)
    }
  }
  if (objects.length > 0) yield objects
}

async function areOurs(store: ObjectStore, keys: readonly string[], before: number): Promise<boolean> {
  for (const key of keys) if (!(await isOurs(store, key, before))) return false
  return true
}

/** Finds the last claim by reading one after another: for a list the disk store would read the names of the claims of all keys. */
async function readLastClaim(store: ObjectStore, name: string, number: number) {
  let story = await readIfThere<ClaimedStory>(store, claimAt(name, number))
  // Expired at this moment
  if (!story) throw new KeyInUse()
  for (let next: ClaimedStory | undefined; ; story = next, number++) {
    next = await readIfThere<ClaimedStory>(store, claimAt(name, number + 1))
    if (!next) return { key: claimAt(name, number), number, story }
  }
}

/**
 * How the upload with the last claim ended; decides it, if its process is no more.
 *
 * @throws {KeyInUse} while it runs, and for an expired claim until a sweep has removed it: a further claim could be all that the sweep
 *   leaves, and the next upload would begin anew with the first one
 */
async function endOf(store: ObjectStore, key: string, id: string, uploadTimeout: number): Promise<End> {
  const end = await readIfThere<End>(store, endOfClaim(key))
  if (end && end.id !== id) throw new KeyInUse()
  if (end?.committed) return end
  if (ownIdTime(id) < Date.now() - CLAIM_AGE_MS) throw new KeyInUse()
  if (end) return end
  const keys = await keysOfStory(store, id)
  if (keys && (await wasCommitted(store, keys))) {
    // Its own upload would take it back
    if (keys.story() && mayBeSwept(Date.now() - ownIdTime(id)) && !(await isLasting(store, id))) throw new KeyInUse()
    // Before anybody acts on the story: now its own upload must not take it back
    return settle(store, key, { id, committed: true })
  }
  if (ownIdTime(id) >= Date.now() - uploadTimeout - CLOCK_MARGIN_MS) throw new KeyInUse()
  return settle(store, key, { id, committed: false })
}

/** What an upload that was given up has left: a record of it that is still on its way must not find images. */
async function removeImages(store: ObjectStore, id: string): Promise<void> {
  const keys = await keysOfStory(store, id)
  if (!keys) return
  const removal = new Removal(store)
  await removal.remove(await leftoversOf(store, [keys]))
  removal.throwIfFailed()
}
