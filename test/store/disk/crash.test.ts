import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { basename, dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { ObjectNotFound, StoryNotFound } from '../../../src/errors.ts'
import { openDiskStore } from '../../../src/store/disk/disk-store.ts'
import type { Body, ObjectStore, PutOptions } from '../../../src/store/object-store.ts'
import { findStory, listStories } from '../../../src/stories/list.ts'
import { removeStory } from '../../../src/stories/remove.ts'
import { restoreStory } from '../../../src/stories/restore.ts'
import { storyStore } from '../../../src/stories/story-store.ts'
import { readTombstones } from '../../../src/stories/tombstone.ts'
import { uploadStory } from '../../../src/stories/upload.ts'
import { inChunks, listKeys, readAll } from '../../support/bodies.ts'
import { ALL, sample } from '../../support/extent.ts'
import { makeImage } from '../../support/images.ts'
import { randomFrom } from '../../support/random.ts'
import { makeFolder } from '../../support/stores.ts'

/*
 * What a power cut leaves of the disk store, for each moment of a recorded run. Certain is what was synced: the bytes of a file by
 * fsync or fdatasync of it, the names of a folder by fsync of the folder, each time only what was over when the call began. The rest
 * may be there, or not, or in part, in any combination, but for this: the names of one folder change in the order of the calls, as
 * the journals of ext4, XFS, Btrfs and APFS keep them. A rename from one folder to another counts as two changes.
 */

/** Further states of each moment, beside those that are enumerated. */
const SAMPLES = 6
const SEED = 20260101

/** Deleted stories go into the trash. */
const RETENTION = 3_600_000

interface Inode {
  readonly isFolder: boolean
}

/** One change: of a name in a folder, of the bytes of a file, or a sync. Times are numbers of events. */
interface Change {
  readonly of: Inode
  readonly begun: number
  done: number
  readonly name?: string
  /** What the name stands for from then on; without one it is gone. */
  readonly target?: Inode
  bytes?: Buffer
}

/** Of file system calls, in the order in which they began. */
interface Recording {
  readonly root: Inode
  readonly temporary: Inode
  readonly changes: Change[]
  readonly syncs: Change[]
  /** How many events there were: each call that begins or ends is one. */
  events: number
  calls: number
}

type Plant = 'no fdatasync' | 'no fsync of folders' | 'no rename' | 'sidecar after object'

/** Writes down what is done below `root`, where there is nothing but `.tmp`, until `stop` is called. */
function record(root: string, plant?: Plant) {
  const recording: Recording = {
    root: { isFolder: true },
    temporary: { isFolder: true },
    changes: [],
    syncs: [],
    events: 0,
    calls: 0,
  }
  const inodes = new Map<string, Inode>([
    [root, recording.root],
    [join(root, '.tmp'), recording.temporary],
  ])
  const original = { ...fs }

  async function noted<T>(
    list: Change[],
    changes: Omit<Change, 'begun' | 'done'>[],
    call: () => Promise<T>,
  ): Promise<T> {
    recording.calls++
    const begun = recording.events++
    const noted = changes.map((change): Change => ({ ...change, begun, done: Number.POSITIVE_INFINITY }))
    list.push(...noted)
    try {
      return await call()
    } catch (error) {
      // It has changed nothing
      for (const change of noted) list.splice(list.indexOf(change), 1)
      throw error
    } finally {
      const done = recording.events++
      for (const change of noted) change.done = done
    }
  }
  const named = (path: string, target?: Inode): Omit<Change, 'begun' | 'done'>[] => {
    const of = inodes.get(dirname(path))
    return of ? [{ of, name: basename(path), ...(target && { target }) }] : []
  }

  async function open(path: string, flags?: string | number, mode?: number) {
    const isNew = flags === 'wx'
    const inode: Inode = { isFolder: false }
    const file = isNew
      ? await noted(recording.changes, named(path, inode), () => original.open(path, flags, mode))
      : await original.open(path, flags, mode)
    if (isNew) inodes.set(path, inode)
    const of = inodes.get(path)
    if (!of) return file
    const { writev, writeFile, sync, datasync } = file
    Object.assign(file, {
      writev: (chunks: Uint8Array[]) =>
        noted(recording.changes, [{ of, bytes: Buffer.concat(chunks) }], () => writev.call(file, chunks)),
      writeFile: (bytes: Buffer) => noted(recording.changes, [{ of, bytes }], () => writeFile.call(file, bytes)),
      sync: async () => {
        if (plant !== 'no fsync of folders') await noted(recording.syncs, [{ of }], () => sync.call(file))
      },
      datasync: async () => {
        if (plant !== 'no fdatasync') await noted(recording.syncs, [{ of }], () => datasync.call(file))
      },
    })
    return file
  }

  async function rename(from: string, to: string): Promise<void> {
    if (plant === 'no rename') return writeInPlace(from, to)
    const inode = inodes.get(from)
    await noted(recording.changes, [...named(to, inode), ...named(from)], () => original.rename(from, to))
    if (inode) inodes.set(to, inode)
    inodes.delete(from)
  }

  async function link(from: string, to: string): Promise<void> {
    const inode = inodes.get(from)
    await noted(recording.changes, named(to, inode), () => original.link(from, to))
    if (inode) inodes.set(to, inode)
  }

  /** What a store would do that does not know better. */
  async function writeInPlace(from: string, to: string): Promise<void> {
    const bytes = await original.readFile(from)
    await unlink(to).catch(() => {})
    const file = await open(to, 'wx')
    try {
      const middle = Math.ceil(bytes.length / 2)
      await file.writev([bytes.subarray(0, middle)])
      await file.writev([bytes.subarray(middle)])
      await file.datasync()
    } finally {
      await file.close()
    }
    await unlink(from)
  }

  const unlink = async (path: string) => {
    await noted(recording.changes, named(path), () => original.unlink(path))
    inodes.delete(path)
  }

  /** Renames of sidecars that wait for those of their objects. */
  const late = new Map<string, () => Promise<void>>()
  Object.assign(fs, {
    open,
    unlink,
    link,
    async rename(from: string, to: string) {
      if (plant !== 'sidecar after object') return rename(from, to)
      if (basename(to).startsWith('.')) {
        if (!existsSync(dirname(to))) return rename(from, to)
        late.set(to, () => rename(from, to))
        return
      }
      await rename(from, to)
      const sidecar = join(dirname(to), `.${basename(to)}.json`)
      await late.get(sidecar)?.()
      late.delete(sidecar)
    },
    async mkdir(path: string) {
      const inode: Inode = { isFolder: true }
      const known = inodes.get(path)
      // Others find the folder before they are told that it is made
      if (!known) inodes.set(path, inode)
      await noted(recording.changes, named(path, inode), () => original.mkdir(path)).catch((error) => {
        if (!known) inodes.delete(path)
        throw error
      })
    },
    async rmdir(path: string) {
      await noted(recording.changes, named(path), () => original.rmdir(path))
      inodes.delete(path)
    },
  })
  // A module's imports of a built-in one follow what `require` gives of it
  syncBuiltinESMExports()
  const stop = () => {
    Object.assign(fs, original)
    syncBuiltinESMExports()
  }
  return { recording, stop }
}

/** What a crash may leave of the changes of one inode: the first `certain` of them, and no more than all. */
interface Part {
  readonly inode: Inode
  readonly changes: readonly Change[]
  readonly certain: number
}

/** How much of a part is left: that many changes, of the one behind them half of its bytes, and zeros for what is lost. */
interface Left {
  readonly count: number
  readonly half?: boolean
  readonly zeros?: boolean
}

/** Everything that there was before `moment` events. */
function partsAt({ changes, syncs }: Recording, moment: number): Part[] {
  const byInode = new Map<Inode, Change[]>()
  for (const change of changes) {
    if (change.begun >= moment) continue
    const others = byInode.get(change.of)
    if (others) others.push(change)
    else byInode.set(change.of, [change])
  }
  return [...byInode].map(([inode, own]) => {
    const sorted = own.toSorted((a, b) => Math.min(a.done, moment) - Math.min(b.done, moment) || a.begun - b.begun)
    const synced = Math.max(
      -1,
      ...syncs.filter(({ of, done }) => of === inode && done < moment).map(({ begun }) => begun),
    )
    return { inode, changes: sorted, certain: sorted.filter(({ done }) => done < synced).length }
  })
}

/** The states of a moment: nothing that is uncertain, all of it, each part of it alone, all but one, and samples. */
function* statesOf(parts: readonly Part[], random: () => number): Generator<Map<Part, Left>> {
  const uncertain = parts.filter(({ changes, certain }) => changes.length > certain)
  const state = (choose: (part: Part) => Left) => new Map(uncertain.map((part) => [part, choose(part)]))
  const none = ({ certain }: Part): Left => ({ count: certain })
  const all = ({ changes }: Part): Left => ({ count: changes.length })
  yield state(all)
  if (uncertain.length === 0) return
  yield state(none)
  for (const part of uncertain) {
    const choices: Left[] = []
    for (let count = part.certain; count <= part.changes.length; count++) choices.push({ count })
    if (!part.inode.isFolder) choices.push({ count: part.certain, half: true }, { count: part.certain, zeros: true })
    for (const left of choices) {
      yield state((other) => (other === part ? left : none(other)))
      yield state((other) => (other === part ? left : all(other)))
    }
  }
  for (let n = 0; n < SAMPLES; n++) {
    yield state(({ inode, changes, certain }) => {
      const count = certain + Math.floor(random() * (changes.length - certain + 1))
      return inode.isFolder ? { count } : { count, half: random() < 0.5, zeros: random() < 0.5 }
    })
  }
}

/** The files of a state, by their paths below the root; folders are `undefined`. */
function treeOf(
  recording: Recording,
  parts: readonly Part[],
  state: ReadonlyMap<Part, Left>,
): Map<string, Buffer | undefined> {
  const partOf = new Map(parts.map((part) => [part.inode, part]))
  const tree = new Map<string, Buffer | undefined>()
  function visit(inode: Inode, path: string): void {
    const part = partOf.get(inode)
    const left = (part && state.get(part)) ?? { count: part?.changes.length ?? 0 }
    const changes = part?.changes.slice(0, left.count) ?? []
    if (!inode.isFolder) {
      const kept = changes.map(({ bytes }) => bytes ?? Buffer.alloc(0))
      const lost = Buffer.concat(part?.changes.slice(left.count).map(({ bytes }) => bytes ?? Buffer.alloc(0)) ?? [])
      if (left.half) kept.push(lost.subarray(0, lost.length / 2))
      if (left.zeros) kept.push(Buffer.alloc(left.half ? lost.length - Math.floor(lost.length / 2) : lost.length))
      tree.set(path, Buffer.concat(kept))
      return
    }
    tree.set(path, undefined)
    const names = new Map<string, Inode | undefined>()
    if (inode === recording.root) names.set('.tmp', recording.temporary)
    for (const { name = '', target } of changes) names.set(name, target)
    for (const [name, target] of names) if (target) visit(target, path === '' ? name : `${path}/${name}`)
  }
  visit(recording.root, '')
  return tree
}

interface Workload {
  /** What is done to the store. */
  run(store: ObjectStore, recording: Recording): Promise<void>
  /** What had begun and what was over at a moment: of two moments with the same one the same is allowed. */
  phase(moment: number): string
  /** Throws for what must not be, in a store that was opened after a crash at `moment`. */
  check(store: ObjectStore, moment: number): Promise<void>
  /** Whether every moment is looked at, and not a sample. */
  readonly isShort?: boolean
}

/** Runs a workload, and looks at what each crash leaves. */
async function crashEverywhere(t: Test, workload: Workload, plant?: Plant) {
  const root = await makeFolder(t)
  const store = await openDiskStore(root, [], RETENTION)
  const { recording, stop } = record(root, plant)
  try {
    await workload.run(store, recording)
  } finally {
    stop()
  }
  const random = randomFrom(SEED)
  const memory = existsSync('/dev/shm') ? '/dev/shm' : undefined
  const place = join(await makeFolder(t, memory), 'root')
  const seen = new Set<string>()
  const violations: string[] = []
  let states = 0
  const moments = Array.from({ length: recording.events + 1 }, (_, moment) => moment)
  for (const moment of plant === undefined && !workload.isShort ? sample(moments, 4) : moments) {
    if (violations.length >= (ALL ? 5 : 1)) break
    const parts = partsAt(recording, moment)
    for (const state of statesOf(parts, random)) {
      const tree = treeOf(recording, parts, state)
      const content = [...tree].map(([path, bytes]) => `${path}:${bytes?.toString('latin1')}`).join('\n')
      const id = `${workload.phase(moment)}\n${content}`
      if (seen.has(id)) continue
      seen.add(id)
      states++
      for (const [path, bytes] of tree) {
        if (bytes) writeFileSync(join(place, path), bytes)
        else mkdirSync(join(place, path), { recursive: true })
      }
      try {
        await workload.check(await openDiskStore(place, [], RETENTION), moment)
      } catch (error) {
        violations.push(
          `after ${moment} of ${recording.events} events: ${error instanceof Error ? error.message : error}`,
        )
      }
      rmSync(place, { recursive: true })
    }
  }
  t.comment(
    `${recording.calls} calls, ${recording.events + 1} moments, ${states} states: ${violations.length} violations`,
  )
  return violations
}

interface Stored {
  readonly bytes: Buffer
  readonly contentType: string
  readonly metadata: Readonly<Record<string, string>>
}

/** Puts, overwrites and deletes of single objects, some side by side. */
function objects(): Workload {
  const history: { key: string; begun: number; done: number; stored: Stored | undefined }[] = []
  const keys = ['a/1', 'a/2', 'a/3', 'b/c/1', 'd', 'e/1']

  async function run(store: ObjectStore, recording: Recording): Promise<void> {
    async function change(key: string, stored: Stored | undefined, work: () => Promise<unknown>) {
      const entry = { key, begun: recording.events, done: Number.POSITIVE_INFINITY, stored }
      history.push(entry)
      await work()
      entry.done = recording.events
    }
    const put = (key: string, text: string, more: Pick<PutOptions, 'ifNoneMatch'> = {}) => {
      const bytes = Buffer.from(text)
      const stored = { bytes, contentType: `text/${key.length}`, metadata: { about: text.slice(0, 10) } }
      return change(key, stored, () => store.put(key, inChunks(bytes, 100), { ...stored, ...more }))
    }
    const remove = (...keys: string[]) => {
      const gone = store.delete
      let work: Promise<unknown> | undefined
      return Promise.all(
        keys.map((key) =>
          change(key, undefined, () => {
            work ??= gone(keys)
            return work
          }),
        ),
      )
    }
    // More than one write takes
    await put('a/1', 'one '.repeat(1000))
    await Promise.all([put('a/2', 'two'), put('a/3', 'three'), put('b/c/1', 'four')])
    await put('d', 'five')
    await put('a/2', 'two, but longer')
    await remove('a/2')
    await Promise.all([put('a/2', 'two again'), remove('a/3', 'b/c/1')])
    await put('b/c/1', 'four again')
    await remove('a/1', 'a/2', 'd')
    await put('a/3', 'three again')
    await Promise.all([put('e/1', 'only once', { ifNoneMatch: '*' }), remove('b/c/1')])
  }

  async function check(store: ObjectStore, moment: number): Promise<void> {
    const listed = await listKeys(store)
    for (const key of listed) if (!keys.includes(key)) throw new Error(`there is a key "${key}"`)
    for (const key of keys) {
      const found = await read(store, key)
      if ((found !== undefined) !== listed.includes(key)) throw new Error(`the list and get differ about ${key}`)
      const own = history.filter((entry) => entry.key === key && entry.begun < moment)
      const last = own.findLastIndex(({ done }) => done <= moment)
      const before = own[last]?.stored
      const allowed = [before, ...own.slice(last + 1).map(({ stored }) => stored)]
      // An overwrite, which the server never does: type and metadata may be the new ones before the bytes are
      if (before) for (const stored of allowed.slice(1)) if (stored) allowed.push({ ...stored, bytes: before.bytes })
      if (!allowed.some((stored) => isSame(stored, found))) {
        throw new Error(`${key} is ${shown(found)}, not ${allowed.map(shown).join(' or ')}`)
      }
    }
    await store.delete(keys)
    const left = await listKeys(store)
    if (left.length > 0) throw new Error(`${left} can not be deleted`)
  }
  const phase = (moment: number) => history.map(({ begun, done }) => `${begun < moment} ${done <= moment}`).join()
  return { run, phase, check }
}

async function read(store: ObjectStore, key: string): Promise<Stored | undefined> {
  try {
    const head = await store.head(key)
    const { body, ...found } = await store.get(key)
    const bytes = await readAll(body)
    if (head.size !== bytes.length || head.etag !== found.etag) throw new Error(`head and get differ about ${key}`)
    return { bytes, contentType: found.contentType ?? '', metadata: found.metadata }
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined
    throw error
  }
}

function isSame(a: Stored | undefined, b: Stored | undefined): boolean {
  if (!a || !b) return a === b
  return a.bytes.equals(b.bytes) && a.contentType === b.contentType && a.metadata.about === b.metadata.about
}

const shown = (stored: Stored | undefined) =>
  stored ? `${stored.bytes.length} bytes of ${stored.contentType} ${stored.metadata.about}` : 'nothing'

/** Uploads of stories, one of which fails, and deletions. */
async function stories(): Promise<Workload> {
  const image = (width: number) => makeImage({ type: width % 2 ? 'png' : 'jpg', width, height: 5 })
  const [one = Buffer.alloc(0), two = one, three = one, four = one, five = one, six = one] = await Promise.all(
    [4, 5, 6, 7, 8, 9].map(image),
  )
  const broken = Buffer.from('no image')
  interface Upload {
    readonly images: readonly Buffer[]
    done: number
    id?: string
    removed?: { begun: number; done: number }
    restored?: { begun: number; done: number }
  }
  const uploads: Upload[] = []

  async function run(store: ObjectStore, recording: Recording): Promise<void> {
    const upload = (...images: Buffer[]) => uploadWith(undefined, ...images)
    async function uploadWith(idempotencyName: string | undefined, ...images: Buffer[]): Promise<Upload> {
      const entry: Upload = { images, done: Number.POSITIVE_INFINITY }
      uploads.push(entry)
      const story = await uploadStory(storyStore(store, 3_600_000), bodies(images), {
        maxPixels: 1000,
        readAhead: true,
        signal: new AbortController().signal,
        idempotencyName,
        onDebris: (error) => {
          throw error
        },
      })
      entry.id = story.id
      entry.done = recording.events
      return entry
    }
    async function remove(entry: Upload): Promise<void> {
      entry.removed = { begun: recording.events, done: Number.POSITIVE_INFINITY }
      await removeStory(storyStore(store, 3_600_000), entry.id ?? '')
      entry.removed.done = recording.events
    }
    async function restore(entry: Upload): Promise<void> {
      entry.restored = { begun: recording.events, done: Number.POSITIVE_INFINITY }
      await restoreStory(storyStore(store, 3_600_000), entry.id ?? '')
      entry.restored.done = recording.events
    }
    const first = await upload(one, two)
    const [second] = await Promise.all([upload(three), remove(first)])
    await Promise.all([upload(four, five), upload(five, broken).catch(() => {})])
    const [keyed] = await Promise.all([uploadWith('a'.repeat(64), six), remove(second)])
    await remove(keyed)
    await restore(first)
  }

  async function check(store: ObjectStore, moment: number): Promise<void> {
    const listed = new Map<Upload, string>()
    for await (const page of listStories(store)) {
      for (const { id, images } of page) {
        const found = await Promise.all(images.map(({ key }) => read(store, key)))
        const entry = uploads.find(
          (upload) =>
            upload.images.length === found.length && upload.images.every((bytes, n) => found[n]?.bytes.equals(bytes)),
        )
        if (!entry) throw new Error(`a story of ${images.length} images is listed that is not whole`)
        for (const { contentType } of found as Stored[]) if (!contentType) throw new Error('an image has no type')
        if ((await findStory(store, id)).images.length !== images.length) throw new Error('a list and a story differ')
        listed.set(entry, id)
      }
    }
    for (const entry of uploads) {
      const id = listed.get(entry)
      const isAcknowledged = entry.done <= moment
      const { removed, restored } = entry
      const wasRestored = restored !== undefined && restored.done <= moment
      if (isAcknowledged && id !== entry.id && (wasRestored || !(removed && removed.begun < moment)))
        throw new Error('a story was lost')
      if (id !== undefined && removed && removed.done <= moment && !(restored && restored.begun < moment))
        throw new Error('a deleted story came back')
      if (
        id === undefined &&
        isAcknowledged &&
        !(await findStory(store, entry.id ?? '').then(() => false, isNoStory))
      ) {
        throw new Error('a story is there that is not in the list')
      }
    }
    // As if five minutes had passed
    await store.delete((await readTombstones(store)).map(({ key }) => key))
    for (const { id = '', images, done } of uploads) {
      if (done > moment) continue
      await restoreStory(storyStore(store, 3_600_000), id)
      const found = await Promise.all((await findStory(store, id)).images.map(({ key }) => read(store, key)))
      if (!images.every((bytes, n) => found[n]?.bytes.equals(bytes) && found[n]?.contentType))
        throw new Error('a story was not restored as it was')
    }
  }
  const phase = (moment: number) =>
    uploads
      .map(
        ({ done, removed, restored }) =>
          `${done <= moment} ${[removed, restored].map((step) => step && [step.begun < moment, step.done <= moment])}`,
      )
      .join()
  return { run, phase, check }
}

const isNoStory = (error: unknown) => error instanceof StoryNotFound

async function* bodies(images: readonly Buffer[]): AsyncGenerator<Body> {
  for (const image of images) yield inChunks(image)
}

/** Deletes objects, and then one of them, which is in the trash, for good. */
function purges(): Workload {
  let done = Number.POSITIVE_INFINITY
  async function run(store: ObjectStore, recording: Recording): Promise<void> {
    const options = { contentType: 'text/plain', metadata: {} }
    for (const key of ['a/b/1', 'a/c/1']) await store.put(key, inChunks(Buffer.from(key), 100), options)
    await store.delete(['a/b/1', 'a/c/1'], 'all')
    await store.deleted?.purge({ prefix: 'a/b/' })
    done = recording.events
    await store.put('d', inChunks(Buffer.from('d'), 100), options)
  }
  async function check(store: ObjectStore, moment: number): Promise<void> {
    for await (const [object] of store.deleted?.list({ prefix: 'a/b/' }) ?? [])
      if (done <= moment) throw new Error(`${object?.key} can be restored`)
  }
  return { run, phase: (moment) => String(done <= moment), check, isShort: true }
}

t.test('after a crash nothing can be restored that was deleted for good', async (t) => {
  t.same(await crashEverywhere(t, purges()), [])
})

t.test('after a crash at any moment an object is as it was acknowledged, whole, or not there', async (t) => {
  t.same(await crashEverywhere(t, objects()), [])
})

t.test('after a crash at any moment a story is whole or not there, and what was acknowledged holds', async (t) => {
  t.same(await crashEverywhere(t, await stories()), [])
})

for (const plant of ['no fdatasync', 'no fsync of folders', 'no rename', 'sidecar after object'] as const) {
  t.test(`a store with ${plant} is found out`, async (t) => {
    const violations = await crashEverywhere(t, objects(), plant)
    t.not(violations.length, 0)
    t.comment(violations[0])
  })
}

for (const plant of ['no fdatasync', 'no fsync of folders'] as const) {
  t.test(`a story in a store with ${plant} is found out`, async (t) => {
    const violations = await crashEverywhere(t, await stories(), plant)
    t.not(violations.length, 0)
    t.comment(violations[0])
  })
}
