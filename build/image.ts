import { execFileSync } from 'node:child_process'
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { copyLockFile } from './copy-lock-file.mjs'
import { builtManifest } from './manifest.ts'

/**
 * Writes the folder /app of the Docker image, after `npm run build`: the bundle, and the two packages that are not in it for the platform
 * of the image, in the versions of the lock file. It runs on the platform of the builder, so the image of another one needs no emulator.
 *
 *   node --import ./build/typescript.mjs build/image.ts FOLDER [amd64 | arm64]
 */
const ROOT = fileURLToPath(new URL('../', import.meta.url))

/** What Docker calls a processor, and what npm does. */
const PROCESSORS: Readonly<Record<string, string>> = { amd64: 'x64', arm64: 'arm64' }

const [out, platform = ''] = process.argv.slice(2)
const processor = platform === '' ? process.arch : PROCESSORS[platform]
if (out === undefined || processor === undefined)
  throw new Error(`Give a folder and ${Object.keys(PROCESSORS).join(' or ')}, not "${platform}"`)

await rm(out, { recursive: true, force: true })
await mkdir(out, { recursive: true })
const manifest = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
await writeFile(join(out, 'package.json'), `${JSON.stringify(builtManifest(manifest), null, 2)}\n`)
copyLockFile(out)
// Given the whole lock file, npm removes from it what is not needed, and takes the versions of the rest
const install = ['install', '--omit=dev', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund']
execFileSync('npm', [...install, '--os=linux', '--libc=glibc', `--cpu=${processor}`], { cwd: out, stdio: 'inherit' })
for (const name of ['package-lock.json', '.npmrc']) await rm(join(out, name))
await cp(join(ROOT, 'dist'), join(out, 'dist'), { recursive: true })
