import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { access, type FileHandle, link, lstat, open, opendir, readFile, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { DeleteFailure, ObjectExists, ObjectNotFound, RangeNotSatisfiable } from '../../errors.ts'
import { callbacksOf } from '../../io/aborted.ts'
import { bufferPool } from '../../io/buffer-pool.ts'
import { forEachConcurrent } from '../../io/for-each-concurrent.ts'
import { hash, StreamingHash } from '../../io/hash.ts'
import { oneAtATime } from '../../io/one-at-a-time.ts'
import type { Body, ByteRange, FoundObject, ListOptions, ObjectHead, ObjectStore, PutResult } from '../object-store.ts'
import { watch } from '../watched-body.ts'
import { changeTime, createFolder, exists, removeFolderIfEmpty, syncFolder, unlinkIfThere } from './folder.ts'
import { filePath, sidecarPath } from './path.ts'
import { removeDebris } from './remove-debris.ts'
import { errorCode, isMissing, isWithoutLinks, storeError, unlessMissing } from './store-error.ts'
import { TRASH, Trash } from './trash.ts'
import { listFolder, listFolders, timeOf } from './walk.ts'

/** How much is collected for one write, since a call of the thread pool costs more than a copy. */
const WRITE_BYTES = 512 * 1024
const WRITE_CHUNKS = 32

/** Other images of an upload may hold 5 MiB until they are written, and with `readAhead` as much again. */
const PUT_MEMORY = { minBytes: 5 * 1024 * 1024, maxBytes: 10 * 1024 * 1024 }

/** Folders that one deletion works in at the same time. */
const FOLDERS_AT_ONCE = 8

interface Sidecar {
  /** Tells puts apart that are within one tick of the file system's clock. */
  readonly id: string
  readonly contentType: string
  readonly metadata: Readonly<Record<string, string>>
}

/**
 * Keeps each object as a plain file below `root`, so that people can look at their images, and beside it a sidecar: a hidden file with its
 * content type and metadata.
 *
 * A put writes to a temporary file, syncs it, renames it into place and syncs the folder. A crash at any moment leaves the whole object
 * or none of it, on a file system that keeps the order of changes in one folder. Only an overwrite, which the server never does, may leave
 * the old bytes with the new metadata. One server at a time may use `root` (lock.ts), beside any number of commands.
 *
 * @param root is created if it is missing
 * @param folders below it, each with "/" at its end. The store is not ready while one of them is there and not readable and writable
 * @param retention milliseconds for which deleted objects are kept; with 0 they are deleted for good
 */
export async function openDiskStore(
  root: string,
  folders: readonly string[] = [],
  retention = 0,
): Promise<ObjectStore> {
  const temporary = join(root, '.tmp')
  const trash = new Trash(root, retention)
  await createFolder(temporary)
  // Fails if it is not a folder
  await (await opendir(temporary)).close()

  return {
    putMemory: PUT_MEMORY,

    async put(key, body, options) {
      const path = filePath(root, key)
      const watched = watch(body)
      const parts = [join(temporary, randomUUID()), join(temporary, randomUUID())] as const
      const { contentType, metadata } = options
      const sidecar = JSON.stringify({ id: basename(parts[1]), contentType, metadata } satisfies Sidecar)
      // At the same time, so that the file system can commit both at once
      const written = [
        writeDurably(parts[0], watched, trash),
        writeDurably(parts[1], [Buffer.from(sidecar)], trash),
      ] as const
      try {
        const [result] = await Promise.all(written)
        await moving(path, () => moveInto(path, parts, options.ifNoneMatch === '*', trash))
        return result
      } catch (error) {
        await Promise.allSettled(written)
        await Promise.allSettled(parts.map(unlink))
        throw watched.failure ? watched.failure.error : storeError(error)
      }
    },

    async get(key, { range: wanted, signal } = {}) {
      signal?.throwIfAborted()
      const path = filePath(root, key)
      const file = await openFile(path, key)
      try {
        const head = await describe(file, path, key)
        signal?.throwIfAborted()
        const range = wanted && resolveRange(wanted, head.size)
        if (head.size === 0) await file.close()
        const whole = { start: 0, end: head.size - 1 }
        if (head.size === 0) return { ...head, range, body: Readable.from([]) } satisfies FoundObject
        const body = readBody(file, { ...whole, ...range }, signal)
        const shared = !range && { file: { descriptor: file.fd, wasRead: false } }
        return { ...head, range, body, ...shared } satisfies FoundObject
      } catch (error) {
        await file.close()
        throw storeError(error, signal)
      }
    },

    async head(key, { signal } = {}) {
      signal?.throwIfAborted()
      const path = filePath(root, key)
      const file = await openFile(path, key)
      try {
        return await describe(file, path, key)
      } catch (error) {
        throw storeError(error)
      } finally {
        await file.close()
      }
    },

    async *list(options: ListOptions) {
      try {
        yield* listFolder(root, options)
      } catch (error) {
        throw storeError(error, options.signal)
      }
    },

    async *listPrefixes(options: ListOptions) {
      try {
        yield* listFolders(root, options)
      } catch (error) {
        throw storeError(error, options.signal)
      }
    },

    async delete(keys, keep = 'none') {
      const failed: string[] = []
      let cause: unknown
      let isKept = true
      const folders = new Map<string, string[]>()
      for (const key of keys) {
        const folder = dirname(filePath(root, key))
        const inside = folders.get(folder)
        if (inside) inside.push(key)
        else folders.set(folder, [key])
      }
      await forEachConcurrent(folders, FOLDERS_AT_ONCE, async ([folder, inside]) => {
        try {
          if (!(await trash.take(`${relative(root, folder)}/`, inside, keep))) isKept = false
          await remove(root, folder, inside)
        } catch (error) {
          failed.push(...inside)
          cause = error
        }
      })
      if (failed.length > 0) throw new DeleteFailure(failed, { cause })
      return isKept
    },

    deleted: trash,

    removeDebris: (options) => removeDebris(root, options),

    async ready() {
      try {
        await useFolder(root)
        for (const folder of ['.tmp', TRASH, ...folders]) {
          await useFolder(join(root, folder)).catch(async (error) => {
            if (!isMissing(error) || (await isInTheWay(join(root, folder)))) throw error
          })
        }
      } catch (error) {
        throw storeError(error)
      }
    },

    async close() {},
  }
}

/** Removes the objects of a folder, as far as they are there, and the folder if nothing else is in it. */
async function remove(root: string, folder: string, keys: readonly string[]): Promise<void> {
  for (const key of keys) {
    await unlinkIfThere(filePath(root, key))
    await unlinkIfThere(sidecarPath(filePath(root, key)))
  }
  try {
    await syncFolder(folder)
    if (folder !== root) await removeFolderIfEmpty(folder)
  } catch (error) {
    // Another deletion has removed the folder
    if (!isMissing(error)) throw error
  }
}

/** Rejects if a folder can't be read and written. */
async function useFolder(path: string): Promise<void> {
  await access(path, constants.W_OK | constants.X_OK)
  // On a damaged disk the permissions are fine, and the names can't be read
  await (await opendir(path)).close()
}

/** Returns whether a file, or a symbolic link that leads nowhere, has the name of a folder that is missing, so that nobody can make it. */
async function isInTheWay(path: string): Promise<boolean> {
  // Without a "/" at the end, which would follow a symbolic link
  const stat = await lstat(resolve(path)).catch(unlessMissing)
  return stat !== undefined && !stat.isDirectory()
}

async function writeDurably(path: string, data: Body | Iterable<Uint8Array>, trash: Trash): Promise<PutResult> {
  const file = await trash.withRoom(() => open(path, 'wx', 0o640))
  let stream: StreamingHash | undefined
  try {
    let size = 0
    let chunks: Uint8Array[] = []
    let held = 0
    const write = async () => {
      if (held > 0) await writeAll(file, chunks, held, trash)
      bufferPool.release(chunks)
      size += held
      chunks = []
      held = 0
    }
    for await (const chunk of data) {
      chunks.push(chunk)
      held += chunk.length
      if (held < WRITE_BYTES && chunks.length < WRITE_CHUNKS) continue
      stream ??= new StreamingHash()
      chunks = await stream.update(chunks)
      await write()
    }
    const hashed = await (stream ? stream.digest(chunks) : hash(chunks))
    chunks = hashed.chunks
    await write()
    // Syncs the bytes and the size, not the times (fdatasync(2))
    await file.datasync()
    return { size, sha256: hashed.digest }
  } catch (error) {
    await stream?.digest().catch(() => {})
    throw error
  } finally {
    await file.close()
  }
}

async function writeAll(file: FileHandle, chunks: readonly Uint8Array[], size: number, trash: Trash): Promise<void> {
  const { bytesWritten } = await trash.withRoom(() => file.writev(chunks))
  // A disk that is nearly full takes a part, and fails at the next write
  if (bytesWritten < size)
    await writeAll(file, [Buffer.concat(chunks).subarray(bytesWritten)], size - bytesWritten, trash)
}

/** By path. Two puts of one key must not end with the object of one and the sidecar of the other. */
const moving = oneAtATime()

/** Moves an object into place after its sidecar, so that it is visible with both or not at all. */
async function moveInto(
  path: string,
  [object, sidecar]: readonly [string, string],
  onlyNew: boolean,
  trash: Trash,
): Promise<void> {
  if (onlyNew && (await exists(path))) throw new ObjectExists()
  const folder = dirname(path)
  const moves: [move: (from: string, to: string) => Promise<void>, from: string, to: string][] = [
    [rename, sidecar, sidecarPath(path)],
    [onlyNew ? moveNew : rename, object, path],
  ]
  for (let attempt = 1; ; attempt++) {
    try {
      if (attempt > 1) await trash.withRoom(() => createFolder(folder))
      for (let next = moves[0]; next; next = moves[0]) {
        const [move, from, to] = next
        await trash.withRoom(() => move(from, to))
        moves.shift()
      }
      await syncFolder(folder).catch(async (error) => {
        // It is not durable, and would be taken for stored
        await unlinkIfThere(path)
        throw error
      })
      return
    } catch (error) {
      // The folder is new, or a delete has removed it between two of these calls
      if (attempt < 5 && isMissing(error)) continue
      // With ObjectExists another process has just put the object, and the sidecar is that one's now
      if (moves.length === 1 && !(error instanceof ObjectExists)) await unlinkIfThere(sidecarPath(path))
      throw error
    }
  }
}

/**
 * Moves a file to a name that nothing has, even if another process does the same at this moment: link(2) gives a name once. Without hard
 * links only the puts of this process see each other.
 *
 * The sidecar may be that of the other process. Both are equal, since idempotency records are the only objects that have to be new, and
 * have one type and the same metadata.
 *
 * @throws {ObjectExists}
 */
async function moveNew(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    if (errorCode(error) === 'EEXIST') throw new ObjectExists()
    if (!isWithoutLinks(error)) throw error
    return rename(from, to)
  }
  // A sweep removes what stays
  await unlink(from).catch(() => {})
}

