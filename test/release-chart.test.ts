import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { parse } from 'yaml'
import { ROOT } from './support/examples.ts'
import { makeFolder } from './support/stores.ts'

const CHART = join(ROOT, 'deploy/helm/story-images/values.yaml')
const SAMPLE = "# Values\nimage:\n  repository: ''\n  tag: ''\n  # Counts\n  digest: ''\n\nother:\n  digest: ''\n"
const IMAGE = 'ghcr.io/example/story-images'
const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`

const program = (...args: string[]) =>
  promisify(execFile)(process.execPath, [join(ROOT, 'build/release-chart.mjs'), ...args])

t.test('a chart that is released has the image of the release by its digest, and is else as before', async (t) => {
  for (const values of [SAMPLE, ...(existsSync(CHART) ? [await readFile(CHART, 'utf8')] : [])]) {
    const folder = await makeFolder(t)
    await writeFile(join(folder, 'values.yaml'), values)
    await program(folder, IMAGE, DIGEST)
    const before = parse(values)
    t.same(parse(await readFile(join(folder, 'values.yaml'), 'utf8')), {
      ...before,
      image: { ...before.image, repository: IMAGE, digest: DIGEST },
    })
    await t.rejects(program(folder, IMAGE, DIGEST), /has no empty repository of image/, 'a second time')
  }
})

t.test('a wrong repository or digest is refused, and nothing is written', async (t) => {
  const folder = await makeFolder(t)
  await writeFile(join(folder, 'values.yaml'), SAMPLE)
  for (const [image, digest] of [
    ['ghcr.io/Example/story-images', DIGEST],
    ['story-images', DIGEST],
    ['', DIGEST],
    [IMAGE, ''],
    [IMAGE, '0123456789abcdef'],
    [IMAGE, DIGEST.toUpperCase()],
  ] as const)
    await t.rejects(program(folder, image, digest), /is not a (repository|digest)/, `${image} ${digest}`)
  t.equal(await readFile(join(folder, 'values.yaml'), 'utf8'), SAMPLE)
})
