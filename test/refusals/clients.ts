import { execFile } from 'node:child_process'
import { createReadStream, existsSync, openAsBlob, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { request } from 'undici'

const run = promisify(execFile)
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))

/** A response, or why there was none. */
export type Outcome = { readonly status: number; readonly body: string } | { readonly error: string }

export interface Post {
  readonly url: string
  /** The file with the body. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}

export interface Client {
  readonly name: string
  /** What it needs; Node.js itself unless given. */
  readonly program?: string
  send(post: Post, count: number): Promise<Outcome[]>
}

export const CLIENTS: readonly Client[] = [
  { name: 'curl', program: 'curl', send: repeated((post) => curl(post)) },
  // Does not wait for 100 Continue, which curl does for a second with a large body
  { name: 'curl without Expect', program: 'curl', send: repeated((post) => curl(post, '-H', 'Expect:')) },
  ...['http.client', 'urllib', 'requests'].map(
    (name): Client => ({
      name: `Python ${name}`,
      program: 'python3',
      async send({ url, path, headers }, count) {
        const args = [here('clients.py'), name, url, path, JSON.stringify(headers), String(count)]
        return lines(await run('python3', args)).map((line) => JSON.parse(line) as Outcome)
      },
    }),
  ),
  {
    name: 'fetch of Node.js',
    send: repeated(async ({ url, path, headers }) => {
      const response = await fetch(url, { method: 'POST', headers, body: await openAsBlob(path) })
      return { status: response.status, body: await response.text() }
    }),
  },
  {
    name: 'undici',
    send: repeated(async ({ url, path, headers }) => {
      const all = { ...headers, 'content-length': String(statSync(path).size) }
      const response = await request(url, { method: 'POST', headers: all, body: createReadStream(path) })
      return { status: response.statusCode, body: await response.body.text() }
    }),
  },
  ...['HttpURLConnection', 'java.net.http'].map((name): Client => java(name, [here('Clients.java'), name])),
]

/** Apache HttpClient 5, with its libraries in a folder. */
export const apacheClient = (libraries: string): Client =>
  java('Apache HttpClient 5', ['-cp', `${libraries}/*`, here('ApacheClient.java'), 'Apache HttpClient 5'])

function java(name: string, args: readonly string[]): Client {
  return {
    name,
    program: 'javac',
    async send({ url, path, headers }, count) {
      const all = [...args, url, path, String(count), ...Object.entries(headers).flat()]
      return lines(await run('java', all)).map((line) => {
        const [status = '', ...body] = line.split(' ')
        return status === 'error' ? { error: body.join(' ') } : { status: Number(status), body: body.join(' ') }
      })
    },
  }
}

function repeated(send: (post: Post) => Promise<Outcome>) {
  return async (post: Post, count: number): Promise<Outcome[]> => {
    const outcomes: Outcome[] = []
    for (let n = 0; n < count; n++)
      outcomes.push(await send(post).catch((error) => ({ error: String(error.cause ?? error) })))
    return outcomes
  }
}

async function curl({ url, path, headers }: Post, ...options: string[]): Promise<Outcome> {
  const fields = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const args = ['-sS', '-X', 'POST', '-T', path, '-w', '\n%{http_code}', ...fields, ...options, url]
  const { stdout } = await run('curl', args)
  const [status = '', ...body] = stdout.split('\n').reverse()
  return { status: Number(status), body: body.reverse().join('\n') }
}

const lines = ({ stdout }: { stdout: string }) => stdout.split('\n').filter((line) => line !== '')

export function isThere({ program }: Client): boolean {
  return (
    program === undefined || (process.env.PATH ?? '').split(':').some((folder) => existsSync(`${folder}/${program}`))
  )
}
