import { type Config, listConcurrencyOf } from '../config.ts'
import { openDiskStore } from './disk/disk-store.ts'
import type { ObjectStore } from './object-store.ts'
import type { S3Settings, StoreLimit } from './s3/s3-store.ts'

/** What the log says of a store that does not do something. */
export const LIMITS: Readonly<Record<StoreLimit, string>> = {
  conditional_put:
    'the store does not honour If-None-Match, so of uploads with one Idempotency-Key that reach several servers at the same moment more than one may make a story; retries one after another, and uploads to one server, make one',
  delete_many: 'the store does not have DeleteObjects, so objects are deleted one by one',
  versioning:
    'the store does not tell this key whether the bucket has versioning (s3:GetBucketVersioning), so lists of story ids are read from keys, which takes more calls',
  versions:
    'the bucket has versioning, and the store does not let this key list its versions (s3:ListBucketVersions), so deleted stories cannot be restored',
}

/** What a store has to know of the keys that it is to hold. */
export interface Layout extends Pick<S3Settings, 'scratch'> {
  /** Each ends with "/"; the one that most keys are below comes first. */
  readonly prefixes: readonly string[]
}

/**
 * Opens the store that the configuration names.
 *
 * @param hooks are told what happens in a bucket
 * @throws {ServiceError} when it can't be opened
 */
export async function openStore(
  config: Config,
  layout: Layout,
  hooks: Pick<S3Settings, 'onFallback' | 'onLimit'> = {},
): Promise<ObjectStore> {
  if (config.S3_BUCKET === undefined) {
    return openDiskStore(config.DATA_DIR, layout.prefixes, config.TRASH_RETENTION)
  }
  // The SDK takes a third of a second to load, which the disk store need not wait for
  const { openS3Store } = await import('./s3/s3-store.ts')
  return openS3Store({ ...bucketSettings(config, config.S3_BUCKET, layout), ...hooks })
}

/** Returns the settings of a bucket from the configuration. */
export function bucketSettings(config: Config, bucket: string, { prefixes, scratch }: Layout): S3Settings {
  const isOwnServer = config.S3_ENDPOINT !== undefined
  return {
    bucket,
    prefix: config.S3_PREFIX,
    endpoint: config.S3_ENDPOINT,
    region: config.S3_REGION ?? (isOwnServer ? 'us-east-1' : undefined),
    forcePathStyle: config.S3_FORCE_PATH_STYLE ?? isOwnServer,
    timeout: config.S3_TIMEOUT,
    listConcurrency: listConcurrencyOf(config),
    probe: prefixes[0],
    scratch,
  }
}

/** Says where the images are. */
export function placeOf(config: Config): string {
  return config.S3_BUCKET === undefined ? `on disk in ${config.DATA_DIR}` : `in the bucket ${config.S3_BUCKET}`
}
