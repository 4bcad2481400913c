import { lookup } from 'node:dns/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import type { FastifyBaseLogger } from 'fastify'
import { buildApp } from './app.ts'
import { ConfigError, loadEnvFile, readConfig } from './config.ts'
import { whoMayUse } from './http/access/exposure.ts'
import { openStore, placeOf } from './store/open-store.ts'
import { startSweeps } from './sweeps.ts'

/** How long a server that failed may take to close. */
const FAILED_EXIT_MS = 5000

async function main(): Promise<void> {
  loadEnvFile('.env', process.env)
  const config = readConfig(process.env)
  const access = whoMayUse(config)
  let log: FastifyBaseLogger | undefined
  let repeated = 0
  const store = await openStore(config, (operation, err) => {
    repeated += 1
    log?.info({ operation, err, repeated }, 'the SDK makes a call to the store again')
  })
  const app = await buildApp(config, store)
  log = app.log
  let stopSweeps = async () => {}
  const delay = config.SHUTDOWN_DELAY + config.SHUTDOWN_TIMEOUT
  closeWithGrace({ delay, logger: app.log }, async ({ signal, err }) => {
    if (err) {
      app.log.fatal({ err }, 'the server failed')
      // Whatever is still running, a supervisor can only start a process again that is gone
      setTimeout(() => process.exit(1), FAILED_EXIT_MS).unref()
    }
    const sweepsStopped = stopSweeps()
    app.shutdown.begun = true
    if (!err && config.SHUTDOWN_DELAY > 0) {
      app.log.info({ signal }, 'shutting down: not ready any more, but still serving')
      await sleep(config.SHUTDOWN_DELAY)
    }
    if (!err) app.log.info({ signal }, 'shutting down: running requests may finish')
    await Promise.all([app.close(), sweepsStopped])
    await store.close()
  })
  // For localhost with two addresses Fastify would open a second server, without our handlers, and close without waiting for it
  const host = config.HOST === 'localhost' ? (await lookup('localhost', { family: 4 })).address : config.HOST
  await app.listen({ host, port: config.PORT })
  if (config.SWEEP_INTERVAL > 0) stopSweeps = startSweeps(app.sweeper, config.SWEEP_INTERVAL, app.log)
  app.log[access.isOpen ? 'warn' : 'info'](access.sentence)
  app.log.info(
    `pictures are kept ${placeOf(config)}${config.S3_BUCKET === undefined ? '; set S3_BUCKET to keep them in a bucket' : ''}`,
  )
}

main().catch((error) => {
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : ''
  console.error(error instanceof ConfigError ? error.message : `story-images can't start: ${error.message}${cause}`)
  process.exit(1)
})
