// Checks that the version of every part is the same: the packages, the lock file, the chart and, given a tag, the tag and CHANGELOG.md.
//
//   node build/check-release.mjs                     the parts
//   node build/check-release.mjs v1.2.3              the parts, the tag, and that CHANGELOG.md has the version with a date
//   node build/check-release.mjs v1.2.3 --notes      as well, and prints what CHANGELOG.md says of the version
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const CHART = 'deploy/helm/story-images/Chart.yaml'
/** https://semver.org, without build metadata, which a tag of an image can't have. */
const VERSION = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$/

/**
 * Returns what is wrong, and the notes of the release.
 *
 * @param {string} root a folder with the files of the repository
 * @param {string} [tag]
 * @returns {{ problems: string[], notes: string }}
 */
export function checkRelease(root, tag) {
  /** @param {string} path */
  const read = (path) => readFileSync(join(root, path), 'utf8')
  const { version } = JSON.parse(read('package.json'))
  const lock = JSON.parse(read('package-lock.json'))
  /** @type {[string, string | undefined][]} */
  const versions = [
    ['packages/client/package.json', JSON.parse(read('packages/client/package.json')).version],
    ['package-lock.json', lock.version],
    ['package-lock.json, packages[""]', lock.packages[''].version],
    ['package-lock.json, packages/client', lock.packages['packages/client'].version],
  ]
  if (existsSync(join(root, CHART))) {
    const chart = read(CHART)
    for (const field of ['version', 'appVersion'])
      versions.push([`${CHART}, ${field}`, new RegExp(`^${field}: ['"]?([^'"\\s#]+)`, 'm').exec(chart)?.[1]])
  }
  const problems = versions
    .filter(([, found]) => found !== version)
    .map(([where, found]) => `${where} has ${found ?? 'no version'}, and package.json ${version}`)
  if (!VERSION.test(version)) problems.push(`package.json has ${version}, which is not a semantic version`)

  const changelog = read('CHANGELOG.md')
  const sections = changelog.split(/^(?=## )/m).slice(1)
  if (!sections[0]?.startsWith('## [Unreleased]\n')) problems.push('CHANGELOG.md does not begin with ## [Unreleased]')
  if (tag === undefined) return { problems, notes: '' }

  if (tag !== `v${version}`) problems.push(`the tag is ${tag}, and package.json has ${version}`)
  const [head = '', ...lines] = sections.find((section) => section.startsWith(`## [${version}]`))?.split('\n') ?? []
  const notes = lines.join('\n').trim()
  const date = head.slice(`## [${version}] - `.length)
  if (head === '') problems.push(`CHANGELOG.md has no section ## [${version}] - YYYY-MM-DD`)
  else if (!/^\d{4}-\d\d-\d\d$/.test(date) || Number.isNaN(Date.parse(date)))
    problems.push(`CHANGELOG.md has "${head}", and not ## [${version}] - YYYY-MM-DD`)
  else if (notes === '') problems.push(`CHANGELOG.md says nothing of ${version}`)
  if (/^\s*[-*] /m.test(sections[0] ?? ''))
    problems.push('CHANGELOG.md has changes under Unreleased that are in the tag')
  return { problems, notes }
}

if (realpathSync(process.argv[1] ?? '') === fileURLToPath(import.meta.url)) {
  const [tag, ...options] = process.argv.slice(2)
  const wantsNotes = options[0] === '--notes'
  if (options.length > (wantsNotes ? 1 : 0) || tag?.startsWith('-')) {
    console.error('Usage: node build/check-release.mjs [TAG [--notes]]')
    process.exit(2)
  }
  const { problems, notes } = checkRelease(fileURLToPath(new URL('..', import.meta.url)), tag)
  for (const problem of problems) console.error(problem)
  if (problems.length > 0) process.exitCode = 1
  else console.log(wantsNotes ? notes : 'tag, packages, chart and CHANGELOG.md agree')
}
