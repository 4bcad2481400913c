import { lstat, opendir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { compareKeys, type RemoveDebrisOptions } from '../object-store.ts'
import { changeTime, removeFolderIfEmpty, unlinkIfThere } from './folder.ts'
import { isMissing, isUnreadable } from './store-error.ts'

/**
 * Removes what a process that died has left beside objects: temporary files, sidecars without an object, and folders that hold nothing
 * else. Spares what has changed since `olderThan`. That time is before the start of any put that may still run, so the files and the
 * folder of such a put are younger.
 */
export async function* removeDebris(root: string, options: RemoveDebrisOptions): AsyncGenerator<string> {
  yield* removeFiles(root, '.tmp/', options, () => true)
  for await (const name of eachName(join(root, options.prefix))) {
    const folder = `${options.prefix}${name}/`
    if (name.startsWith('.') || !options.ranges.some((range) => isIn(range, folder))) continue
    if (options.within && !options.within(folder)) continue
    // Before its files are removed, which changes its time
    const isOld = await isOlder(join(root, folder), options.olderThan, 'folder')
    const names = await namesIn(join(root, folder)).catch(skipUnreadable)
    if (!names) continue
    let left = names.length
    for await (const path of removeFiles(root, folder, options, isOrphan)) {
      left -= 1
      yield path
    }
    if (left > 0 || !isOld) continue
    if (options.dryRun || (await removeFolderIfEmpty(join(root, folder)))) yield folder
  }
}

/** Lists report a folder that can't be read. */
function skipUnreadable(error: unknown): undefined {
  if (!isUnreadable(error)) throw error
}

function isIn({ after, before }: RemoveDebrisOptions['ranges'][number], key: string): boolean {
  return (after === undefined || compareKeys(key, after) > 0) && (before === undefined || compareKeys(key, before) < 0)
}

async function* removeFiles(
  root: string,
  folder: string,
  { olderThan, dryRun }: RemoveDebrisOptions,
  isDebris: (path: string, names: ReadonlySet<string>, name: string) => boolean | Promise<boolean>,
): AsyncGenerator<string> {
  const names = new Set(await namesIn(join(root, folder)))
  for (const name of names) {
    const path = join(root, folder, name)
    if (!(await isDebris(path, names, name)) || !(await isOlder(path, olderThan, 'file'))) continue
    if (!dryRun) await unlinkIfThere(path)
    yield folder + name
  }
}

/** Returns whether a file is a sidecar whose object is not there. */
async function isOrphan(path: string, names: ReadonlySet<string>, name: string): Promise<boolean> {
  const object = /^\.(.+)\.json$/.exec(name)?.[1]
  if (object === undefined || names.has(object)) return false
  try {
    const { id, contentType, metadata } = JSON.parse(await readFile(path, 'utf8'))
    return [id, contentType].every((text) => typeof text === 'string') && typeof metadata === 'object'
  } catch {
    return false
  }
}

async function isOlder(path: string, time: number, kind: 'file' | 'folder'): Promise<boolean> {
  try {
    const stat = await lstat(path)
    return changeTime(stat) < time && (kind === 'file' ? stat.isFile() : stat.isDirectory())
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

/** Yields the names in a folder that may have very many. */
async function* eachName(folder: string): AsyncGenerator<string> {
  try {
    for await (const { name } of await opendir(folder)) yield name
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}
