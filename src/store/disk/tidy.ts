import { lstat, opendir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { compareKeys, type TidyOptions } from '../object-store.ts'
import { changeTime, removeFolderIfEmpty, unlinkIfThere } from './folder.ts'
import { isMissing, isUnreadable } from './store-error.ts'

/**
 * Removes what a process that died has left beside objects: temporary files, hidden files of no object, and folders with nothing
 * else in them. Only what nobody has changed since `olderThan`, which is before any put that may still run began: its folder,
 * hidden file and temporary files are younger.
 */
export async function* tidyDisk(root: string, options: TidyOptions): AsyncGenerator<string> {
  yield* tidyFiles(root, '.tmp/', options, () => true)
  for await (const name of eachName(join(root, options.prefix))) {
    const folder = `${options.prefix}${name}/`
    if (name.startsWith('.') || !options.ranges.some((range) => isIn(range, folder))) continue
    if (options.within && !options.within(folder)) continue
    // Looked at first: what is removed in it changes its time
    const isOld = await isOlder(join(root, folder), options.olderThan, 'folder')
    const names = await namesIn(join(root, folder)).catch(passOver)
    if (!names) continue
    let left = names.length
    for await (const path of tidyFiles(root, folder, options, isOrphan)) {
      left -= 1
      yield path
    }
    if (left > 0 || !isOld) continue
    if (options.dryRun || (await removeFolderIfEmpty(join(root, folder)))) yield folder
  }
}

/** A folder that can't be read is for the lists, which tell of it. */
function passOver(error: unknown): undefined {
  if (!isUnreadable(error)) throw error
}

function isIn({ after, before }: TidyOptions['ranges'][number], key: string): boolean {
  return (after === undefined || compareKeys(key, after) > 0) && (before === undefined || compareKeys(key, before) < 0)
}

async function* tidyFiles(
  root: string,
  folder: string,
  { olderThan, dryRun }: TidyOptions,
  isWanted: (path: string, names: ReadonlySet<string>, name: string) => boolean | Promise<boolean>,
): AsyncGenerator<string> {
  const names = new Set(await namesIn(join(root, folder)))
  for (const name of names) {
    const path = join(root, folder, name)
    if (!(await isWanted(path, names, name)) || !(await isOlder(path, olderThan, 'file'))) continue
    if (!dryRun) await unlinkIfThere(path)
    yield folder + name
  }
}

/** Whether a file is one that the disk store puts beside an object, and the object is not there. */
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

/** The same for a folder of very many. */
async function* eachName(folder: string): AsyncGenerator<string> {
  try {
    for await (const { name } of await opendir(folder)) yield name
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}
