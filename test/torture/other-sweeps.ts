import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { CLOCK_MARGIN_MS } from '../../src/stories/story-store.ts'
import { endWithUs } from '../support/end-with-us.ts'
import type { Edit } from './bugs.ts'
import type { Fault } from './history.ts'

const LOOP = fileURLToPath(new URL('./sweep-loop.mjs', import.meta.url))

/** The setting of the sweeps, the smallest that there is, in milliseconds. */
const UPLOAD_TIMEOUT_MS = 1000

/** What is older than this, in milliseconds, is old to them. More than a server is paused, so that no put stands still for longer. */
const OLD_MS = 3500

/** A run is too short for uploads of minutes: to these sweeps the clock is ahead, and servers look once more after a second. */
const AHEAD_MS = UPLOAD_TIMEOUT_MS + CLOCK_MARGIN_MS - OLD_MS
/** Makes a server take its uploads for long ones. */
export const LOOK_SOON: Edit = {
  file: 'stories/story-store.ts',
  from: 'const SAFE_MS = CLOCK_MARGIN_MS / 2',
  to: 'const SAFE_MS = 1000',
}

/**
 * Runs the command `sweep --all` with a smaller UPLOAD_TIMEOUT than that of the servers, over and over, in a process that is killed and
 * started again, until the signal.
 *
 * @param folder has the built server in `dist`
 * @returns how many sweeps came to their end, and what was printed on standard error by one that failed
 */
export async function runOtherSweeps(
  folder: string,
  environment: Readonly<Record<string, string>>,
  random: () => number,
  signal: AbortSignal,
  record: (fault: Fault) => void,
): Promise<{ sweeps: number; failures: string[] }> {
  const failures: string[] = []
  let sweeps = 0
  while (!signal.aborted) {
    const start = performance.now()
    const child = spawn(process.execPath, [LOOP], {
      cwd: folder,
      env: {
        ...environment,
        UPLOAD_TIMEOUT: `${UPLOAD_TIMEOUT_MS}ms`,
        FOLDER: folder,
        AHEAD_MS: String(AHEAD_MS),
        PATH: process.env.PATH ?? '',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const kill = () => child.kill('SIGKILL')
    endWithUs(child)
    signal.addEventListener('abort', kill)
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (dots: string) => {
      sweeps += dots.length
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-2000)
    })
    const timer = setTimeout(kill, 2000 + 10_000 * random())
    const [code] = await once(child, 'close')
    clearTimeout(timer)
    signal.removeEventListener('abort', kill)
    if (code !== null) failures.push(said)
    record({ kind: 'fault', what: 'kill of a sweep', start, end: performance.now() })
    await sleep(500 * random(), undefined, { signal }).catch(() => {})
  }
  return { sweeps, failures }
}
