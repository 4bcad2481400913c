import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { StoreUnavailable } from '../../src/errors.ts'
import type { Sweeper } from '../../src/stories/sweep.ts'
import { startSweeps } from '../../src/stories/sweep-timer.ts'
import { until } from '../support/bodies.ts'

const NOTHING = { stories: 0, keys: 0, idempotencyKeys: 0, variants: 0, left: 0 }

/** A log that keeps the level and the message of each line. */
function openLog() {
  const lines: string[] = []
  const write = (level: string) => (_fields: object, message: string) => void lines.push(`${level}: ${message}`)
  return { lines, log: { error: write('error'), warn: write('warn'), info: write('info'), debug: write('debug') } }
}

t.test('a sweep that fails is logged, and comes again', async (t) => {
  const { lines, log } = openLog()
  const outcomes = [new StoreUnavailable(), NOTHING, { ...NOTHING, stories: 1 }]
  const sweep: Sweeper['sweep'] = async () => {
    const outcome = outcomes.shift() ?? NOTHING
    if (outcome instanceof Error) throw outcome
    return outcome
  }
  const stop = startSweeps({ sweep }, 1, log)
  await until(() => lines.length > 3)
  await stop()
  t.same(lines.slice(0, 4), [
    'warn: a sweep failed',
    'debug: swept',
    'info: removed what interrupted uploads and deletions had left',
    'debug: swept',
  ])
  const { length } = lines
  await sleep(20)
  t.equal(lines.length, length, 'none comes after the end')
})

t.test('the end of sweeps stops the one that runs, without a word about it', async (t) => {
  const { lines, log } = openLog()
  let running = 0
  const sweep: Sweeper['sweep'] = async ({ signal } = {}) => {
    running += 1
    if (signal) await once(signal, 'abort')
    running -= 1
    throw new Error('aborted')
  }
  const stop = startSweeps({ sweep }, 1, log)
  t.equal(running, 1, 'one runs at once')
  await stop()
  t.equal(running, 0)
  t.same(lines, [])
})
