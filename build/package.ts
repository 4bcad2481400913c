import { cp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { builtManifest } from './manifest.ts'
import { writeFileAtomic } from './write-file-atomic.ts'

const ROOT = fileURLToPath(new URL('../', import.meta.url))
const OUT = join(ROOT, 'dist-package')

/** Writes the folder that `npm pack ./dist-package` makes the server's package of. */
const manifest = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))

await rm(OUT, { recursive: true, force: true })
for (const name of [...manifest.files, 'README.md', 'LICENSE'])
  await cp(join(ROOT, name), join(OUT, name), { recursive: true })
await writeFileAtomic(join(OUT, 'package.json'), `${JSON.stringify(builtManifest(manifest), null, 2)}\n`)
