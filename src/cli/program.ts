#!/usr/bin/env node
import { type Command, CommanderError, InvalidArgumentError, Option, program } from 'commander'
import { isStoryId } from '../layout/story.ts'
import { version } from '../version.ts'
import { Stopped, UsageError } from './stopped.ts'

const EXIT_CODES = `
Exit code: 0; 1 when something failed, is damaged or was stopped; 2 for arguments
or settings that can't be used.`

const ON_THE_STORE = `
The store is the server's: its settings are environment variables, and lines of a
file .env in this folder. Servers may run meanwhile.
${EXIT_CODES}`

const stop = new AbortController()
const { signal } = stop

/** Runs a command, which returns whether it succeeded, until a signal or the end of its reader stops it. */
function run<Arguments extends unknown[]>(command: (...args: Arguments) => Promise<boolean>) {
  return async (...args: Arguments) => {
    // A second signal ends the process at once
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(name, () => stop.abort(new Stopped(`Stopped by ${name}`)))
    // As in `story-images ls | head`, which is not an error
    process.stdout.on('error', () => stop.abort(new Stopped('')))
    process.exitCode = (await command(...args)) ? 0 : 1
  }
}

function storyId(text: string): string {
  if (!isStoryId(text)) throw new InvalidArgumentError('It has to be the id of a story, a lower-case UUID.')
  return text
}

function serverUrl(text: string): URL {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol))
    throw new InvalidArgumentError('It has to be a URL that begins with http:// or https://.')
  const { username, password } = new URL(text)
  // The URL is printed with each image
  if (username || password) throw new InvalidArgumentError('It has to be a URL without user and password.')
  return new URL(text.endsWith('/') ? text : `${text}/`)
}

function count(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It has to be a whole number from 1.')
  return Number(text)
}

const storyIds = (text: string, ids: readonly string[] = []) => [...ids, storyId(text)]

const json = () => new Option('--json', 'print JSON, one object on each line')

/** Adds the options of a command that talks to a server. */
function onServer(command: Command): Command {
  return command
    .addOption(
      new Option('--server <url>', 'server to talk to')
        .env('STORY_IMAGES_SERVER')
        .default(new URL('http://localhost:8000/'), 'http://localhost:8000')
        .argParser(serverUrl),
    )
    .option('--key-file <path>', 'file with the API key; without it the key is in STORY_IMAGES_KEY')
    .addOption(json())
    .addHelpText('after', EXIT_CODES)
}

/** The option of commands that print URLs of images. */
const imageUrl = () =>
  new Option('--image-url <url>', 'URL of the CDN that serves images, to print; by default the server')
    .env('PUBLIC_IMAGE_URL')
    .argParser(serverUrl)

/** Refuses a server for an option that works on the store: it could be another one. A variable may stay set for other commands. */
function refuseServer(command: Command, option: string): void {
  if (command.getOptionValueSource('server') === 'cli')
    throw new UsageError(`--${option} works on the store that the settings name, so it takes no --server`)
}

/** Refuses `npm run sweep --dry-run`: npm takes the option for itself, so it would not be a dry run. */
function refuseOptionsOfNpm(command: Command): void {
  if (process.env.npm_lifecycle_event !== command.name()) return
  for (const option of command.options) {
    if (
      process.env[`npm_config_${option.name().replaceAll('-', '_')}`] &&
      !command.getOptionValueSource(option.attributeName())
    )
      throw new UsageError(`npm took --${option.name()} for itself; write -- before the first option`)
  }
}

program
  .name('story-images')
  .description('Stores the images of stories.')
  .version(version)
  .exitOverride()
  .configureOutput({
    outputError: (text, write) => write(text.replace(/^error: (.)/, (_found, first: string) => first.toUpperCase())),
  })
  .showHelpAfterError('(--help shows what there is)')
  .hook('preAction', (_program, command) => refuseOptionsOfNpm(command))
  .addHelpText('after', EXIT_CODES)

program
  .command('serve')
  .description('start the server')
  .addHelpText('after', '\nIts settings are environment variables, and lines of a file .env in this folder.')
  .action(async () => {
    const { failToStart, serve } = await import('../main.ts')
    const { ConfigError } = await import('../config.ts')
    await serve().catch((error) => {
      if (error instanceof ConfigError) throw new UsageError(error.message)
      failToStart(error)
    })
  })

program
  .command('sweep')
  .description('remove what interrupted uploads and deletions have left, as the server does by itself')
  .option('--dry-run', 'remove nothing, and print what would be removed')
  .option(
    '--all',
    'read everything; without it, for a job that runs every hour, what became old enough since the last hour, and a part of the rest, so that a day covers it',
  )
  .addOption(json())
  .addHelpText('after', ON_THE_STORE)
  .action(run(async (options) => (await import('./sweep.ts')).sweep(options, signal)))

program
  .command('verify')
  .description('read every image, and compare it with what its upload has recorded; changes nothing')
  .option('--story <id>', 'only this story', storyId)
  .addOption(json())
  .addHelpText('after', ON_THE_STORE)
  .action(run(async (options) => (await import('./verify.ts')).verify(options, signal)))

program
  .command('check')
  .description('try what the server needs of its bucket, and say what it does not do; removes what it writes')
  .addOption(json())
  .addHelpText('after', ON_THE_STORE)
  .action(run(async (options) => (await import('./check.ts')).check(options, signal)))

program
  .command('restore')
  .description('bring deleted stories back, whole or not at all')
  .argument('[ids...]', 'stories', storyIds)
  .option('--deleted-since <duration>', 'instead of ids, every story that was deleted in this time, such as 2h')
  .addOption(json())
  .addHelpText('after', ON_THE_STORE)
  .action(run(async (ids, options) => (await import('./restore.ts')).restore(ids, options, signal)))

onServer(program.command('upload'))
  .description('upload one story')
  .argument('<files...>', 'its images, in their order; - is standard input')
  .addOption(imageUrl())
  .action(run(async (files, options) => (await import('./upload.ts')).upload(files, options, signal)))

onServer(program.command('ls'))
  .description('list stories, the newest first, or the images of one')
  .argument('[id]', 'a story', storyId)
  .addOption(imageUrl())
  .option('--limit <count>', 'list at most this many stories', count)
  .option('--deleted', 'list the deleted stories that can be restored; on the store, not on a server')
  .action(
    run(async (id, options, command) => {
      if (!options.deleted) return (await import('./ls.ts')).ls(id, options, signal)
      refuseServer(command, 'deleted')
      if (id !== undefined || options.limit !== undefined)
        throw new UsageError('--deleted lists all deleted stories, without an id and --limit')
      return (await import('./restore.ts')).listDeleted(options, signal)
    }),
  )

onServer(program.command('rm'))
  .description('delete stories, after a question')
  .argument('[ids...]', 'stories', storyIds)
  .option('--all', 'every story of the server')
  .option('--yes', 'ask nothing; needed where there is no terminal')
  .option('--now', 'delete for good, also what is kept of deleted stories; on the store, not on a server')
  .action(
    run(async (ids, options, command) => {
      if (options.now) refuseServer(command, 'now')
      return (await import('./rm.ts')).rm(ids, options, signal)
    }),
  )

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2
  else {
    const { message, cause } = error instanceof Error ? error : new Error(String(error))
    if (message !== '') console.error(cause instanceof Error ? `${message}: ${cause.message}` : message)
    process.exitCode = error instanceof UsageError ? 2 : 1
  }
}
