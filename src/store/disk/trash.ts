import { link, lstat, opendir, readdir, rename } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { compareKeys, type DeletedObject, type DeletedObjects, type ExpireOptions, type Keep } from '../object-store.ts'
import { createFolder, exists, removeFolderIfEmpty, syncFolder, unlinkIfThere } from './folder.ts'
import { filePath, isFolderOfKeys, isSegment, sidecarPath } from './path.ts'
import { errorCode, isFull, isMissing, isUnreadable, isWithoutLinks, storeError, unlessMissing } from './store-error.ts'
import { isBelow } from './walk.ts'

export const TRASH = '.trash'

const HOUR = /^\d{4}-\d\d-\d\dT\d\d$/
const NAME = /^(\d{1,15})\.(.+)$/

/**
 * Returns whether an error of moving an object into the trash means that the object is deleted for good: it can't be moved there without
 * a copy (EXDEV, EMLINK), its name is too long with the time before it, or the disk is full.
 */
function isNotKept(error: unknown): boolean {
  return isFull(error) || ['EXDEV', 'EMLINK', 'ENAMETOOLONG'].includes(errorCode(error) ?? '')
}

/** A file of the trash. */
interface Deletion {
  /** When it was deleted, and when it was written last, in milliseconds since 1970. */
  readonly time: number
  readonly modified: number
  readonly handle: string
  /** In bytes. */
  readonly size: number
  readonly inode: number
}

/** Folders that were freed are remembered up to this number: more than the stories that are deleted at once. */
const MOST_FREED = 10_000

/** Between two calls another deletion, or whoever empties the trash, may remove the folder that both use. */
const ATTEMPTS = 20

/**
 * Keeps deleted objects as `.trash/<hour, UTC>/<folder of the key>/<milliseconds since 1970>.<name>`, with their sidecars beside them.
 *
 * The files of a deletion are linked into the trash, the trash is synced, and then they are unlinked where they were; restoring does the
 * same the other way round. So a crash at any moment leaves each object in at least one of the two places, and one that is still in its
 * own place counts as not deleted. Where there are no hard links, files are renamed instead.
 */
export class Trash implements DeletedObjects {
  readonly #root: string
  readonly #path: string
  readonly #retention: number
  #freeing: Promise<boolean> | undefined
  /** Folders of which objects are put here now. They are not removed for want of room: a part of a story is of no use. */
  readonly #taken = new Set<{ readonly folder: string }>()
  /** Folders that were removed for want of room, perhaps between two calls of one deletion. */
  readonly #freed = new Set<string>()

  /** @param retention milliseconds for which deleted objects are kept; 0 keeps nothing */
  constructor(root: string, retention: number) {
    this.#root = root
    this.#path = join(root, TRASH)
    this.#retention = retention
  }

  isKept = async (): Promise<boolean> => this.#retention > 0

