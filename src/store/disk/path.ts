import { basename, dirname, join } from 'node:path'
import { InvalidKey } from '../../errors.ts'

/** NAME_MAX of Linux and macOS, in bytes; the sidecar's name is six longer than the object's. */
const NAME_BYTES = 255 - 6

/**
 * The file of a key. Segments that a file system reads otherwise ("", ".", "..", hidden names, which are this store's own) are no
 * keys of this store, so no key leaves `root`. Throws `InvalidKey`.
 */
export function filePath(root: string, key: string): string {
  if (!key.split('/').every(isSegment)) throw new InvalidKey()
  return join(root, key)
}

/** Whether keys can lie in a folder, which is "" for the root and else ends with "/". */
export function isFolderOfKeys(folder: string): boolean {
  return folder.split('/').slice(0, -1).every(isSegment)
}

function isSegment(name: string): boolean {
  return name !== '' && !name.startsWith('.') && !/[\0\\]/.test(name) && Buffer.byteLength(name) <= NAME_BYTES
}

/** The hidden file beside an object that holds its content type and metadata. */
export function sidecarPath(path: string): string {
  return join(dirname(path), `.${basename(path)}.json`)
}
