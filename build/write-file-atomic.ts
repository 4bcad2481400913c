import { mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Whoever reads the file meanwhile sees all of the old one, or of the new one. */
export async function writeFileAtomic(path: string, contents: Uint8Array | string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(`${path}.new`, contents)
  await rename(`${path}.new`, path)
}
