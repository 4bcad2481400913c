import { lookup } from 'node:dns/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import type { FastifyBaseLogger } from 'fastify'
import { buildApp } from './app.ts'
import { ConfigError, loadEnvFile, REMOVED_SETTINGS, readConfig } from './config.ts'
import { startUpCheck } from './http/auth/start-up-check.ts'
import { LAYOUT } from './layout/layout.ts'
import { lockFolder } from './store/disk/lock.ts'
import { observeStore } from './store/observed-store.ts'
import { LIMITS, openStore, placeOf } from './store/open-store.ts'
import type { Sweeper } from './stories/sweep.ts'
import { startSweeps } from './stories/sweep-timer.ts'
import { Metrics } from './telemetry/metrics.ts'
import { tracingSettings } from './telemetry/tracing-settings.ts'
import { version } from './version.ts'

/** How long the start waits for the probe of the store, in milliseconds. */
const PROBE_MS = 2000

/** How long a server that failed may take to close, in milliseconds. */
const FAILED_EXIT_MS = 5000

/** Time that waiting purges get before the process is ended despite running requests, in milliseconds. */
const PURGES_MS = 12_000

/**
 * Runs the server until a signal ends the process. Reads the configuration from the environment and a file `.env`.
 *
 * @throws {ConfigError | ServiceError | FolderInUse} if it cannot start
 */
export async function serve(): Promise<void> {
  loadEnvFile('.env', process.env)
  const config = readConfig(process.env)
  const access = startUpCheck(config)
  const otlp = tracingSettings(process.env)
  const metrics = new Metrics()
  metrics.watchProcess(version, config.S3_BUCKET === undefined ? 'disk' : 's3')
  let log: FastifyBaseLogger | undefined
  let repeated = 0
  const limits = new Set<keyof typeof LIMITS>()
  const bare = await openStore(config, LAYOUT, {
    onFallback(operation, err) {
      repeated += 1
      metrics.storeFallback(operation)
      log?.info({ operation, err, repeated }, 'the SDK repeats a call to the store')
    },
    onLimit(limit) {
      if (limits.has(limit)) return
      limits.add(limit)
      metrics.storeLimit(limit)
      log?.warn(LIMITS[limit])
    },
  })
  const lock = config.S3_BUCKET === undefined ? await lockFolder(config.DATA_DIR) : undefined
  // Loaded only if it is used, because that takes a while
  const tracing =
    otlp &&
    (await (
      await import('./telemetry/tracing.ts')
    ).startTracing(version, otlp, (err) => log?.warn({ err }, 'traces could not be sent and are lost')))
  const store = observeStore(bare, metrics, tracing?.followCall)
  const app = await buildApp(config, store, { metrics, tracing })
  log = app.log
  let stopSweeps = async () => {}
  const delay = config.SHUTDOWN_DELAY + config.SHUTDOWN_TIMEOUT
  closeWithGrace({ delay, logger: app.log }, async ({ signal, err }) => {
    if (err) {
      app.log.fatal({ err }, 'the server failed')
      // A supervisor restarts the process only once it is gone, whatever still runs
      setTimeout(() => process.exit(1), FAILED_EXIT_MS).unref()
    }
    const sweepsStopped = stopSweeps()
    app.shutdown.begun = true
    // Not only at the end: requests that take too long end the process before that
    setTimeout(() => app.purger?.close(), Math.max(0, delay - PURGES_MS)).unref()
    if (!err && config.SHUTDOWN_DELAY > 0) {
      app.log.info({ signal }, 'shutting down: no longer ready, but still serving')
      await sleep(config.SHUTDOWN_DELAY)
    }
    if (!err) app.log.info({ signal }, 'shutting down: running requests may finish')
    await Promise.all([app.close(), sweepsStopped])
    // A sweep may have ended after the app
    await app.purger?.close()
    await Promise.all([store.close(), tracing?.close()])
    await lock?.release()
  })
  // For a localhost with two addresses Fastify would open a second server, without our handlers, and not wait for it on close
  const host = config.HOST === 'localhost' ? (await lookup('localhost', { family: 4 })).address : config.HOST
  const probe = store.prepare?.().catch((err) => log?.debug({ err }, 'the store could not be probed yet'))
  // A store that is away may be back for the first upload, which then waits for the probe
  await Promise.race([probe, sleep(PROBE_MS, undefined, { ref: false })])
  const url = await app.listen({ host, port: config.PORT })
  await lock?.note(url)
  if (config.SWEEP_INTERVAL > 0) {
    metrics.sweepsBegin()
    stopSweeps = startSweeps(countedSweeps(app.sweeper, metrics), config.SWEEP_INTERVAL, app.log)
  }
  if (lock?.problem)
    app.log.warn({ err: lock.problem }, 'DATA_DIR cannot be locked: make sure that no second server uses it')
  const removed = REMOVED_SETTINGS.filter((name) => process.env[name])
  if (removed.length > 0)
    app.log.warn(`settings that were removed (see CHANGELOG.md) are ignored: ${removed.join(', ')}`)
  app.log[access.isOpen ? 'warn' : 'info'](access.sentence)
  app.log.info(
    `images are stored ${placeOf(config)}${config.S3_BUCKET === undefined ? '; set S3_BUCKET to store them in a bucket' : ''}`,
  )
}

function countedSweeps(sweeper: Sweeper, metrics: Metrics): Pick<Sweeper, 'sweep'> {
  return {
    async sweep(options) {
      try {
        const report = await sweeper.sweep(options)
        metrics.swept(report)
        return report
      } catch (error) {
        if (!options?.signal?.aborted) metrics.swept(undefined)
        throw error
      }
    },
  }
}

/** Prints why the server cannot start, and ends the process. */
export function failToStart(error: unknown): never {
  const { message, cause } = error instanceof Error ? error : new Error(String(error))
  const why = cause instanceof Error ? `: ${cause.message}` : ''
  console.error(error instanceof ConfigError ? message : `story-images cannot start: ${message}${why}`)
  process.exit(1)
}
