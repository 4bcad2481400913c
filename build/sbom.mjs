// Writes what the packages of the server and the client are made of into a folder, as CycloneDX. The bundle of the server has its packages
// inside, so all that it runs with are listed, in the versions of the lock file.
//
//   node build/sbom.mjs FOLDER
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { copyLockFile } from './copy-lock-file.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const { overrides } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
// The others are of tools for development
const plain = Object.fromEntries(Object.entries(overrides).filter(([, version]) => typeof version === 'string'))
const [out] = process.argv.slice(2)
if (out === undefined) throw new Error('Usage: node build/sbom.mjs FOLDER')

const work = mkdtempSync(join(tmpdir(), 'story-images-sbom-'))
try {
  for (const folder of ['.', 'packages/client']) {
    const { name, version, description, license, dependencies } = JSON.parse(
      readFileSync(join(ROOT, folder, 'package.json'), 'utf8'),
    )
    // Alone, since `npm sbom --omit=dev` leaves out what development needs too; and npm names what it describes after its folder
    const alone = join(work, name)
    mkdirSync(alone)
    writeFileSync(
      join(alone, 'package.json'),
      JSON.stringify({ name, version, description, license, dependencies, overrides: plain }),
    )
    copyLockFile(alone)
    const npm = (...args) => execFileSync('npm', args, { cwd: alone, encoding: 'utf8', maxBuffer: 2 ** 26 })
    // Removes from the lock file what is not needed
    npm('install', '--package-lock-only', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund')
    const type = folder === '.' ? 'application' : 'library'
    writeFileSync(
      join(out, `${name}.cdx.json`),
      npm('sbom', '--package-lock-only', '--sbom-format=cyclonedx', `--sbom-type=${type}`),
    )
  }
} finally {
  rmSync(work, { recursive: true })
}
