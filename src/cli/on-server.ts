import { readFile } from 'node:fs/promises'
import { type Client, createClient } from '../../packages/client/src/index.ts'
import { UsageError } from './stopped.ts'

/** Options of every command that talks to a server. */
export interface ServerOptions {
  /** Ends with a slash. */
  readonly server: URL
  readonly keyFile?: string
  /** Ends with a slash. By default the server. */
  readonly imageUrl?: URL
  readonly json?: boolean
}

/** Why there is no connection, by the codes of Node.js and undici. */
const ABSENT: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no such host',
  EHOSTUNREACH: 'no network leads there',
  ENETUNREACH: 'no network leads there',
  ERR_SSL_WRONG_VERSION_NUMBER: 'what listens there has no TLS, so its URL begins with http://',
}

/** Why a connection failed that may work the next time. */
const BROKEN: Readonly<Record<string, string>> = {
  EAI_AGAIN: 'its name could not be looked up',
  ECONNRESET: 'the connection broke',
  EPIPE: 'the connection broke',
  UND_ERR_SOCKET: 'the connection broke',
  ETIMEDOUT: 'it took too long',
  UND_ERR_CONNECT_TIMEOUT: 'it took too long',
  UND_ERR_HEADERS_TIMEOUT: 'it took too long',
  UND_ERR_BODY_TIMEOUT: 'it took too long',
}

/**
 * Does the work of a command on its server.
 *
 * @throws {UsageError} for a key that can't be read or sent
 */
export async function onServer<Result>(
  { server, keyFile }: ServerOptions,
  work: (client: Client) => Promise<Result>,
): Promise<Result> {
  const key = keyFile === undefined ? process.env.STORY_IMAGES_KEY : await readKey(keyFile)
  const client = openClient(server, key || undefined)
  return work(client).catch((error) => {
    throw error instanceof TypeError ? new Error(sentenceOf(error, server)) : error
  })
}

/** Returns the sentence of an error. `fetch` itself does not say why there is no response. */
export function sentenceOf({ message, cause }: Error, server: URL): string {
  if (!(cause instanceof Error)) return message
  const { code = '' } = cause as NodeJS.ErrnoException
  // Where each of several addresses failed, the cause has no message
  return `No response from ${server.origin}: ${BROKEN[code] ?? ABSENT[code] ?? (cause.message.trim() || code)}`
}

/** Returns whether a connection failed that may work the next time. */
export function isBroken({ cause }: Error): boolean {
  return cause instanceof Error && ((cause as NodeJS.ErrnoException).code ?? '') in BROKEN
}

/** Returns the URL of an image, whose path a response has named. */
export function urlOf(path: string, { server, imageUrl = server }: ServerOptions): string {
  return new URL(path.replace(/^\//, ''), imageUrl).href
}

function openClient(server: URL, key: string | undefined): Client {
  try {
    return createClient({ baseUrl: new URL('.', server).href, key })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

async function readKey(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    throw new UsageError(`The key file can't be read: ${(error as Error).message}`)
  }
}
