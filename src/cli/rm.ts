import { createInterface } from 'node:readline/promises'
import { ApiError, type Client } from '../../packages/client/src/index.ts'
import { onServer, type ServerOptions } from './on-server.ts'
import { Stopped, UsageError } from './stopped.ts'

/**
 * Deletes stories, or all of them, after a question.
 *
 * @returns whether each story was there and is deleted
 */
export async function rm(
  ids: readonly string[],
  options: ServerOptions & { readonly all?: boolean; readonly yes?: boolean },
  signal: AbortSignal,
): Promise<boolean> {
  if (options.all ? ids.length > 0 : ids.length === 0)
    throw new UsageError('rm takes either the ids of stories, or --all')
  if (!options.yes && !process.stdin.isTTY) throw new UsageError('Without a terminal to ask on, rm needs --yes')
  return onServer(options, async (client) => {
    if (!options.yes && !(await isMeant(ids, options, signal))) {
      console.error('Nothing was deleted')
      return false
    }
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

async function isMeant(
  ids: readonly string[],
  { all, server }: { readonly all?: boolean; readonly server: URL },
  signal: AbortSignal,
): Promise<boolean> {
  const what = ids.length === 1 ? `story ${ids[0]}` : `${ids.length} stories`
  const [question, meant] = all
    ? [`This deletes EVERY story of ${server.origin}. Type "delete all" to do it: `, /^delete all$/]
    : [`Delete ${what}? [y/N] `, /^y(es)?$/i]
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
