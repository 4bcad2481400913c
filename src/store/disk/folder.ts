import { lstat, mkdir, open, rmdir, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { sharedRuns } from '../../io/shared-runs.ts'
import { errorCode, unlessMissing } from './store-error.ts'

/** Folders that are being created. A second call waits until the first has made them durable. */
const underWay = new Map<string, Promise<void>>()

/** Others on the machine have no access, as to the files. */
const MODE = 0o750

/** Creates a folder and those above it. Each is durable once this resolves. */
export function createFolder(path: string): Promise<void> {
  let work = underWay.get(path)
  if (!work) {
    work = create(path).finally(() => underWay.delete(path))
    underWay.set(path, work)
  }
  return work
}

async function create(path: string): Promise<void> {
  try {
    await mkdir(path, MODE).catch(async (error) => {
      if (errorCode(error) !== 'ENOENT') throw error
      await createFolder(dirname(path))
      // Only once more: below some folders, such as /proc, nothing can be created
      await mkdir(path, MODE)
    })
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return
    throw error
  }
  await syncFolder(dirname(path))
}

/** By path, while a folder is synced. */
const syncs = new Map<string, () => Promise<void>>()

/**
 * Makes the names in a folder durable, and the folder itself if it is being created: fsync(2) of a file does not promise that its name
 * survives a crash. Calls that come while a sync runs share the next one, since the running one may have missed their names.
 */
export async function syncFolder(path: string): Promise<void> {
  await underWay.get(path)
  const run =
    syncs.get(path) ??
    sharedRuns(
      () => sync(path),
      () => syncs.delete(path),
    )
  syncs.set(path, run)
  return run()
}

async function sync(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Removes a folder if it is empty. Returns whether it was there, and empty. */
export async function removeFolderIfEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path)
    return true
  } catch (error) {
    if (['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(errorCode(error) ?? '')) return false
    throw error
  }
}

export async function unlinkIfThere(path: string): Promise<void> {
  await unlink(path).catch(unlessMissing)
}

/** Returns whether anything has this name, be it a symbolic link that leads nowhere. */
export async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(unlessMissing)) !== undefined
}

/**
 * Returns when a file or folder last changed, in milliseconds since 1970: the later of the times of its content and of its inode. Tools
 * that copy and restore set the first one back. Nothing can do that to the second (stat(2)).
 */
export function changeTime({ mtimeMs, ctimeMs }: { readonly mtimeMs: number; readonly ctimeMs: number }): number {
  return Math.max(mtimeMs, ctimeMs)
}
