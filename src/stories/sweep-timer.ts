import { setTimeout as sleep } from 'node:timers/promises'
import type { Sweeper } from './sweep.ts'

/** How long a sweep may take to end when the server closes, in milliseconds. */
const STOP_MS = 5000

/** What sweeps need of a logger. */
type Log = Readonly<Record<'error' | 'warn' | 'info' | 'debug', (fields: object, message: string) => void>>

/**
 * Sweeps now, and then in intervals, never twice at once. A sweep that fails is logged, and the next one is made when it is due.
 *
 * @param interval milliseconds between two sweeps; each is up to a tenth longer, so that servers that began together spread
 * @returns a function that ends the sweeps; it resolves once none runs any more, within 5 seconds
 */
export function startSweeps(sweeper: Pick<Sweeper, 'sweep'>, interval: number, log: Log) {
  const stop = new AbortController()
  const { signal } = stop

  async function run(): Promise<void> {
    while (!signal.aborted) {
      try {
        const report = await sweeper.sweep({
          signal,
          onUnreadable: (_folder, err) => log.error({ err }, 'a folder can not be read, and is left alone'),
        })
        if (report.stories + report.variants + report.left > 0)
          log.info(report, 'removed what interrupted uploads and deletions had left')
        else log.debug(report, 'swept')
      } catch (err) {
        if (!signal.aborted) log.warn({ err }, 'a sweep failed')
      }
      await sleep(interval * (1 + Math.random() / 10), undefined, { ref: false, signal }).catch(() => {})
    }
  }

  const running = run()
  return async (): Promise<void> => {
    stop.abort()
    await Promise.race([running, sleep(STOP_MS, undefined, { ref: false })])
  }
}
