import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/**
 * Gives a folder, which has a package.json with some of the dependencies, the versions of the lock file and the settings of npm. npm
 * removes from the lock file what is not needed, except workspaces, of which npm 10 then misses the packages.
 *
 * @param {string} folder
 */
export function copyLockFile(folder) {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))
  lock.packages = Object.fromEntries(
    Object.entries(lock.packages).filter(
      ([path, { link }]) => path === '' || (path.startsWith('node_modules/') && !link),
    ),
  )
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify(lock))
  copyFileSync(join(ROOT, '.npmrc'), join(folder, '.npmrc'))
}
