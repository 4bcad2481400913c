import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { writeFileAtomic } from './write-file-atomic.ts'

const CLIENT = fileURLToPath(new URL('../packages/client/', import.meta.url))
const OUT = join(CLIENT, 'dist')

/**
 * Adds CommonJS to the ES modules that `tsc -p packages/client` has written: one file that includes its dependency, whose default export
 * CommonJS would not find, and a `.d.cts` copy of each `.d.ts` file.
 */
export async function buildClient(): Promise<void> {
  const { outputFiles } = await build({
    entryPoints: [join(CLIENT, 'src/index.ts')],
    outfile: join(OUT, 'index.cjs'),
    bundle: true,
    format: 'cjs',
    target: 'es2023',
    write: false,
    logLevel: 'warning',
  })
  for (const { path, contents } of outputFiles) await writeFileAtomic(path, contents)
  for (const name of await readdir(OUT)) {
    if (!name.endsWith('.d.ts')) continue
    const declarations = await readFile(join(OUT, name), 'utf8')
    await writeFileAtomic(
      join(OUT, name.replace('.d.ts', '.d.cts')),
      declarations.replace(/(from '\.\/[\w-]+)\.(?:js|ts)'/g, "$1.cjs'"),
    )
  }
}
