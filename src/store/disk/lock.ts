import { type FileHandle, open } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { errorCode, isMissing } from './store-error.ts'

/** Most bytes of the lock file that are read. */
const MAX_BYTES = 4096

/** What a server writes into the lock file, so that a second server can name it. */
interface Holder {
  readonly pid: number
  readonly host: string
  /** RFC 3339. */
  readonly since: string
  readonly url?: string
}

/** Another server has the lock. */
export class FolderInUse extends Error {
  constructor(root: string, holder: Partial<Holder>) {
    const { pid, host, url, since } = holder
    const details = [
      ...(pid === undefined ? [] : [`process ${pid}${host === undefined ? '' : ` on ${host}`}`]),
      ...(url === undefined ? [] : [`at ${url}`]),
      ...(since === undefined ? [] : [`since ${since}`]),
    ]
    super(
      `another server uses DATA_DIR, ${root}${details.length > 0 ? ` (${details.join(', ')})` : ''}; stop that one first, or keep the images in a bucket, which several servers can use`,
    )
  }
}

export interface FolderLock {
  /** Why there is no lock, for instance on a file system without locks. */
  readonly problem?: unknown
  /** Writes down where the server listens. */
  note(url: string): Promise<void>
  release(): Promise<void>
}

/**
 * Takes the lock of the one server that may use the folder of a disk store: a lock of the kernel on the file `.lock` (F_OFD_SETLK of
 * fcntl(2); flock(2) on macOS). It ends with the process, even in a crash, and works between containers and, on NFS, between machines.
 *
 * @throws {FolderInUse} when another server has it
 */
export async function lockFolder(root: string): Promise<FolderLock> {
  let file: FileHandle | undefined
  try {
    // It is not truncated, since it says who has the lock
    file = await openOrMake(join(root, '.lock'))
    const { tryLock } = await import('fs-native-extensions')
    if (!tryLock(file.fd)) throw new FolderInUse(root, await readHolder(file))
    return held(file)
  } catch (problem) {
    await file?.close()
    if (problem instanceof FolderInUse || ['EACCES', 'EISDIR', 'ELOOP'].includes(errorCode(problem) ?? ''))
      throw problem
    return { problem, note: async () => {}, release: async () => {} }
  }
}

async function openOrMake(path: string): Promise<FileHandle> {
  for (;;) {
    try {
      return await open(path, 'r+')
    } catch (error) {
      if (!isMissing(error)) throw error
    }
    try {
      return await open(path, 'wx+', 0o640)
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error
    }
  }
}

async function held(file: FileHandle): Promise<FolderLock> {
  const holder: Holder = { pid: process.pid, host: hostname(), since: new Date().toISOString() }
  await writeHolder(file, holder)
  return {
    note: (url) => writeHolder(file, { ...holder, url }),
    // Closing it ends the lock
    release: () => file.close(),
  }
}

/** Writes in place, so that a full disk has space for it. If it has none, the file is empty rather than out of date. */
async function writeHolder(file: FileHandle, holder: Holder): Promise<void> {
  const bytes = Buffer.from(`${JSON.stringify(holder)}\n`)
  try {
    const { bytesWritten } = await file.write(bytes, 0, bytes.length, 0)
    await file.truncate(bytesWritten === bytes.length ? bytesWritten : 0)
  } catch {
    await file.truncate(0).catch(() => {})
  }
}

async function readHolder(file: FileHandle): Promise<Partial<Holder>> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_BYTES), 0, MAX_BYTES, 0)
  try {
    return JSON.parse(buffer.toString('utf8', 0, bytesRead))
  } catch {
    // Being written at this moment
    return {}
  }
}
