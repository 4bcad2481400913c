import closeWithGrace from 'close-with-grace'
import { buildApp } from './app.ts'
import { type Config, ConfigError, loadEnvFile, readConfig } from './config.ts'
import { openDiskStore } from './store/disk/disk-store.ts'
import type { ObjectStore } from './store/object-store.ts'
import { openS3Store } from './store/s3/s3-store.ts'

async function openStore(config: Config): Promise<ObjectStore> {
  if (config.S3_BUCKET === undefined) return openDiskStore(config.DATA_DIR)
  const isOwnServer = config.S3_ENDPOINT !== undefined
  return openS3Store({
    bucket: config.S3_BUCKET,
    prefix: config.S3_PREFIX,
    endpoint: config.S3_ENDPOINT,
    region: config.S3_REGION ?? (isOwnServer ? 'us-east-1' : undefined),
    forcePathStyle: config.S3_FORCE_PATH_STYLE ?? isOwnServer,
    timeout: config.S3_TIMEOUT,
  })
}

async function main(): Promise<void> {
  loadEnvFile('.env', process.env)
  const config = readConfig(process.env)
  const store = await openStore(config)
  const app = await buildApp(config, store)
  closeWithGrace({ delay: config.SHUTDOWN_TIMEOUT, logger: app.log }, async ({ signal, err }) => {
    if (err) app.log.fatal({ err }, 'the server failed')
    else app.log.info({ signal }, 'shutting down: running requests may finish')
    await app.close()
    await store.close()
  })
  await app.listen({ host: config.HOST, port: config.PORT })
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
