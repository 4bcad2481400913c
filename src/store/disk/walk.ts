import { access, lstat, opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { compareKeys, type ListedObject, type ListOptions } from '../object-store.ts'
import { isFolderOfKeys } from './path.ts'
import { isMissing, isUnreadable, storeError } from './store-error.ts'

/** Objects in one page of a list, as with S3. */
const PAGE = 1000

/** Most names of a folder that are held. A folder with more is read several times. */
const NAMES = 50_000

/** Files looked at at the same time. */
const STATS = 32

/** Lists the files below a folder as S3 lists keys: in the order of their UTF-8 bytes, in pages. */
export async function* listFolder(root: string, options: ListOptions): AsyncGenerator<ListedObject[]> {
  let keys: string[] = []
  const start = await findStart(root, options.prefix)
  if (start === undefined) return
  for await (const key of walk(root, start, options)) {
    keys.push(key)
    if (keys.length === PAGE) {
      options.signal?.throwIfAborted()
      const full = await described(root, keys, start, options)
      if (full.length > 0) yield full
      keys = []
    }
  }
  const rest = await described(root, keys, start, options)
  if (rest.length > 0) yield rest
}

/** Lists the folders right below a prefix that have a file in them, as S3 lists common prefixes with the delimiter "/". */
export async function* listFolders(root: string, options: ListOptions): AsyncGenerator<string[]> {
  const { prefix, after, signal } = options
  let found: string[] = []
  const start = await findStart(root, prefix)
  if (start === undefined) return
  for await (const name of sortedNames(root, start, options)) {
    const key = start + name
    if (!name.endsWith('/') || (after !== undefined && compareKeys(key, after) <= 0)) continue
    const { onUnreadable } = options
    const below = { prefix: key, ...(signal && { signal }), ...(onUnreadable && { onUnreadable }) }
    const keys = walk(root, key, below, false)
    const { done } = await keys.next()
    await keys.return(undefined)
    if (done) continue
    found.push(key)
    if (found.length === PAGE) {
      yield found
      found = []
    }
  }
  if (found.length > 0) yield found
}

/** Returns the folder of all keys with a prefix, which is "" or ends with "/"; undefined if there is no such folder. */
async function findStart(root: string, prefix: string): Promise<string | undefined> {
  const start = prefix.slice(0, prefix.lastIndexOf('/') + 1)
  if (!isFolderOfKeys(start)) return undefined
  // A volume that is not mounted must not look like an empty store
  await access(root)
  return (await isBelow(root, start)) ? start : undefined
}

/** Returns whether a folder is there, without a symbolic link in its path. */
export async function isBelow(root: string, folder: string): Promise<boolean> {
  try {
    let path = root
    for (const name of folder.split('/').slice(0, -1)) {
      path = join(path, name)
      if (!(await lstat(path)).isDirectory()) return false
    }
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

/**
 * Returns the objects of keys, with size and time. Leaves out files that were removed since their names were read.
 *
 * @param start the folder in which the list begins
 */
async function described(
  root: string,
  keys: readonly string[],
  start: string,
  { onUnreadable }: ListOptions,
): Promise<ListedObject[]> {
  const found: ListedObject[] = []
  for (let at = 0; at < keys.length; at += STATS) {
    const stats = await Promise.all(
      keys.slice(at, at + STATS).map(async (key) => {
        try {
          // Whole milliseconds, as in `head`: as a floating-point number the same time can be one more
          const { size, mtimeMs } = await lstat(join(root, key), { bigint: true })
          return { key, size: Number(size), modified: timeOf(Number(mtimeMs)).toISOString() }
        } catch (error) {
          if (isMissing(error)) return undefined
          const folder = key.slice(0, key.lastIndexOf('/') + 1)
          const isStart = folder.length <= start.length
          if (!isStart && isUnreadable(error) && onUnreadable?.(folder, storeError(error))) return undefined
          throw error
        }
      }),
    )
    found.push(...stats.filter((object) => object !== undefined))
  }
  return found
}

/** The years that RFC 3339 and HTTP can write, 0 to 9999, in milliseconds since 1970. */
const FIRST_MS = -62_167_219_200_000
const LAST_MS = 253_402_300_799_999

/** Returns when a file was last changed. Some file systems have times that are not dates: then it is the nearest date. */
export function timeOf(mtimeMs: number): Date {
  return new Date(Math.min(Math.max(mtimeMs, FIRST_MS), LAST_MS))
}

/**
 * Yields the keys below `base` in order.
 *
 * @param base is "" or ends with "/"
 * @param isStart whether the list begins in `base`: if that can't be read, the list fails
 */
async function* walk(root: string, base: string, options: ListOptions, isStart = true): AsyncGenerator<string> {
  for await (const name of sortedNames(root, base, options, isStart)) {
    const key = base + name
    if (name.endsWith('/')) yield* walk(root, key, options, false)
    else yield key
  }
}

/** Yields the names in a folder that can lead to a wanted key, in order. Those of folders end with "/". */
async function* sortedNames(root: string, base: string, options: ListOptions, isStart = true): AsyncGenerator<string> {
  let last: string | undefined
  for (;;) {
    let names: string[] = []
    let cut = false
    try {
      for await (const name of namesOf(join(root, base))) {
        options.signal?.throwIfAborted()
        if (!isWanted(base + name, options) || (last !== undefined && compareKeys(name, last) <= 0)) continue
        names.push(name)
        if (names.length === 2 * NAMES) {
          names = names.sort(compareKeys).slice(0, NAMES)
          cut = true
        }
      }
    } catch (error) {
      if (!isStart && isUnreadable(error) && options.onUnreadable?.(base, storeError(error))) return
      throw error
    }
    names.sort(compareKeys)
    if (!cut) {
      yield* names
      return
    }
    // Only the first NAMES have no gap
    names.length = NAMES
    yield* names
    last = names.at(-1)
  }
}

async function* namesOf(path: string): AsyncGenerator<string> {
  try {
    for await (const entry of await opendir(path)) {
      if (entry.name.startsWith('.')) continue
      if (entry.isFile()) yield entry.name
      else if (entry.isDirectory()) yield `${entry.name}/`
    }
  } catch (error) {
    // Never created, or deleted meanwhile
    if (!isMissing(error)) throw error
  }
}

function isWanted(key: string, { prefix, after, before, within }: ListOptions): boolean {
  const isFolder = key.endsWith('/')
  if (
    isFolder &&
    within &&
    key.startsWith(prefix) &&
    key.indexOf('/', prefix.length) === key.length - 1 &&
    !within(key)
  )
    return false
  if (!key.startsWith(prefix) && !(isFolder && prefix.startsWith(key))) return false
  if (before !== undefined && compareKeys(key, before) >= 0) return false
  return after === undefined || compareKeys(key, after) > 0 || (isFolder && after.startsWith(key))
}
