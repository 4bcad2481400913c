import { readdir, rm } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, type Plugin } from 'esbuild'
import { licensesOf } from './licenses.ts'
import { isUnfinished, writeFileAtomic } from './write-file-atomic.ts'

const SOURCES = fileURLToPath(new URL('../src/', import.meta.url))

/** What is started, by people and by the server: sources by their names in the bundle. */
export const ENTRIES: Readonly<Record<string, string>> = {
  server: 'cli/server.ts',
  cli: 'cli/program.ts',
  'io/hash-worker': 'io/hash-worker.js',
  'variants/worker': 'variants/worker.ts',
}

/** Packages that are not bundled, because they look for their native code in their own folder. */
export const EXTERNAL: readonly string[] = ['sharp', 'fs-native-extensions']

/** What other steps of the build put beside the server. */
const OTHERS = ['web']

const LICENSES = 'LICENSES.txt'

/** Some packages are CommonJS, and ask for modules of Node.js while they run. */
const REQUIRE = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"

interface ServerBuild {
  readonly entries?: Readonly<Record<string, string>>
  readonly plugins?: Plugin[]
  readonly packages?: 'bundle' | 'external'
}

/**
 * Bundles the server and its packages into few files, so that a process starts in half the time. What is loaded only at need (an S3 client,
 * tracing, a command) is in files of its own. Nearly all names are kept, for stack traces and profiles, and maps have the lines of the sources.
 *
 * @param out the folder; what is there already stays until the new server is complete
 * @param packages `external` leaves every package out of the bundle
 */
export async function buildServer(
  out: string,
  { entries = ENTRIES, plugins = [], packages = 'bundle' }: ServerBuild = {},
): Promise<void> {
  const { outputFiles, metafile } = await build({
    entryPoints: Object.entries(entries).map(([out, source]) => ({ in: join(SOURCES, source), out })),
    outdir: out,
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    platform: 'node',
    // A package that is loaded by `import()` has named exports only where it is an ES module
    mainFields: ['module', 'main'],
    target: 'node20.19',
    format: 'esm',
    packages,
    external: [...EXTERNAL],
    banner: { js: REQUIRE },
    sourcemap: true,
    legalComments: 'none',
    plugins,
    metafile: true,
    write: false,
    logLevel: 'warning',
  })
  // What is started names the others, so it is last
  const [shared, started] = [
    outputFiles.filter(({ path }) => isShared(path)),
    outputFiles.filter(({ path }) => !isShared(path)),
  ]
  for (const { path, contents } of [...shared, ...started]) await writeFileAtomic(path, contents)
  await writeFileAtomic(join(out, LICENSES), await licensesOf(metafile))
  const written = new Set([LICENSES, ...outputFiles.map(({ path }) => relative(out, path))])
  for (const entry of await readdir(out, { recursive: true, withFileTypes: true })) {
    const path = relative(out, join(entry.parentPath, entry.name))
    const isOthers = OTHERS.includes(path.split(sep)[0] ?? '')
    if (entry.isFile() && !isOthers && !written.has(path) && !isUnfinished(path))
      await rm(join(out, path), { force: true })
  }
}

/** By the hash in its name. */
function isShared(path: string): boolean {
  return /-[A-Z0-9]{8}\.js(\.map)?$/.test(path)
}
