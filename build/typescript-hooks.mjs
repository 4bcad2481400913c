import { createHash, randomUUID } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

const textOf = (path) => readFileSync(new URL(path, import.meta.url), 'utf8')
const versionOf = (name) => JSON.parse(textOf(`../node_modules/${name}/package.json`)).version

/** What is in it depends on the compiler, and on how this file uses it. */
const KEY = hashOf(textOf('typescript-hooks.mjs'), versionOf('esbuild'), versionOf('typebox')).slice(0, 16)
const CACHE = new URL(`../node_modules/.cache/typescript/${KEY}/`, import.meta.url)

/** TypeBox is 500 ES modules, which take most of the time that the app takes to load. */
const TYPEBOX = ['typebox', 'typebox/schema']
const BUNDLE = new URL('typebox/', CACHE)

export async function initialize() {
  if (existsSync(BUNDLE)) return
  const { build } = await import('esbuild')
  const unfinished = new URL(`${randomUUID()}/`, CACHE)
  const settings = { bundle: true, splitting: true, format: 'esm', platform: 'node', outExtension: { '.js': '.mjs' } }
  await build({
    ...settings,
    entryPoints: TYPEBOX.map((name) => ({ in: name, out: name.replace('/', '-') })),
    outdir: fileURLToPath(unfinished),
  })
  // Another process may have been faster
  await rename(unfinished, BUNDLE).catch(() => rm(unfinished, { recursive: true }))
}

/** @type {import('node:module').ResolveHook} */
export async function resolve(specifier, context, next) {
  if (!TYPEBOX.includes(specifier)) return next(specifier, context)
  return { url: new URL(`${specifier.replace('/', '-')}.mjs`, BUNDLE).href, format: 'module', shortCircuit: true }
}

/** @type {import('node:module').LoadHook} */
export async function load(url, context, next) {
  if (!url.endsWith('.ts') || url.includes('/node_modules/')) return next(url, context)
  const path = fileURLToPath(url)
  return { format: 'module', source: await compiled(path, await readFile(path, 'utf8')), shortCircuit: true }
}

/**
 * @param {string} path
 * @param {string} text
 */
async function compiled(path, text) {
  const cached = new URL(`${hashOf(path, text)}.mjs`, CACHE)
  try {
    return await readFile(cached, 'utf8')
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
  }
  const { transform } = await import('esbuild')
  const { code } = await transform(text, { loader: 'ts', sourcefile: path, sourcemap: 'inline', target: 'node20' })
  await mkdir(CACHE, { recursive: true })
  const unfinished = new URL(randomUUID(), CACHE)
  await writeFile(unfinished, code)
  await rename(unfinished, cached)
  return code
}

/** @param {readonly string[]} texts */
function hashOf(...texts) {
  return createHash('sha256').update(texts.join('\0')).digest('hex')
}
