import { existsSync } from 'node:fs'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { examplesOf, ROOT, run } from '../support/examples.ts'
import { makeFolder } from '../support/stores.ts'

const example = await examplesOf('docs/verify-release.md')
const page = await readFile(join(ROOT, 'docs/verify-release.md'), 'utf8')
const workflow = await readFile(join(ROOT, '.github/workflows/release.yml'), 'utf8')
const { env, jobs } = parse(workflow)

/** Runs a command of the page with programs in place of cosign, docker and npm. Returns the calls, each with its arguments. */
async function callsOf(t: Test, name: string): Promise<string[][]> {
  const folder = await makeFolder(t)
  for (const program of ['cosign', 'docker', 'npm']) {
    const path = join(folder, program)
    await writeFile(path, `#!/bin/sh\nprintf '%s\\n' '${program}' "$@" '' >>'${folder}/calls'\n`)
    await chmod(path, 0o755)
  }
  const PATH = [folder, process.env.PATH].join(delimiter)
  const result = await run('sh', ['-euc', `${example('settings')}\n${example(name)}`], { env: { PATH }, cwd: folder })
  t.equal(result.code, 0, result.stderr)
  const calls = await readFile(join(folder, 'calls'), 'utf8')
  return calls
    .trimEnd()
    .split('\n\n')
    .map((call) => call.split('\n'))
}

/** A name that the workflow publishes by, for the owner of the example. */
function published(name: 'image' | 'charts'): string {
  const { run } = jobs.check.steps.find(({ id }: { id?: string }) => id === 'names')
  const [, value = ''] = new RegExp(`echo "${name}=(.*)"`).exec(run) ?? []
  return value.replace('$REGISTRY', env.REGISTRY).replace('$owner', 'example')
}

const IDENTITY = [
  '--certificate-identity',
  'https://github.com/example/story-images/.github/workflows/release.yml@refs/tags/v0.1.0',
  '--certificate-oidc-issuer',
  'https://token.actions.githubusercontent.com',
]

t.test('the image and the chart are verified under the names by which they are published and signed', async (t) => {
  t.same(await callsOf(t, 'image'), [['cosign', 'verify', `${published('image')}:0.1.0`, ...IDENTITY]])
  t.same(await callsOf(t, 'chart'), [['cosign', 'verify', `${published('charts')}/story-images:0.1.0`, ...IDENTITY]])
  t.ok(existsSync(join(ROOT, '.github/workflows/release.yml')), 'the identity is that of a workflow')
  for (const name of ['image', 'chart']) {
    t.match(JSON.stringify(jobs[name].steps), /cosign sign --yes/, `${name} is signed`)
    t.equal(jobs[name].permissions['id-token'], 'write', `${name} has the identity of the workflow`)
  }
  for (const name of [published('image'), `${published('charts')}/story-images`])
    t.match(page, `\`${name.replace('example', 'OWNER')}\``)
})

t.test('what is asked of the image is what the workflow adds to it', async (t) => {
  const { with: build } = jobs.image.steps.find(({ id }: { id?: string }) => id === 'build')
  t.match(build, { sbom: true, provenance: 'mode=max', platforms: 'linux/amd64,linux/arm64', push: true })
  const inspect = ['docker', 'buildx', 'imagetools', 'inspect', `${published('image')}:0.1.0`]
  t.same(await callsOf(t, 'contents'), [
    inspect,
    [...inspect, '--format', '{{ json .Provenance }}'],
    [...inspect, '--format', '{{ json .SBOM }}'],
  ])
})

t.test('the lists of what is inside are verified with the files that the workflow publishes', async (t) => {
  const list = 'story-images.cdx.json'
  t.same(await callsOf(t, 'lists'), [['cosign', 'verify-blob', list, '--bundle', `${list}.sigstore.json`, ...IDENTITY]])
  const { run } = jobs.github.steps.at(-1)
  t.match(run, 'cosign sign-blob --yes --bundle "$file.sigstore.json" "$file"')
  t.match(run, '"$RUNNER_TEMP"/story-images*.sigstore.json')
  t.equal(jobs.github.permissions['id-token'], 'write')
})

t.test('both packages are published with the provenance that npm checks', async (t) => {
  t.same(await callsOf(t, 'packages'), [['npm', 'audit', 'signatures']])
  for (const folder of ['.', 'packages/client']) {
    const { name, publishConfig } = JSON.parse(await readFile(join(ROOT, folder, 'package.json'), 'utf8'))
    t.equal(publishConfig.provenance, true, name)
    t.match(page, `\`${name}\``)
  }
  t.equal(jobs.packages.permissions['id-token'], 'write')
})
