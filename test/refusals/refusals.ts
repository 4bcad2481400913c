/**
 * Sends uploads that are refused, directly and through proxies, and tells how often the client did not get to read the error:
 *
 * `npm run refusals` (COUNT=50 of each kind, ONLY=varnish for the names that contain it). With the libraries of Apache HttpClient 5 in a
 * folder, APACHE_HTTPCLIENT=folder tries that client too:
 * `mvn dependency:copy-dependencies -DoutputDirectory=folder` in a project that depends on org.apache.httpcomponents.client5:httpclient5.
 */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { filePart, multipart, type Teardown } from '../support/app.ts'
import { makeImage } from '../support/images.ts'
import { startServer } from '../support/server-process.ts'
import { apacheClient, CLIENTS, type Client, isThere, type Outcome, type Post } from './clients.ts'
import { isInstalled, PROXIES, startProxy } from './proxies.ts'

const MIB = 1024 * 1024
const KEY = 'the-key-of-the-refusals'
const FORM = { 'Content-Type': 'multipart/form-data; boundary=XX' }

interface Kind {
  readonly name: string
  readonly statuses: readonly number[]
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/** What is refused, by a server with at most 20 files of 10 MiB. */
async function kinds(): Promise<Kind[]> {
  const image = await makeImage({ type: 'png' })
  const sized = (bytes: number) => filePart(Buffer.concat([image, Buffer.alloc(bytes - image.length, 'x')]))
  const headers = { ...FORM, 'X-API-Key': KEY }
  return [
    { name: 'a file of 60 MB', statuses: [413], headers, body: multipart([sized(60_000_000)]) },
    {
      name: 'a wrong key, 40 MB',
      // After too many wrong ones
      statuses: [401, 429],
      headers: { ...headers, 'X-API-Key': 'a-wrong-key' },
      body: multipart([sized(40_000_000)]),
    },
    { name: '60 files', statuses: [413], headers, body: multipart(Array(60).fill(sized(1_000_000))) },
  ]
}

export interface Row {
  /** `directly`, or the name of a proxy. */
  readonly way: string
  readonly client: string
  readonly kind: string
  readonly count: number
  /** What came instead of the error. */
  readonly lost: readonly string[]
}

/**
 * @param t closes what it starts
 * @param count requests of each kind
 * @param only whether a way and a client are tried
 */
export async function* refusals(
  t: Teardown,
  count: number,
  only: (way: string, client: string) => boolean,
  more: readonly Client[] = [],
): AsyncGenerator<Row> {
  const folder = mkdtempSync(join(tmpdir(), 'refusals-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const server = await startServer({
    DATA_DIR: join(folder, 'data'),
    API_KEYS: `all:read+write:${createHash('sha256').update(KEY).digest('hex')}`,
    MAX_FILE_SIZE: String(10 * MIB),
    MAX_FILES: '20',
  })
  t.teardown(() => server.stop())
  const all = (await kinds()).map((kind, index) => {
    const path = join(folder, `body-${index}`)
    writeFileSync(path, kind.body)
    return { ...kind, path }
  })
  async function* through(way: string, port: number, clients: readonly Client[], count: number): AsyncGenerator<Row> {
    for (const client of clients) {
      for (const { name, path, headers, statuses } of all) {
        const post: Post = { url: `http://127.0.0.1:${port}/api/v1/images/upload`, path, headers }
        const outcomes = await client.send(post, count)
        const lost = outcomes.filter((outcome) => !isError(outcome, statuses)).map((lost) => JSON.stringify(lost))
        yield { way, client: client.name, kind: name, count: outcomes.length, lost }
      }
    }
  }
  const direct = [...CLIENTS, ...more].filter((client) => only('directly', client.name) && isThere(client))
  yield* through('directly', server.port, direct, count)
  for (const proxy of PROXIES) {
    const clients = CLIENTS.filter(({ name }) => proxy.clients.includes(name) && only(proxy.name, name)).filter(isThere)
    if (clients.length === 0 || !isInstalled(proxy)) continue
    const port = await startProxy(t, proxy, server.port)
    yield* through(proxy.name, port, clients, Math.ceil(count / clients.length))
  }
}

/** Whether it is the error of the API, and nothing of a proxy's. */
function isError(outcome: Outcome, statuses: readonly number[]): boolean {
  if ('error' in outcome || !statuses.includes(outcome.status)) return false
  try {
    const body = JSON.parse(outcome.body)
    return Object.keys(body).join() === 'detail' && typeof body.detail === 'string'
  } catch {
    return false
  }
}

/** What can't be tried on this machine. */
function missing(): string[] {
  const packages = PROXIES.filter((proxy) => !isInstalled(proxy)).map((proxy) => `${proxy.name} (${proxy.package})`)
  return [...packages, ...CLIENTS.filter((client) => !isThere(client)).map(({ name }) => name)]
}

async function main(): Promise<void> {
  const { COUNT = '50', ONLY = '', APACHE_HTTPCLIENT: libraries } = process.env
  const closers: (() => unknown)[] = []
  let lost = 0
  try {
    const only = (way: string, client: string) => `${way} ${client}`.includes(ONLY)
    const more = libraries ? [apacheClient(libraries)] : []
    for await (const row of refusals({ teardown: (close) => closers.unshift(close) }, Number(COUNT), only, more)) {
      lost += row.lost.length
      const figures = `${row.lost.length} of ${row.count} lost`
      console.log(
        [row.way.padEnd(9), row.client.padEnd(20), row.kind.padEnd(19), figures, row.lost[0]?.slice(0, 120)].join('  '),
      )
    }
  } finally {
    for (const close of closers) await close()
  }
  if (missing().length > 0) console.log(`Left out: ${missing().join(', ')}`)
  process.exitCode = lost > 0 ? 1 : 0
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