  /**
   * Puts the objects of a folder into the trash too, as far as `keep` asks for it. The caller then removes them where they are, and not
   * if this rejects, whatever the error: they are still there.
   *
   * @param folder of all keys
   * @returns whether all of them that are there are in the trash now, beside what was put there before
   */
  async take(folder: string, keys: readonly string[], keep: Keep): Promise<boolean> {
    if (keep === 'none' || this.#retention === 0) return false
    if (keep === 'rest' && !(await this.#has(folder))) return false
    const now = Date.now()
    const target = join(this.#path, hourOf(now), folder)
    const taken = { folder }
    this.#taken.add(taken)
    const begun: string[] = []
    try {
      let isMoved = false
      for (const key of keys) {
        const path = filePath(this.#root, key)
        const place = join(target, `${now}.${basename(path)}`)
        begun.push(place)
        if (await this.withRoom(() => move(path, place))) isMoved = true
      }
      // Missing if the trash was emptied meanwhile
      if (isMoved) await syncFolder(resolve(target)).catch(unlessMissing)
      return !this.#freed.delete(folder)
    } catch (error) {
      if (!isNotKept(error)) throw error
      // A part of a story is of no use, takes room, and would be restored as if it were an imported story
      for (const place of begun) await this.#remove(place)
      await removeFolderIfEmpty(resolve(target))
      return false
    } finally {
      this.#taken.delete(taken)
    }
  }

  async *list({ prefix, signal }: Parameters<DeletedObjects['list']>[0]): AsyncGenerator<DeletedObject[]> {
    if (this.#retention === 0) return
    try {
      const hours = new Map<string, string[]>()
      for (const hour of await this.#hours()) {
        if (!(await isBelow(this.#path, `${hour}/${prefix}`))) continue
        for await (const folder of foldersBelow(join(this.#path, hour), prefix)) {
          signal?.throwIfAborted()
          if (isFolderOfKeys(folder)) hours.set(folder, [...(hours.get(folder) ?? []), hour])
        }
      }
      for (const folder of [...hours.keys()].sort(compareKeys)) {
        signal?.throwIfAborted()
        const found = await this.#deletedIn(folder, hours.get(folder) ?? [])
        if (found.length > 0) yield found
      }
    } catch (error) {
      throw storeError(error, signal)
    }
  }

  async restore(objects: readonly DeletedObject[]): Promise<void> {
    try {
      const folders = new Map<string, DeletedObject[]>()
      for (const object of objects) {
        const folder = folderOf(object.key)
        folders.set(folder, [...(folders.get(folder) ?? []), object])
      }
      for (const [folder, inside] of folders) {
        for (const { key, handles } of inside) {
          const [newest = ''] = handles
          await move(join(this.#path, newest), filePath(this.#root, key))
        }
        // Missing if the trash had nothing of it any more
        await syncFolder(resolve(this.#root, folder)).catch(unlessMissing)
        for (const { handles } of inside) for (const handle of handles) await this.#remove(join(this.#path, handle))
        for (const hour of new Set(
          inside.flatMap(({ handles }) => handles.map((handle) => handle.split('/')[0] ?? '')),
        ))
          await removeFolderIfEmpty(join(this.#path, hour, folder))
      }
    } catch (error) {
      throw storeError(error)
    }
  }

  async purge({ prefix }: Parameters<DeletedObjects['purge']>[0]): Promise<void> {
    try {
      for (const hour of await this.#hours()) {
        if (!(await isBelow(this.#path, `${hour}/${prefix}`))) continue
        for await (const _ of removeFiles(join(this.#path, hour, prefix), { isWanted: () => true })) {
        }
        await removeFolderIfEmpty(join(this.#path, hour))
        await syncNearest(join(this.#path, hour, prefix))
      }
    } catch (error) {
      throw storeError(error)
    }
  }

  async *expire({ now, dryRun, onUnreadable }: ExpireOptions): AsyncGenerator<string> {
    const before = now - this.#retention
    const nameOf = (path: string) => relative(this.#root, path)
    const options = {
      dryRun,
      isWanted: (name: string) => (timeIn(name.replace(/^\./, '')) ?? 0) < before,
      onUnreadable: (path: string, error: unknown) => onUnreadable(`${nameOf(path)}/`, storeError(error)),
    }
    try {
      for (const hour of await this.#hours()) {
        if (Date.parse(`${hour}:00:00Z`) >= before) return
        for await (const path of removeFiles(join(this.#path, hour), options)) yield nameOf(path)
      }
    } catch (error) {
      throw storeError(error)
    }
  }

  /** Runs work again for as long as it finds the disk full and there is something in the trash that can go. */
  async withRoom<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work()
      } catch (error) {
        if (!(await this.#freeAfter(error))) throw error
      }
    }
  }

  /** After an error that says that the disk is full, removes the oldest folder of the trash. Returns whether it has. */
  async #freeAfter(error: unknown): Promise<boolean> {
    if (!isFull(error)) return false
    this.#freeing ??= this.#free().finally(() => {
      this.#freeing = undefined
    })
    return this.#freeing
  }

  async #free(): Promise<boolean> {
    for (const hour of await this.#hours()) {
      for await (const folder of foldersBelow(join(this.#path, hour), '', leave)) {
        if ([...this.#taken].some((taken) => taken.folder === folder)) continue
        let isFreed = false
        const options = { isWanted: () => true, onUnreadable: leave }
        for await (const _ of removeFiles(join(this.#path, hour, folder), options)) isFreed = true
        if (!isFreed) continue
        this.#freed.add(folder)
        for (const oldest of this.#freed) {
          if (this.#freed.size <= MOST_FREED) break
          this.#freed.delete(oldest)
        }
        return true
      }
    }
    return false
  }

  /** Returns whether there is something of a folder. */
  async #has(folder: string): Promise<boolean> {
    for (const hour of await this.#hours()) if (await exists(join(this.#path, hour, folder))) return true
    return false
  }

  /** Returns the folders of the hours, the oldest first. Symbolic links lead to what is not ours. */
  async #hours(): Promise<string[]> {
    const hours: string[] = []
    for await (const entry of entriesOf(this.#path))
      if (HOUR.test(entry.name) && entry.isDirectory()) hours.push(entry.name)
    return hours.sort()
  }

  /** @param hours that have something of the folder */
  async #deletedIn(folder: string, hours: readonly string[]): Promise<DeletedObject[]> {
    const found = new Map<string, Deletion[]>()
    for (const hour of hours) {
      for (const file of await namesIn(join(this.#path, hour, folder))) {
        const name = NAME.exec(file)?.[2]
        const handle = `${hour}/${folder}${file}`
        if (name === undefined || !isSegment(name)) continue
        const stat = await lstat(join(this.#path, handle)).catch(unlessMissing)
        if (!stat?.isFile()) continue
        const deletion = { time: timeIn(file) ?? 0, modified: stat.mtimeMs, handle, size: stat.size, inode: stat.ino }
        found.set(name, [...(found.get(name) ?? []), deletion])
      }
    }
    const objects: DeletedObject[] = []
    for (const name of [...found.keys()].sort(compareKeys)) {
      const key = folder + name
      if (await exists(filePath(this.#root, key))) continue
      const [newest, ...others] = (found.get(name) ?? []).sort((a, b) => b.time - a.time)
      if (!newest) continue
      // A deletion that was interrupted and repeated has put the same file there twice
      const same = others.filter(({ inode }) => inode === newest.inode)
      const earlier = others.find(({ inode }) => inode !== newest.inode)
      objects.push({
        key,
        size: newest.size,
        deletedAt: new Date(newest.time),
        reusedAt: earlier && new Date(reusedAt(earlier, newest)),
        until: new Date(newest.time + this.#retention),
        handles: [newest, ...same].map(({ handle }) => handle),
      })
    }
    return objects
  }

  async #remove(path: string): Promise<void> {
    await unlinkIfThere(path)
    await unlinkIfThere(sidecarPath(path))
  }
}

/**
 * Links a file and its sidecar to a second path, or renames them where there are no hard links. The sidecar goes first, so that the object
 * is never seen without it. Does nothing if the file has the second path already.
 *
 * @returns whether the file was there
 */
async function move(from: string, to: string): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    try {
      if (!(await lstat(from)).isFile()) return false
      if (attempt > 1) await createFolder(dirname(to))
      if (await exists(sidecarPath(from))) await linkOrRename(sidecarPath(from), sidecarPath(to))
      await linkOrRename(from, to)
      return true
    } catch (error) {
      if (!isMissing(error) || attempt === ATTEMPTS) throw error
      if (!(await exists(from))) return false
    }
  }
}

async function linkOrRename(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return
    if (!isWithoutLinks(error)) throw error
    await rename(from, to)
  }
}

type OnUnreadable = (path: string, error: unknown) => void

/** Leaves alone a folder that can't be read or changed. */
const leave: OnUnreadable = () => {}

interface RemoveOptions {
  readonly isWanted: (name: string) => boolean
  readonly dryRun?: boolean
  /** Is told of a folder that can't be read or changed. Without it, such a folder is an error. */
  readonly onUnreadable?: OnUnreadable
}

/** Removes the files of a folder and those below it, and the folders that are empty then. Yields each path. */
async function* removeFiles(folder: string, options: RemoveOptions): AsyncGenerator<string> {
  const { isWanted, dryRun = false, onUnreadable } = options
  try {
    for await (const entry of entriesOf(folder)) {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) yield* removeFiles(path, options)
      else if (isWanted(entry.name)) {
        if (!dryRun) await unlinkIfThere(path)
        yield path
      }
    }
    if (!dryRun) await removeFolderIfEmpty(folder)
  } catch (error) {
    if (!onUnreadable || !isUnreadable(error)) throw error
    onUnreadable(folder, error)
  }
}

/** Makes it durable that a folder is gone: syncs it, or the nearest one above it that is there. */
async function syncNearest(folder: string): Promise<void> {
  await syncFolder(resolve(folder)).catch((error) => {
    if (!isMissing(error)) throw error
    return syncNearest(dirname(folder))
  })
}

/** Yields the folders below a prefix that have files in them, each without `base` and with "/" at its end. */
async function* foldersBelow(base: string, prefix: string, onUnreadable?: OnUnreadable): AsyncGenerator<string> {
  let hasFiles = false
  try {
    for await (const entry of entriesOf(join(base, prefix))) {
      if (entry.isDirectory()) yield* foldersBelow(base, `${prefix}${entry.name}/`, onUnreadable)
      else hasFiles = true
    }
  } catch (error) {
    if (!onUnreadable || !isUnreadable(error)) throw error
    onUnreadable(join(base, prefix), error)
  }
  if (hasFiles) yield prefix
}

async function* entriesOf(folder: string) {
  try {
    yield* await opendir(folder)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}

async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(unlessMissing)) ?? []
}

/**
 * Returns when a key was reused: the time of the newer file if that is between the two deletions, and otherwise right after the earlier
 * deletion. An imported file can have any time.
 */
function reusedAt(earlier: Deletion, { time, modified }: Deletion): number {
  return modified > earlier.time && modified <= time ? modified : earlier.time + 1
}

function hourOf(time: number): string {
  return new Date(time).toISOString().slice(0, 13)
}

function timeIn(name: string): number | undefined {
  const time = NAME.exec(name)?.[1]
  return time === undefined ? undefined : Number(time)
}

function folderOf(key: string): string {
  return key.slice(0, key.lastIndexOf('/') + 1)
}
