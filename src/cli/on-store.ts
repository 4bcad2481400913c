import { type Config, ConfigError, loadEnvFile, readConfig } from '../config.ts'
import { LAYOUT } from '../layout/layout.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { openStore, placeOf } from '../store/open-store.ts'
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
