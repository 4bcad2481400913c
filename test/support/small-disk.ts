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

/** Takes all room that is free on the disk of a folder. */
export async function fillDisk(folder: string): Promise<void> {
  const bytes = Buffer.alloc(2 ** 20)
  try {
    for (;;) await appendFile(join(folder, BALLAST), bytes)
  } catch (error) {
    // What there was room for was written
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  }
}

/** Gives back what `fillDisk` took. */
export async function freeDisk(folder: string): Promise<void> {
  await rm(join(folder, BALLAST), { force: true })
}
