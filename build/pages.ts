import { existsSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'
import { build } from 'esbuild'
import { isUnfinished, writeFileAtomic } from './write-file-atomic.ts'

const PAGES = fileURLToPath(new URL('../web/', import.meta.url))
const OUT = fileURLToPath(new URL('../dist/web/', import.meta.url))
const ASSETS = join(OUT, 'assets')

/** What the page names, and the server serves under a name with a hash. */
const ENTRIES = ['main.ts', 'theme.ts', 'styles/main.css', 'icon.svg']

const FONT = 'inter-latin-wght-normal'

const compressors = {
  br: (body: Uint8Array) =>
    promisify(brotliCompress)(body, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: body.length } }),
  gz: (body: Uint8Array) => promisify(gzip)(body, { level: 9 }),
}

/** Bundles the gallery into dist/web: index.html, and in assets/ what it needs, with a hash in each name and compressed beside. */
export async function buildPages(): Promise<void> {
  const { metafile, outputFiles } = await build({
    entryPoints: ENTRIES.map((name) => join(PAGES, name)),
    outdir: ASSETS,
    outbase: PAGES,
    entryNames: '[name]-[hash]',
    chunkNames: '[name]-[hash]',
    assetNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    minify: true,
    target: ['chrome123', 'firefox125', 'safari17.5'],
    loader: { '.svg': 'copy', '.woff2': 'file' },
    metafile: true,
    write: false,
    absWorkingDir: PAGES,
    logLevel: 'warning',
  })

  /** Names with a hash, by the path of the source in `web/`, such as `main.ts`; that of the font by `font.woff2`. */
  const names = new Map<string, string>()
  for (const [path, { entryPoint, inputs }] of Object.entries(metafile.outputs)) {
    if (entryPoint) names.set(entryPoint, basename(path))
    for (const input of Object.keys(inputs)) if (input.includes(FONT)) names.set('font.woff2', basename(path))
  }

  let page = await readFile(join(PAGES, 'index.html'), 'utf8')
  for (const [name, hashed] of names)
    page = page.replaceAll(`"assets/${name.replace('styles/', '')}"`, `"assets/${hashed}"`)

  const written = new Set<string>()
  for (const { path, contents } of outputFiles) {
    const name = basename(path)
    await put(name, () => contents)
    // A font is compressed already
    if (name.endsWith('.woff2')) continue
    for (const [extension, compress] of Object.entries(compressors))
      await put(`${name}.${extension}`, () => compress(contents))
  }
  await writeFileAtomic(join(OUT, 'index.html'), page)
  // Last, so that a server which starts meanwhile finds what the page names
  for (const name of await readdir(ASSETS))
    if (!written.has(name) && !isUnfinished(name)) await rm(join(ASSETS, name), { force: true })

  // The page at /docs, with the files of Swagger UI as they are
  const swagger = fileURLToPath(new URL('static/', import.meta.resolve('@fastify/swagger-ui')))
  for (const [folder, name] of [
    [join(PAGES, 'docs'), 'index.html'],
    [join(PAGES, 'docs'), 'start.js'],
    [swagger, 'swagger-ui-bundle.js'],
    [swagger, 'swagger-ui.css'],
  ] as const)
    await writeFileAtomic(join(OUT, 'docs', name), await readFile(join(folder, name)))

  /** A name with a hash has one content. */
  async function put(name: string, contents: () => Uint8Array | Promise<Uint8Array>): Promise<void> {
    written.add(name)
    const path = join(ASSETS, name)
    if (!existsSync(path)) await writeFileAtomic(path, await contents())
  }
}
