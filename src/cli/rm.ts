import { createInterface } from 'node:readline/promises'
import { ApiError, type Client } from '../../packages/client/src/index.ts'
import { placeOf } from '../store/open-store.ts'
import { purgeStories } from '../stories/remove.ts'
import { onServer, type ServerOptions } from './on-server.ts'
import { storiesOnStore, succeeds } from './on-store.ts'
import { Stopped, UsageError } from './stopped.ts'

type Options = ServerOptions & { readonly all?: boolean; readonly yes?: boolean; readonly now?: boolean }

/**
 * Deletes stories, or all of them, after a question. With `now` it does so on the store, for good, and not on a server.
 *
 * @returns whether each story was there and is deleted
 */
export async function rm(ids: readonly string[], options: Options, signal: AbortSignal): Promise<boolean> {
  if (options.all ? ids.length > 0 : ids.length === 0)
    throw new UsageError('rm takes either the ids of stories, or --all')
  if (!options.yes && !process.stdin.isTTY) throw new UsageError('Without a terminal to ask on, rm needs --yes')
  if (options.now) return rmNow(ids, options, signal)
  return onServer(options, async (client) => {
    if (!(await isMeant(ids, options, options.server.origin, signal))) return false
    if (!options.all) return deleteStories(client, ids, options, signal)
    await client.deleteAllStories({ signal })
    console.log(options.json ? JSON.stringify({ deleted: 'all' }) : 'Deleted every story')
    return true
  })
}

async function deleteStories(
  client: Client,
  ids: readonly string[],
  { json }: ServerOptions,
  signal: AbortSignal,
): Promise<boolean> {
  let allDeleted = true
  for (const id of ids) {
    try {
      await client.deleteStory(id, { signal })
      console.log(json ? JSON.stringify({ deleted: id }) : `Deleted ${id}`)
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) throw error
      console.error(error.message)
      allDeleted = false
    }
  }
  return allDeleted
}

function rmNow(ids: readonly string[], options: Options, signal: AbortSignal): Promise<boolean> {
  const { all, json } = options
  return storiesOnStore(async (store, config) => {
    if (!(await isMeant(ids, options, `what is ${placeOf(config)}`, signal))) return false
    let allDeleted = true
    for (const id of all ? [undefined] : ids) {
      signal.throwIfAborted()
      if (await succeeds(() => purgeStories(store, id)))
        console.log(json ? JSON.stringify({ deleted: id ?? 'all' }) : `Deleted ${id ?? 'every story'} for good`)
      else allDeleted = false
    }
    return allDeleted
  })
}

/** Returns whether the user means it, who is asked unless `yes` is set. */
async function isMeant(
  ids: readonly string[],
  { all, now, yes }: Options,
  where: string,
  signal: AbortSignal,
): Promise<boolean> {
  if (yes || (await isConfirmed(ids, { all, now }, where, signal))) return true
  console.error('Nothing was deleted')
  return false
}

async function isConfirmed(
  ids: readonly string[],
  { all, now }: { readonly all: boolean | undefined; readonly now: boolean | undefined },
  where: string,
  signal: AbortSignal,
): Promise<boolean> {
  const what = ids.length === 1 ? `story ${ids[0]}` : `${ids.length} stories`
  const forGood = now ? ' for good' : ''
  const [question, meant] = all
    ? [`This deletes EVERY story of ${where}${forGood}. Type "delete all" to do it: `, /^delete all$/]
    : [`Delete ${what}${forGood}? [y/N] `, /^y(es)?$/i]
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const stopped = new AbortController()
  terminal.on('SIGINT', () => stopped.abort(new Stopped('Stopped by SIGINT')))
  // The end of the input means no
  terminal.on('close', () => stopped.abort())
  try {
    const answer = await terminal.question(question, { signal: AbortSignal.any([signal, stopped.signal]) })
    return meant.test(answer.trim())
  } catch {
    process.stderr.write('\n')
    return false
  } finally {
    terminal.close()
  }
}
