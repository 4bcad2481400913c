// Checks commit messages by the rules of CONTRIBUTING.md: of the file in the argument, as a `commit-msg` hook, or of a commit or range,
// for instance `HEAD` or `main..HEAD`.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const MAX_SUBJECT = 72

/**
 * Returns what is wrong with a message.
 *
 * @param {string} message
 * @returns {string[]}
 */
export function problemsOf(message) {
  const [subject = '', second = '', ...rest] = message.trimEnd().split('\n')
  const body = rest.filter((line) => line.trim() !== '' && !/^[\w-]+-by: /.test(line))
  return [
    ...(subject.trim() === '' ? ['has no subject'] : []),
    ...(subject.length > MAX_SUBJECT ? [`has a subject of ${subject.length} characters; at most ${MAX_SUBJECT}`] : []),
    ...(subject.endsWith('.') ? ['has a subject that ends with a period'] : []),
    ...(second !== '' ? ['has a second line that is not empty'] : []),
    ...(body.length === 0 ? ['has no body that says why'] : []),
  ]
}

/**
 * Reads the messages to check, each with a name for it.
 *
 * @param {string} argument
 * @returns {[name: string, message: string][]}
 */
function read(argument) {
  // Without the comments and the diff of `git commit --verbose`, as Git will store it
  if (existsSync(argument)) {
    const [text = ''] = readFileSync(argument, 'utf8').split(/^# -+ >8 -+$/m)
    return [['The message', text.replace(/^#.*\n?/gm, '')]]
  }
  const range = argument.includes('..') ? [argument] : ['--max-count=1', argument]
  const log = execFileSync('git', ['log', '-z', '--format=%h%n%B', ...range, '--'], { encoding: 'utf8' })
  return log
    .split('\0')
    .filter(Boolean)
    .map((entry) => [entry.slice(0, entry.indexOf('\n')), entry.slice(entry.indexOf('\n') + 1)])
}

if (realpathSync(process.argv[1] ?? '.') === fileURLToPath(import.meta.url)) {
  for (const [name, message] of read(process.argv[2] ?? 'HEAD')) {
    for (const problem of problemsOf(message)) {
      console.error(`${name} ${problem}`)
      process.exitCode = 1
    }
  }
}
