import { execFile } from 'node:child_process'
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { checkRelease } from '../build/check-release.mjs'
import { ROOT } from './support/examples.ts'
import { makeFolder } from './support/stores.ts'

const CHART = 'deploy/helm/story-images/Chart.yaml'

/** A repository whose parts have one version, and a CHANGELOG.md with it. */
async function release(t: Test, version = '1.2.3') {
  const root = await makeFolder(t)
  const write = async (path: string, text: string) => {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
  }
  const change = async (path: string, from: string | RegExp, to: string) => {
    const text = await readFile(join(root, path), 'utf8')
    const changed = text.replace(from, to)
    t.not(changed, text, `${path} has ${from}`)
    await write(path, changed)
  }
  await write('package.json', JSON.stringify({ version }))
  await write('packages/client/package.json', JSON.stringify({ version }))
  await write(
    'package-lock.json',
    JSON.stringify({ version, packages: { '': { version }, 'packages/client': { version } } }),
  )
  await write(CHART, `name: story-images\nversion: ${version} # the same\nappVersion: "${version}"\n`)
  await write(
    'CHANGELOG.md',
    `# Changelog\n\n## [Unreleased]\n\n## [${version}] - 2026-12-01\n\n### Added\n\n- All of it.\n\n## [0.0.1] - 2026-01-01\n\n- Little.\n`,
  )
  return { root, change, check: (tag?: string) => checkRelease(root, tag) }
}

t.test('the parts of this repository have one version', async (t) => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(ROOT, 'build/check-release.mjs')])
  t.match(stdout, /agree/)
})

t.test('a release whose parts agree has the notes of its version alone', async (t) => {
  for (const version of ['1.2.3', '2.0.0-rc.1']) {
    const { check } = await release(t, version)
    t.same(check(`v${version}`), { problems: [], notes: '### Added\n\n- All of it.' })
    t.same(check(), { problems: [], notes: '' })
  }
})

t.test('each part that differs is named', async (t) => {
  const cases: [path: string, from: string | RegExp, to: string, problem: RegExp, tag?: string][] = [
    ['packages/client/package.json', '1.2.3', '1.2.2', /client\/package.json has 1.2.2, and package.json 1.2.3/],
    ['package-lock.json', '1.2.3', '1.2.2', /package-lock.json has 1.2.2/],
    ['package-lock.json', /("":\{"version":")1.2.3/, '$11.2.2', /packages\[""\] has 1.2.2/],
    ['package-lock.json', /(client":\{"version":")1.2.3/, '$11.2.2', /packages\/client has 1.2.2/],
    [CHART, 'version: 1.2.3', 'version: 1.2.2', /Chart.yaml, version has 1.2.2/],
    [CHART, 'appVersion: "1.2.3"', 'appVersion: "1.2.30"', /Chart.yaml, appVersion has 1.2.30/],
    [CHART, /^appVersion.*\n/m, '', /Chart.yaml, appVersion has no version/],
    ['CHANGELOG.md', '## [Unreleased]\n', '', /does not begin with ## \[Unreleased\]/],
    ['CHANGELOG.md', '## [1.2.3]', '## [1.2.4]', /no section ## \[1.2.3\]/, 'v1.2.3'],
    ['CHANGELOG.md', ' - 2026-12-01', '', /and not ## \[1.2.3\] - YYYY-MM-DD/, 'v1.2.3'],
    ['CHANGELOG.md', '2026-12-01', '2026-13-01', /and not ## \[1.2.3\] - YYYY-MM-DD/, 'v1.2.3'],
    ['CHANGELOG.md', '### Added\n\n- All of it.\n', '', /says nothing of 1.2.3/, 'v1.2.3'],
    ['CHANGELOG.md', '## [Unreleased]\n', '## [Unreleased]\n\n- More.\n', /changes under Unreleased/, 'v1.2.3'],
  ]
  for (const [path, from, to, problem, tag] of cases) {
    const { change, check } = await release(t)
    await change(path, from, to)
    const { problems } = check(tag)
    t.equal(problems.length, 1, problems.join('\n'))
    t.match(problems[0], problem)
  }
})

t.test('a tag that is not the version, and a version that is none, are refused', async (t) => {
  const { check } = await release(t)
  for (const tag of ['1.2.3', 'v1.2.4', 'v1.2.3-rc.1', ''])
    t.match(check(tag).problems.join(), `the tag is ${tag}, and package.json has 1.2.3`)
  for (const version of ['1.2', '01.2.3', '1.2.3+build', 'latest']) {
    const { check } = await release(t, version)
    t.match(check().problems.join(), /is not a semantic version/, version)
  }
})

t.test('the program prints the notes, or what is wrong, and exits accordingly', async (t) => {
  const { root, change } = await release(t)
  await cp(join(ROOT, 'build/check-release.mjs'), join(root, 'build/check-release.mjs'))
  const program = (...args: string[]) =>
    promisify(execFile)(process.execPath, [join(root, 'build/check-release.mjs'), ...args])
  t.equal((await program('v1.2.3', '--notes')).stdout, '### Added\n\n- All of it.\n')
  t.match((await program('v1.2.3')).stdout, /agree/)
  for (const args of [['--notes'], ['v1.2.3', '--note'], ['v1.2.3', '--notes', 'more']])
    await t.rejects(program(...args), { code: 2, stderr: /^Usage/ }, args.join(' '))
  await change('package.json', '1.2.3', '1.2.4')
  await t.rejects(program('v1.2.3'), { code: 1, stderr: /the tag is v1.2.3, and package.json has 1.2.4/ })
  await rm(join(root, CHART))
  await t.rejects(program(), { code: 1, stderr: /^(?!.*Chart)/s }, 'a repository without a chart')
})
