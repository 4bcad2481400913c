import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Metafile } from 'esbuild'

const ROOT = fileURLToPath(new URL('../', import.meta.url))

/** The licences of the packages that a bundle has code of: their texts, or their names where a package has no text. */
export async function licensesOf({ outputs }: Metafile): Promise<string> {
  const inputs = Object.values(outputs).flatMap((output) => Object.keys(output.inputs))
  const folders = inputs.flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? [])
  const texts: string[] = []
  for (const folder of [...new Set(folders)].sort()) {
    const { name, version, license } = JSON.parse(await readFile(join(ROOT, folder, 'package.json'), 'utf8'))
    const file = (await readdir(join(ROOT, folder))).find((name) => /^licen[cs]e/i.test(name))
    const text = file === undefined ? '' : (await readFile(join(ROOT, folder, file), 'utf8')).trim()
    texts.push(`${name} ${version}, ${license}\n\n${text}`.trim())
  }
  return `${texts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`
}