async function openFile(path: string, key: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  } catch (error) {
    // ELOOP: a symbolic link
    if (isMissing(error) || errorCode(error) === 'ELOOP') throw new ObjectNotFound(key)
    throw storeError(error)
  }
}

async function describe(file: FileHandle, path: string, key: string): Promise<ObjectHead> {
  const stat = await file.stat({ bigint: true })
  if (!stat.isFile()) throw new ObjectNotFound(key)
  const sidecar = await readSidecar(path)
  return {
    size: Number(stat.size),
    // Time and size, as in nginx, change when a file is replaced by hand
    etag: `"${stat.mtimeNs.toString(16)}-${stat.size.toString(16)}-${sidecar?.id ?? ''}"`,
    lastModified: timeOf(Number(stat.mtimeMs)),
    changedAt: timeOf(changeTime({ mtimeMs: Number(stat.mtimeMs), ctimeMs: Number(stat.ctimeMs) })),
    contentType: sidecar?.contentType,
    metadata: sidecar?.metadata ?? {},
  }
}

/** Returns undefined if there is none, as for a file that was copied in by hand, or if it is damaged: the bytes may be good. */
async function readSidecar(path: string): Promise<Sidecar | undefined> {
  try {
    return parseSidecar(await readFile(sidecarPath(path), 'utf8'))
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

function parseSidecar(text: string): Sidecar | undefined {
  try {
    const sidecar: unknown = JSON.parse(text)
    return isSidecar(sidecar) ? sidecar : undefined
  } catch {
    return undefined
  }
}

function isSidecar(value: unknown): value is Sidecar {
  if (typeof value !== 'object' || value === null) return false
  const { id, contentType, metadata } = value as Record<string, unknown>
  // The id is a part of the ETag
  if (typeof id !== 'string' || !/^[\w-]{1,64}$/.test(id) || typeof contentType !== 'string') return false
  if (typeof metadata !== 'object' || metadata === null) return false
  return Object.values(metadata).every((text) => typeof text === 'string')
}

function resolveRange(range: ByteRange, size: number): { start: number; end: number } {
  const start = 'suffix' in range ? Math.max(0, size - range.suffix) : range.start
  const end = 'suffix' in range ? size - 1 : Math.min(range.end ?? size - 1, size - 1)
  if (start > end) throw new RangeNotSatisfiable()
  return { start, end }
}

/** Reads a file until a signal. The signal of `createReadStream` costs as much as reading a small file. */
function readBody(file: FileHandle, range: { start: number; end: number }, signal: AbortSignal | undefined): Readable {
  const body = file.createReadStream(range)
  body.on('error', () => {})
  if (!signal) return body
  const callbacks = callbacksOf(signal)
  const end = () => body.destroy(signal.reason)
  callbacks.add(end)
  body.on('close', () => callbacks.delete(end))
  return body
}
