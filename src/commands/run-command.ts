import { type ParseArgsConfig, parseArgs } from 'node:util'
import { type Config, ConfigError, loadEnvFile, readConfig } from '../config.ts'
import type { ObjectStore } from '../store/object-store.ts'
import { openStore, placeOf } from '../store/open-store.ts'

type Options = NonNullable<ParseArgsConfig['options']>
type Values<Known extends Options> = ReturnType<typeof parseArgs<{ options: Known }>>['values']

export interface Command<Known extends Options> {
  /** What `--help` shows. */
  readonly help: string
  readonly options: Known
  /**
   * Does the work on the store of the server, which the environment and `.env` name.
   *
   * @param signal aborted by SIGINT and SIGTERM
   * @returns whether all is well
   * @throws {UsageError} for a value that can't be used
   */
  run(values: Values<Known>, store: ObjectStore, config: Config, signal: AbortSignal): Promise<boolean>
}

/** Arguments that can't be used; the message says which, and what is allowed. */
export class UsageError extends Error {}

/** Why a command ends before it is done. */
class Stopped extends Error {}

/** Runs a command in this process. Its exit code is 0 when all is well, 2 for arguments or settings that can't be used, and else 1. */
export async function runCommand<Known extends Options>(command: Command<Known>): Promise<void> {
  try {
    process.exitCode = (await run(command)) ? 0 : 1
  } catch (error) {
    console.error(sentenceOf(error))
    process.exitCode = error instanceof UsageError || error instanceof ConfigError ? 2 : 1
  }
}

async function run<Known extends Options>(command: Command<Known>): Promise<boolean> {
  const values = readArguments(command.options)
  if ('help' in values) {
    console.log(command.help)
    return true
  }
  loadEnvFile('.env', process.env)
  const config = readConfig(process.env)
  const stop = new AbortController()
  // Once: a second one ends the process at once
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.once(name, () => stop.abort(new Stopped(`Stopped by ${name}`)))
  // `npm run sweep | head`
  process.stdout.on('error', () => stop.abort(new Stopped('Nobody reads the output any more')))
  const store = await openStore(config)
  try {
    console.error(`The pictures are ${placeOf(config)}`)
    return await command.run(values as Values<Known>, store, config, stop.signal)
  } finally {
    await store.close()
  }
}

function readArguments(options: Options): Record<string, unknown> {
  let values: Record<string, unknown>
  try {
    values = parseArgs({ options: { ...options, help: { type: 'boolean', short: 'h' } } }).values
  } catch (error) {
    // The rest is about positional arguments, of which there are none
    const [first] = (error as Error).message.split('. ')
    throw new UsageError(`${first}; --help shows what there is`)
  }
  for (const name of Object.keys(options)) {
    // `npm run sweep --dry-run` would be no dry run
    if (process.env[`npm_config_${name.replaceAll('-', '_')}`] && !(name in values))
      throw new UsageError(`npm took --${name} for its own; write -- before the first option`)
  }
  return values
}

function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
