import { readdirSync } from 'node:fs'
import { basename } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { PATIENCE } from './patience.ts'

/**
 * Runs the test files of a folder one after another in this process. What takes the most time of a small test is to load the server's
 * packages, and so they are loaded once. Each file also runs by itself.
 *
 * @param path of the folder, below test/
 * @param pattern of the names that are run
 */
export async function runFolder(path: string, pattern = /\.test\.ts$/): Promise<void> {
  const folder = new URL(`../${path}/`, import.meta.url)
  for (const name of readdirSync(folder).filter((name) => pattern.test(name) && !/\.long\./.test(name))) {
    t.jobs = 1
    const { total } = t.counts
    const loaded = import(new URL(name, folder).href)
    // Else tap would take the run for ended while the file is loaded
    await t.waitOn(loaded)
    // Queued after the tests of the file, so that the next one begins when they are over
    await t.test(`${basename(folder.pathname)}/${name} is loaded, and has tests`, async (t) => {
      await loaded
      const { counts } = t.parent as typeof t
      // Where a file sets `t.jobs` this runs beside its tests, and may come first
      for (const begin = performance.now(); counts.total === total && performance.now() - begin < PATIENCE; )
        await sleep(5)
      t.ok(counts.total > total)
    })
  }
}
