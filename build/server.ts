import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, type Plugin } from 'esbuild'
import { writeFileAtomic } from './write-file-atomic.ts'

const SOURCES = fileURLToPath(new URL('../src/', import.meta.url))

/** What is started, by people and by the server. */
export const ENTRIES: readonly string[] = ['server.ts', 'cli.ts', 'digest-thread.js', 'variants/worker.ts']

/** They bring native code, which they look for beside themselves. */
const EXTERNAL = ['sharp', 'fs-native-extensions']

/** Some packages are CommonJS, and ask for modules of Node.js while they run. */
const REQUIRE = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"

/**
 * Bundles the server and its packages into a few files, so that a process starts in half the time. What is loaded only at need (an S3 client,
 * tracing, a command) is in files of its own. Names, lines and maps are kept, for stack traces and profiles.
 *
 * @param out the folder; what is there already stays until the new server is complete
 */
export async function buildServer(
  out: string,
  { entries = ENTRIES, plugins = [] }: { entries?: readonly string[]; plugins?: Plugin[] } = {},
): Promise<void> {
  const { outputFiles } = await build({
    entryPoints: entries.map((name) => join(SOURCES, name)),
    outbase: SOURCES,
    outdir: out,
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    platform: 'node',
    // A package that is loaded by `import()` has named exports only where it is an ES module
    mainFields: ['module', 'main'],
    target: 'node20.19',
    format: 'esm',
    external: EXTERNAL,
    banner: { js: REQUIRE },
    sourcemap: true,
    legalComments: 'linked',
    plugins,
    write: false,
    logLevel: 'warning',
  })
  // What is started names the others, so it is last
  const [shared, started] = [
    outputFiles.filter(({ path }) => isShared(path)),
    outputFiles.filter(({ path }) => !isShared(path)),
  ]
  for (const { path, contents } of [...shared, ...started]) await writeFileAtomic(path, contents)
  const written = new Set(outputFiles.map(({ path }) => path))
  for (const entry of await readdir(out, { withFileTypes: true }))
    if (entry.isFile() && !written.has(join(out, entry.name))) await rm(join(out, entry.name))
}

/** By the hash in its name. */
function isShared(path: string): boolean {
  return /-[A-Z0-9]{8}\.js(\.map)?$/.test(path)
}
