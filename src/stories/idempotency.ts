import { LONGEST_UPLOAD_MS } from '../config.ts'
import { KeyInUse, KeyReused } from '../errors.ts'
import { endKey, IDEMPOTENCY, IDEMPOTENCY_NAME, idempotencyKey } from '../layout/idempotency.ts'
import { ownIdTime } from '../layout/story.ts'
import type { ListedObject, ObjectStore } from '../store/object-store.ts'
import { debrisOf, isLasting, isOurs } from './debris.ts'
import { type End, putEnd, putFirst, type RecordedUpload, readIfThere, wasCommitted } from './idempotency-record.ts'
import { keysOfStory } from './list.ts'
import { Removal } from './removal.ts'
import { CLOCK_MARGIN_MS, endedBefore, mayBeSwept, type StoryStore } from './story-store.ts'

/**
 * Milliseconds from the beginning of an upload to the expiry of its idempotency record. A ticket is valid for a day, and an upload that
 * began with it in time may still write a record for it.
 */
export const IDEMPOTENCY_AGE_MS = 24 * 60 * 60_000 + LONGEST_UPLOAD_MS

/** Returns the upload that a key stands for, if one is known to be committed. Writes nothing. */
export async function committedUpload(store: ObjectStore, name: string): Promise<RecordedUpload | undefined> {
  for (let number = 1; ; number++) {
    const key = idempotencyKey(name, number)
    const upload = await readIfThere<RecordedUpload>(store, key)
    const end = upload && (await readIfThere<End>(store, endKey(key)))
    if (!end || end.id !== upload.id) return undefined
    if (end.committed) return upload
  }
}

/**
 * Puts the idempotency record of an upload whose images are stored and whose commit record is to be written next.
 *
 * @param name SHA-256 of the key and of who sent it, in hexadecimal
 * @returns the record, or the earlier upload that the key stands for
 * @throws {KeyInUse} while another upload is, or may be, between its idempotency record and its commit record
 * @throws {KeyReused} when the key stands for other images
 */
export async function recordUpload(
  store: StoryStore,
  name: string,
  own: RecordedUpload,
): Promise<IdempotencyRecord | RecordedUpload> {
  for (let number = 1; ; number++) {
    const key = idempotencyKey(name, number)
    if (await putFirst(store, key, own)) return new IdempotencyRecord(store, key, own.id)
    const last = await readLastRecord(store, name, number)
    // The response to our own write got lost
    if (last.upload.id === own.id) return new IdempotencyRecord(store, last.key, own.id)
    const { committed } = await endOf(store, last.key, last.upload.id)
    if (committed && last.upload.fingerprint !== own.fingerprint) throw new KeyReused()
    if (committed) return last.upload
    await removeImages(store, last.upload.id)
    number = last.number
  }
}

/** An idempotency record that this process has put: the right to write the commit record of its upload. */
export class IdempotencyRecord {
  readonly #store: ObjectStore
  readonly #id: string

  /** @param id of the story */
  constructor(
    store: ObjectStore,
    readonly key: string,
    id: string,
  ) {
    this.#store = store
    this.#id = id
  }

  /**
   * Puts the end that says that the commit record is there.
   *
   * @throws {KeyInUse} when another upload has taken over
   */
  async commit(): Promise<void> {
    const { id, committed } = await putEnd(this.#store, this.key, { id: this.#id, committed: true })
    if (!committed || id !== this.#id) throw new KeyInUse()
  }

  /**
   * Puts the end that says that there will be no commit record.
   *
   * @returns false if another upload has found the commit record and responded with the story, which has to stay then
   */
  async giveUp(): Promise<boolean> {
    const { id, committed } = await putEnd(this.#store, this.key, { id: this.#id, committed: false })
    return !(committed && id === this.#id)
  }
}

/**
 * Yields the keys of idempotency records that have expired, and of their ends, name by name.
 *
 * @param now milliseconds since 1970
 * @param signal ends it before the next name; it rejects with the signal's reason
 */
export async function* expiredRecords(store: ObjectStore, now: number, signal?: AbortSignal): AsyncGenerator<string[]> {
  const expired = now - IDEMPOTENCY_AGE_MS - CLOCK_MARGIN_MS
  for await (const objects of objectsByName(store)) {
    signal?.throwIfAborted()
    const keys = objects.map(({ key }) => key)
    const areOld = objects.every(({ modified }) => Date.parse(modified) < expired)
    if (areOld && (await areOurs(store, keys, expired))) yield keys
  }
}

/** Deletes all keys of one name. */
export async function deleteRecords(store: ObjectStore, keys: readonly string[]): Promise<void> {
  // The first record last: once it is gone an upload begins anew, and must not meet what is left of the others
  const isEnd = (key: string) => key.endsWith('.end')
  const isFirst = (key: string) => key.endsWith('.1')
  await store.delete(keys.filter(isEnd))
  await store.delete(keys.filter((key) => !isEnd(key) && !isFirst(key)))
  await store.delete(keys.filter(isFirst))
}

/** Yields the objects of one name after another. */
async function* objectsByName(store: ObjectStore): AsyncGenerator<ListedObject[]> {
  let name: string | undefined
  let objects: ListedObject[] = []
  for await (const page of store.list({ prefix: IDEMPOTENCY })) {
    for (const object of page) {
      const match = IDEMPOTENCY_NAME.exec(object.key.slice(IDEMPOTENCY.length))
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

/** Finds the last record of a name by reading one after another: for a list the disk store would read the names of all records. */
async function readLastRecord(store: ObjectStore, name: string, number: number) {
  let upload = await readIfThere<RecordedUpload>(store, idempotencyKey(name, number))
  // A sweep removes it at this moment
  if (!upload) throw new KeyInUse()
  for (let next: RecordedUpload | undefined; ; upload = next, number++) {
    next = await readIfThere<RecordedUpload>(store, idempotencyKey(name, number + 1))
    if (!next) return { key: idempotencyKey(name, number), number, upload }
  }
}

/**
 * Returns how the upload with the last record ended. Decides it if the process of the upload is gone.
 *
 * @throws {KeyInUse} while the upload runs, and for an expired record until a sweep has removed it: a further record could be all that
 *   the sweep leaves, and the next upload would begin anew with the first one
 */
async function endOf(store: StoryStore, key: string, id: string): Promise<End> {
  const end = await readIfThere<End>(store, endKey(key))
  if (end && end.id !== id) throw new KeyInUse()
  if (end?.committed) return end
  if (ownIdTime(id) < Date.now() - IDEMPOTENCY_AGE_MS) throw new KeyInUse()
  if (end) return end
  const keys = await keysOfStory(store, id)
  if (keys && (await wasCommitted(store, keys))) {
    // Its own upload would undo it
    if (keys.story() && mayBeSwept(Date.now() - ownIdTime(id)) && !(await isLasting(store, id))) throw new KeyInUse()
    // Before anybody acts on the story: from now on its own upload must not undo it
    return putEnd(store, key, { id, committed: true })
  }
  if (ownIdTime(id) >= endedBefore(store)) throw new KeyInUse()
  return putEnd(store, key, { id, committed: false })
}

/** Removes the images of an upload that was given up: a commit record of it that is still on its way must not find them. */
async function removeImages(store: ObjectStore, id: string): Promise<void> {
  const keys = await keysOfStory(store, id)
  if (!keys) return
  const removal = new Removal(store)
  await removal.remove(await debrisOf(store, [keys]))
  removal.throwIfFailed()
}
