import { cp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { EXTERNAL } from './server.ts'
import { writeFileAtomic } from './write-file-atomic.ts'

const ROOT = fileURLToPath(new URL('../', import.meta.url))
const OUT = join(ROOT, 'dist-package')

/**
 * Writes the folder that `npm pack ./dist-package` makes the server's package of: what is built, and a package.json whose dependencies are
 * those that are not in the bundle. With the others a third more would be installed, of which nothing is loaded, and npm would warn
 * of a package of Fastify's tests that asks for a newer Node.js.
 */
const manifest = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
const {
  scripts: _scripts,
  devDependencies: _development,
  overrides: _overrides,
  workspaces: _workspaces,
  ...rest
} = manifest
const dependencies = Object.fromEntries(EXTERNAL.map((name) => [name, manifest.dependencies[name]]))

await rm(OUT, { recursive: true, force: true })
for (const name of [...manifest.files, 'README.md', 'LICENSE'])
  await cp(join(ROOT, name), join(OUT, name), { recursive: true })
await writeFileAtomic(join(OUT, 'package.json'), `${JSON.stringify({ ...rest, dependencies }, null, 2)}\n`)
