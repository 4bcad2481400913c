import { execFileSync } from 'node:child_process'
import { appendFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { makeFolder } from './stores.ts'

/** Why a test that needs a mount can't run here; false when it can. */
export function whyNoMount(): string | false {
  return process.platform !== 'linux' || process.getuid?.() !== 0 ? 'mounting needs root on Linux' : false
}

/**
 * A small file system of its own, unmounted with the test.
 *
 * @param options of tmpfs(5) after "size="
 */
export async function mountOf(t: Test, options: string): Promise<string> {
  const folder = await makeFolder(t)
  mount(t, ['-t', 'tmpfs', '-o', `size=${options}`, 'tmpfs', folder])
  return folder
}

/** Mounts with these arguments of mount(8), the last of which is the folder. */
export function mount(t: Test, args: readonly string[]): void {
  execFileSync('mount', [...args])
  t.teardown(() => execFileSync('umount', [args.at(-1) as string]))
}

const BALLAST = 'ballast'

/** Takes the last byte that is free on the disk of a folder. */
export async function fillDisk(folder: string): Promise<void> {
  for (let bytes = 2 ** 20; bytes >= 1; ) {
    try {
      await appendFile(join(folder, BALLAST), Buffer.alloc(bytes))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      bytes >>= 1
    }
  }
}

/** Gives back what `fillDisk` took. */
export async function freeDisk(folder: string): Promise<void> {
  await rm(join(folder, BALLAST), { force: true })
}
