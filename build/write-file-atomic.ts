import { mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Whoever reads the file meanwhile sees all of the old one, or of the new one; so do two builds that run at once. */
export async function writeFileAtomic(path: string, contents: Uint8Array | string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const unfinished = `${path}.${process.pid}.new`
  await writeFile(unfinished, contents)
  await rename(unfinished, path)
}

/** Whether this is the name of a file that another build is writing. */
export function isUnfinished(name: string): boolean {
  return name.endsWith('.new')
}
