import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { problemsOf } from '../build/check-commit-message.mjs'
import { ROOT } from './support/examples.ts'

const SUBJECT = 'Refuse HEIC images by name'
const BODY = 'Browsers do not show them.\n'

t.test('a commit message needs a short subject, an empty line and a body', async (t) => {
  const long = 'x'.repeat(73)
  const cases: [message: string, problem?: RegExp][] = [
    [`${SUBJECT}\n\n${BODY}`],
    [`${long.slice(1)}\n\n${BODY}`],
    [`${SUBJECT}\n\n${BODY}\nCo-authored-by: A <a@example.com>\n`],
    ['', /no subject/],
    [`${long}\n\n${BODY}`, /73 characters/],
    [`${SUBJECT}.\n\n${BODY}`, /period/],
    [`${SUBJECT}\n${BODY}`, /second line/],
    [`${SUBJECT}\n`, /no body/],
    [`${SUBJECT}\n\nCo-authored-by: A <a@example.com>\n`, /no body/],
  ]
  for (const [message, problem] of cases)
    t.match(problemsOf(message).join('; '), problem ?? /^$/, JSON.stringify(message))
})

t.test('the hook refuses a commit whose message breaks the rules, and a range is checked as a whole', async (t) => {
  // A hook runs at the top of its repository
  const folder = t.testdir({ build: t.fixture('symlink', join(ROOT, 'build')) })
  const git = (...args: string[]) => {
    const identity = ['-c', 'user.name=A', '-c', 'user.email=a@example.com']
    return spawnSync('git', ['-C', folder, ...identity, ...args], { encoding: 'utf8' })
  }
  const commit = (message: string, ...config: string[]) =>
    git(...config, 'commit', '--quiet', '--allow-empty', '--message', message)
  git('init', '--quiet')
  const hooks = ['-c', `core.hooksPath=${join(ROOT, '.githooks')}`]
  t.equal(commit(`${SUBJECT}\n\n# a comment\n\n${BODY}`, ...hooks).status, 0)
  const refused = commit(`${SUBJECT}.`, ...hooks)
  t.equal(refused.status, 1)
  t.equal(refused.stderr, 'The message has a subject that ends with a period\nThe message has no body that says why\n')

  t.equal(commit(`${SUBJECT}.`).status, 0)
  const check = (range: string) =>
    spawnSync(process.execPath, [join(ROOT, 'build/check-commit-message.mjs'), range], { cwd: folder })
  t.equal(check('HEAD').status, 1)
  t.equal(check('HEAD~1').status, 0)
  t.equal(check('HEAD~1..HEAD').status, 1)
  t.equal(check('HEAD..HEAD').status, 0)
})
