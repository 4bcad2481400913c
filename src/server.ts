import { lookup } from 'node:dns/promises'
import closeWithGrace from 'close-with-grace'
import type { FastifyBaseLogger } from 'fastify'
import { buildApp } from './app.ts'
import { type Config, ConfigError, loadEnvFile, readConfig } from './config.ts'
import { openDiskStore } from './store/disk/disk-store.ts'
import type { ObjectStore } from './store/object-store.ts'
import type { S3Settings } from './store/s3/s3-store.ts'
import { STORIES } from './stories/key.ts'
import { startSweeps } from './sweeps.ts'

/** How long a server that failed may take to close. */
const FAILED_EXIT_MS = 5000

async function openStore(config: Config, onFallback: NonNullable<S3Settings['onFallback']>): Promise<ObjectStore> {
  if (config.S3_BUCKET === undefined) return openDiskStore(config.DATA_DIR)
  // The SDK takes a third of a second to load, which the disk store need not wait for
  const { openS3Store } = await import('./store/s3/s3-store.ts')
  const isOwnServer = config.S3_ENDPOINT !== undefined
  return openS3Store({
    bucket: config.S3_BUCKET,
    prefix: config.S3_PREFIX,
    endpoint: config.S3_ENDPOINT,
    region: config.S3_REGION ?? (isOwnServer ? 'us-east-1' : undefined),
    forcePathStyle: config.S3_FORCE_PATH_STYLE ?? isOwnServer,
    timeout: config.S3_TIMEOUT,
    listConcurrency: config.LIST_CONCURRENCY ?? (isOwnServer ? 1 : 16),
    probe: STORIES,
    onFallback,
  })
}

async function main(): Promise<void> {
  loadEnvFile('.env', process.env)
  const config = readConfig(process.env)
  let log: FastifyBaseLogger | undefined
  let repeated = 0
  const store = await openStore(config, (operation, err) => {
    repeated += 1
    log?.info({ operation, err, repeated }, 'the SDK makes a call to the store again')
  })
  const app = await buildApp(config, store)
  log = app.log
  let stopSweeps = async () => {}
  closeWithGrace({ delay: config.SHUTDOWN_TIMEOUT, logger: app.log }, async ({ signal, err }) => {
    if (err) {
      app.log.fatal({ err }, 'the server failed')
      // Whatever is still running, a supervisor can only start a process again that is gone
      setTimeout(() => process.exit(1), FAILED_EXIT_MS).unref()
    } else app.log.info({ signal }, 'shutting down: running requests may finish')
    await Promise.all([app.close(), stopSweeps()])
    await store.close()
  })
  // For localhost with two addresses Fastify would open a second server, without our handlers, and close without waiting for it
  const host = config.HOST === 'localhost' ? (await lookup('localhost', { family: 4 })).address : config.HOST
  await app.listen({ host, port: config.PORT })
  if (config.SWEEP_INTERVAL > 0) stopSweeps = startSweeps(app.sweeper, config.SWEEP_INTERVAL, app.log)
  app.log.info(
    config.S3_BUCKET === undefined
      ? `pictures are kept on disk in ${config.DATA_DIR}; set S3_BUCKET to keep them in a bucket`
      : `pictures are kept in the bucket ${config.S3_BUCKET}`,
  )
}

main().catch((error) => {
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : ''
  console.error(error instanceof ConfigError ? error.message : `story-images can't start: ${error.message}${cause}`)
  process.exit(1)
})
