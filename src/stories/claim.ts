import { KeyInUse, KeyReused, ObjectExists, ObjectNotFound, StoreFailure } from '../errors.ts'
import { sideBySide } from '../side-by-side.ts'
import type { ListedObject, ObjectStore } from '../store/object-store.ts'
import { isWrittenByUs, ownIdTime, WRITTEN_BY_US } from './key.ts'
import { keysOfStory } from './list.ts'
import { CLOCK_MARGIN_MS, leftoversOf, Removal } from './remove.ts'

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
const CLAIMS = 'idempotency/'
const CLAIM_NAME = /^([0-9a-f]{64})\.([1-9]\d{0,8})(\.end)?$/

/** Milliseconds for which a key is remembered, beyond the time that an upload can take. */
export const CLAIM_AGE_MS = 24 * 60 * 60_000

/** No claim is longer, in bytes: the names of 10,000 images are 140 KB. */
const MAX_CLAIM = 1024 * 1024

/** Objects that are looked at side by side, to see who wrote them. */
const HEADS_AT_ONCE = 8

/** What a claim says of its upload. */
export interface ClaimedStory {
  readonly id: string
  /** Of the images, in their order. */
  readonly names: readonly string[]
  /** Of the images' bytes: see record.ts. */
  readonly fingerprint: string
}

/** How an upload with a claim ended. */
interface End {
  readonly committed: boolean
}

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
    const key = `${CLAIMS}${name}.${number}`
    if (await putFirst(store, key, own)) return new Claim(store, key)
    const last = await readLastClaim(store, name)
    // The answer to our own write got lost
    if (last.story.id === own.id) return new Claim(store, last.key)
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
  readonly #key: string

  constructor(store: ObjectStore, key: string) {
    this.#store = store
    this.#key = key
  }

  /**
   * Says that the record is there.
   *
   * @throws {KeyInUse} when another upload has taken over
   */
  async commit(): Promise<void> {
    const { committed } = await settle(this.#store, this.#key, true)
    if (!committed) throw new KeyInUse()
  }

  /**
   * Says that there will be no record.
   *
   * @returns false when another upload has found the record and answered with it: then the story has to stay
   */
  async giveUp(): Promise<boolean> {
    const { committed } = await settle(this.#store, this.#key, false)
    return !committed
  }
}

/**
 * Removes claims that no upload of the last `CLAIM_AGE_MS` can need, and says of those whose upload was interrupted behind its record that they are
 * committed.
 *
 * @param uploadTimeout milliseconds after which an upload of ours can't be running any more
 * @param options.signal ends it before the next claim; it rejects with the signal's reason
 * @param options.onRemoved is told which keys were removed, those of one claim after another
 * @param options.dryRun changes nothing
 */
export async function sweepClaims(
  store: ObjectStore,
  uploadTimeout: number,
  options: {
    now?: number
    signal?: AbortSignal | undefined
    dryRun?: boolean
    onRemoved?: (keys: readonly string[]) => void
  } = {},
): Promise<void> {
  const { now = Date.now(), signal, onRemoved, dryRun = false } = options
  const interrupted = now - uploadTimeout - CLOCK_MARGIN_MS
  // A ticket is good for a day, and an upload with it that began in time may still claim it
  const expired = interrupted - CLAIM_AGE_MS
  for await (const objects of readClaims(store)) {
    signal?.throwIfAborted()
    const times = objects.map(({ modified }) => Date.parse(modified))
    const keys = objects.map(({ key }) => key)
    if (times.every((time) => time < expired)) {
      if (!(await areOurs(store, keys))) continue
      if (!dryRun) {
        // An end without its claim would be that of the next upload with this key
        await store.delete(keys.filter((key) => key.endsWith('.end')))
        await store.delete(keys)
      }
      onRemoved?.(keys)
      continue
    }
    const last = keys.at(-1) as string
    if (dryRun || last.endsWith('.end') || (times.at(-1) as number) >= interrupted) continue
    if (!(await areOurs(store, [last]))) continue
    const { id } = await read<ClaimedStory>(store, last)
    if ((await keysOfStory(store, id))?.story()) await settle(store, last, true)
  }
}

/** The objects of one name after another, each claim before its end. */
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

async function areOurs(store: ObjectStore, keys: readonly string[]): Promise<boolean> {
  let ours = true
  await sideBySide(keys, HEADS_AT_ONCE, async (key) => {
    try {
      if (!isWrittenByUs((await store.head(key)).metadata)) ours = false
    } catch (error) {
      // deleted meanwhile
      if (!(error instanceof ObjectNotFound)) throw error
    }
  })
  return ours
}

/** The claim with the highest number. */
async function readLastClaim(store: ObjectStore, name: string) {
  let number = 0
  for await (const page of store.list({ prefix: `${CLAIMS}${name}.` })) {
    for (const { key } of page) number = Math.max(number, Number(CLAIM_NAME.exec(key.slice(CLAIMS.length))?.[2] ?? 0))
  }
  const key = `${CLAIMS}${name}.${number}`
  try {
    return { key, number, story: await read<ClaimedStory>(store, key) }
  } catch (error) {
    // Expired at this moment
    throw error instanceof ObjectNotFound ? new KeyInUse() : error
  }
}

/** How the upload with this claim ended; decides it, if its process is no more. */
async function endOf(store: ObjectStore, key: string, id: string, uploadTimeout: number): Promise<End> {
  const end = await readEnd(store, key)
  if (end) return end
  // Before anybody acts on the story: its own upload must not take it back
  if ((await keysOfStory(store, id))?.story()) return settle(store, key, true)
  if (ownIdTime(id) >= Date.now() - uploadTimeout - CLOCK_MARGIN_MS) throw new KeyInUse()
  return settle(store, key, false)
}

/** Says how the upload with this claim ended, unless that is said already; returns what holds. */
async function settle(store: ObjectStore, key: string, committed: boolean): Promise<End> {
  if (await putFirst(store, `${key}.end`, { committed } satisfies End)) return { committed }
  const end = await readEnd(store, key)
  // It is being written at this moment
  if (!end) throw new KeyInUse()
  return end
}

async function readEnd(store: ObjectStore, key: string): Promise<End | undefined> {
  try {
    return await read<End>(store, `${key}.end`)
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined
    throw error
  }
}

/** What an upload that was given up has left: a record of it that is still on its way must not find images. */
async function removeImages(store: ObjectStore, id: string): Promise<void> {
  const keys = await keysOfStory(store, id)
  if (!keys) return
  const removal = new Removal(store)
  await removal.remove(await leftoversOf(store, [keys]))
  removal.throwIfFailed()
}

/** Returns false when there is such an object. */
async function putFirst(store: ObjectStore, key: string, value: object): Promise<boolean> {
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

async function read<T>(store: ObjectStore, key: string): Promise<T> {
  const { body, size } = await store.get(key)
  if (size > MAX_CLAIM) {
    body.destroy()
    throw new StoreFailure()
  }
  const chunks: Buffer[] = []
  for await (const chunk of body) chunks.push(chunk as Buffer)
  try {
    return JSON.parse(Buffer.concat(chunks).toString()) as T
  } catch (error) {
    throw new StoreFailure().because(error)
  }
}
