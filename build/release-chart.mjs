// Writes into the values of the chart, before it is packaged for a release, the image of that release by its digest.
//
//   node build/release-chart.mjs deploy/helm/story-images ghcr.io/example/story-images sha256:…
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const [folder = '', repository = '', digest = ''] = process.argv.slice(2)
if (!/^[a-z0-9.-]+(:\d+)?(\/[a-z0-9._-]+)+$/.test(repository))
  throw new Error(`"${repository}" is not a repository of images`)
if (!/^sha256:[0-9a-f]{64}$/.test(digest)) throw new Error(`"${digest}" is not a digest`)

const path = join(folder, 'values.yaml')
const values = readFileSync(path, 'utf8')
const [block = ''] = /^image:\n(?: .*\n)+/m.exec(values) ?? []
let changed = block
for (const [name, value] of Object.entries({ repository, digest })) {
  const line = `  ${name}: ''\n`
  if (!changed.includes(line)) throw new Error(`${path} has no empty ${name} of image`)
  changed = changed.replace(line, `  ${name}: ${value}\n`)
}
writeFileSync(path, values.replace(block, changed))
