import { mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Replaces a file in one step: readers see the old content or the new, also when two builds run at the same time. */
export async function writeFileAtomic(path: string, contents: Uint8Array | string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const unfinished = `${path}.${process.pid}.new`
  await writeFile(unfinished, contents)
  await rename(unfinished, path)
}

/** Returns whether a build is still writing the file of this name. */
export function isUnfinished(name: string): boolean {
  return name.endsWith('.new')
}
