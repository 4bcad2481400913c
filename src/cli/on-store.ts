import { openPurger } from '../cdn/open-purger.ts'
import { type Config, ConfigError, loadEnvFile, readConfig } from '../config.ts'
import { ServiceError, StoreFailure } from '../errors.ts'
import { LAYOUT } from '../layout/layout.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { openStore, placeOf } from '../store/open-store.ts'
import { type StoryStore, storyStore } from '../stories/story-store.ts'
import { UsageError } from './stopped.ts'

/**
 * Does the work of a command on the store of the server, which the environment and `.env` name.
 *
 * @throws {UsageError} for settings that can't be used
 */
export async function onStore<Result>(work: (store: ObjectStore, config: Config) => Promise<Result>): Promise<Result> {
  const config = readSettings()
  const store = await openStore(config, LAYOUT)
  try {
    console.error(`The images are ${placeOf(config)}`)
    return await work(store, config)
  } finally {
    await store.close()
  }
}

/**
 * Runs the work for one of several stories. Prints the message of a `ServiceError`. Throws a `StoreFailure`, which the other stories would
 * get too, and any other error.
 *
 * @returns whether it succeeded
 */
export async function succeeds(work: () => Promise<void>): Promise<boolean> {
  try {
    await work()
    return true
  } catch (error) {
    if (!(error instanceof ServiceError) || error instanceof StoreFailure) throw error
    console.error(error.message)
    return false
  }
}

/**
 * Does the work of a command on the stories of the store, and tells the CDN of those that are removed.
 *
 * @param work returns whether it succeeded
 * @returns whether it did, and the CDN was told
 */
export function storiesOnStore(work: (store: StoryStore, config: Config) => Promise<boolean>): Promise<boolean> {
  return onStore(async (store, config) => {
    let lost = 0
    const purger = openPurger(config, {
      onPurged() {},
      onFailed() {},
      onLost({ count, ids }, error) {
        lost += count
        const stories = ids.length > 0 ? ids.join(', ') : `${count} stories`
        console.error(`The CDN was not told of ${stories}: ${(error as Error).message}`)
      },
    })
    const hasWorked = await work(storyStore(store, config.UPLOAD_TIMEOUT, purger?.add), config).finally(() =>
      purger?.close(),
    )
    return hasWorked && lost === 0
  })
}

/**
 * Reads the settings of the server, from the environment and `.env`.
 *
 * @throws {UsageError} for settings that can't be used
 */
export function readSettings(): Config {
  try {
    loadEnvFile('.env', process.env)
    return readConfig(process.env)
  } catch (error) {
    throw error instanceof ConfigError ? new UsageError(error.message) : error
  }
}
