import { basename, dirname, join } from 'node:path'
import { InvalidKey } from '../../errors.ts'

/** NAME_MAX of Linux and macOS, in bytes; the sidecar's name is six longer than the object's. */
const NAME_BYTES = 255 - 6

/**
 * Returns the file of a key. No key leaves `root`, and none has a hidden name, since those are the store's own.
 *
 * @throws {InvalidKey} for a key with a segment such as "", "." or "..", which a file system reads otherwise
 */
export function filePath(root: string, key: string): string {
  if (!key.split('/').every(isSegment)) throw new InvalidKey()
  return join(root, key)
}

/** Returns whether keys can be in a folder, which is "" for the root and otherwise ends with "/". */
export function isFolderOfKeys(folder: string): boolean {
  return folder.split('/').slice(0, -1).every(isSegment)
}

/** Returns whether a name can be between two "/" of a key. */
export function isSegment(name: string): boolean {
  return name !== '' && !name.startsWith('.') && !/[\0\\]/.test(name) && Buffer.byteLength(name) <= NAME_BYTES
}

/** Returns the hidden file beside an object that has its content type and metadata. */
export function sidecarPath(path: string): string {
  return join(dirname(path), `.${basename(path)}.json`)
}
