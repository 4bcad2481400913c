/**
 * Resets connections before, during and after the responses to every kind of request, many requests of a connection at once among
 * them, and then looks at what is left of it in the server:
 *
 * `npm run fuzz-resets` (RESETS=20000 connections on each store, RESET_SEED=…, RESET_STORE=disk; TEST_ENGINES=minio for a real bucket)
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import {
  get,
  IMAGES,
  post,
  STORY_IDS,
  send,
  UPLOAD,
  type Uploaded,
  upload,
  usedCapacity,
} from '../acceptance/client.ts'
import { allOpeners, type TestStore } from '../acceptance/openers.ts'
import { eventually, filePart, multipart, type Teardown } from '../support/app.ts'
import { bigImage, makeImage } from '../support/images.ts'
import { chance, oneOf, randomFrom } from '../support/random.ts'
import { type LogLine, type ServerProcess, startServer } from '../support/server-process.ts'

/** Connections that are open at once, and after how many it is made sure that there is something to read. */
const AT_ONCE = 50
const WAVE = 500

/** How long a client waits for a response before it resets all the same, in milliseconds. */
const MOST_WAIT = 5000

const TEMPORARY = 'a-secret-of-the-tests-with-48-characters-in-all-0'

/**
 * So that no request is refused for what this machine is busy with, and every route is there. The times are longer than the tests wait:
 * what a reset leaves behind is not to be freed by them.
 */
const SETTINGS = {
  VARIANT_CONCURRENCY: '8',
  UPLOAD_WAIT: '1h',
  CLIENT_TIMEOUT: '1h',
  KEEP_ALIVE_TIMEOUT: '1h',
  SIGNING_SECRETS: TEMPORARY,
  PRIVATE_IMAGES: 'true',
  RATE_LIMIT: '1000000',
}

export interface ResetOptions {
  readonly connections: number
  readonly seed: number
  /** Whether to wait until workers and unused connections to a bucket have ended, and every open file is one from before. */
  readonly isPatient?: boolean
}

export interface ResetOutcome {
  /** What is not as it should be. */
  readonly problems: string[]
  /** What was done, for people. */
  readonly lines: string[]
}

/** What requests can be about; made anew when a request has deleted it. */
interface Garden {
  readonly story: string
  /** Signed. */
  readonly images: readonly string[]
  readonly etags: readonly string[]
  readonly dates: readonly string[]
  readonly ticket: string
}

export async function fuzzResets(t: Teardown, store: TestStore, options: ResetOptions): Promise<ResetOutcome> {
  const server = await startServer({
    ...store.environment,
    ...SETTINGS,
    ...(store.environment.S3_BUCKET !== undefined && { S3_TIMEOUT: '1m' }),
  })
  let end: string | undefined
  void server.exit.then(({ code, signal }) => {
    end = `the server ended with ${signal ?? code}`
  })
  const stopped = () => end === undefined && server.stop()
  t.teardown(stopped)
  const attack = new Attack(server, options.seed)
  const problems: string[] = []

  await attack.plant()
  await serveNormally(server, attack)
  const before = openFiles(server)
  const begin = performance.now()
  for (let done = 0; done < options.connections && end === undefined; done += WAVE) {
    const count = Math.min(WAVE, options.connections - done)
    let next = 0
    const client = async () => {
      while (next++ < count && end === undefined) await attack.connection()
    }
    await Promise.all(Array.from({ length: AT_ONCE }, client))
    if (end === undefined) await attack.plant()
  }
  const seconds = (performance.now() - begin) / 1000

  const settled = async (what: string, isSo: () => boolean | Promise<boolean>, tell: () => unknown) => {
    if (end !== undefined || (await eventually(isSo))) return
    problems.push(`${what}: ${JSON.stringify(await tell())}`)
  }
  let taken: string[] = []
  await settled(
    'still taken',
    async () => {
      taken = await usedCapacity(server)
      return taken.length === 0
    },
    () => taken,
  )
  await settled(
    'still open',
    () => heldFiles(server, store).length === 0,
    () => heldFiles(server, store),
  )
  if (options.isPatient) {
    // Idle workers and connections to a bucket end after a minute
    const after = () => openFiles(server)
    await settled('more open files than before', () => after() <= before, after)
  }
  if (end === undefined) {
    await attack.plant()
    await serveNormally(server, attack)
      .catch(async (error) => {
        if ((await get(server, `${IMAGES}/${attack.garden.story}`)).status !== 404) throw error
        // A deletion of all whose client has left can have taken the story. The next such deletion comes after it
        await send(server, 'DELETE', IMAGES)
        await attack.plant()
        await serveNormally(server, attack)
      })
      .catch((error) => problems.push(`a normal client: ${error}`))
  }
  const after = end === undefined ? openFiles(server) : 0
  await stopped()
  if (end !== 'the server ended with 0') problems.push(String(end))
  problems.push(...complaintsOf(server))

  const told = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts)
      .sort()
      .map(([name, count]) => `${name} ${count}`)
      .join(', ')
  return {
    problems,
    lines: [
      `${store.name}, seed ${options.seed}: ${options.connections} connections in ${seconds.toFixed(0)} s`,
      `requests: ${told(attack.requests)}`,
      `ends: ${told(attack.ends)}`,
      `responses seen: ${told(attack.statuses)}`,
      `open files: ${before} before, ${after} after; levels of the log: ${told(levelsOf(server))}`,
    ],
  }
}

class Attack {
  readonly requests: Record<string, number> = {}
  readonly ends: Record<string, number> = {}
  readonly statuses: Record<string, number> = {}
  readonly #server: ServerProcess
  readonly #random: () => number
  #garden: Garden | undefined
  #count = 0

  constructor(server: ServerProcess, seed: number) {
    this.#server = server
    this.#random = randomFrom(seed)
  }

  get garden(): Garden {
    if (!this.#garden) throw new Error('Nothing was planted')
    return this.#garden
  }

  /** Makes sure that there is a story with a small image, a large one, and one that nobody can make smaller. */
  async plant(): Promise<void> {
    const server = this.#server
    const ticket = await send(server, 'POST', '/api/v1/tickets')
    const { upload_url } = ticket.json<{ upload_url: string }>()
    if (this.#garden && (await get(server, `${IMAGES}/${this.#garden.story}`)).status === 200) {
      this.#garden = { ...this.#garden, ticket: upload_url }
      return
    }
    const { story_id: story, image_paths } = await upload(server, await seeds())
    const images = await signed(server, image_paths)
    const heads = await Promise.all(images.map((path) => send(server, 'HEAD', path)))
    this.#garden = {
      story,
      images,
      etags: heads.map(({ headers }) => String(headers.etag)),
      dates: heads.map(({ headers }) => String(headers['last-modified'])),
      ticket: upload_url,
    }
  }

  /** One connection, from its first byte to its reset. */
  async connection(): Promise<void> {
    const random = this.#random
    const host = `127.0.0.${2 + (this.#count++ % 40)}`
    const count = chance(0.4, random) ? 1 : 1 + this.#under(chance(0.1, random) ? 40 : 8)
    const requests: Buffer[] = []
    for (let n = 1; n <= count; n++) requests.push(await this.#request(n === count))
    const bytes = Buffer.concat(requests)
    const end = oneOf(ENDS, random)
    this.ends[end] = (this.ends[end] ?? 0) + 1
    const turns = this.#under(12)
    const enough = this.#under(chance(0.5, random) ? 2000 : 400_000)
    const cut = end === 'before' ? this.#under(bytes.length) : bytes.length
    const isOrderly = chance(0.15, random)
    const isApart = chance(0.3, random)

    await new Promise<void>((resolve) => {
      const socket = connect({ port: this.#server.port, host: '127.0.0.1', localAddress: host, noDelay: true })
      const leave = () => (isOrderly ? socket.destroy() : socket.resetAndDestroy())
      const timer = setTimeout(leave, MOST_WAIT)
      let received = 0
      let quiet: NodeJS.Timeout | undefined
      const after = () => {
        clearTimeout(quiet)
        // What has come seems to be all
        quiet = setTimeout(leave, 20)
      }
      socket.on('error', () => {})
      socket.on('close', () => {
        clearTimeout(timer)
        clearTimeout(quiet)
        resolve()
      })
      socket.on('data', (chunk) => {
        received += chunk.length
        for (const [, status] of chunk.toString('latin1').matchAll(/HTTP\/1\.1 (\d{3}) /g)) {
          this.statuses[String(status)] = (this.statuses[String(status)] ?? 0) + 1
        }
        if (end === 'during' && received >= enough) leave()
        else if (end === 'during' || end === 'after') after()
      })
      socket.on('end', () => socket.destroy())
      socket.on('connect', async () => {
        // Apart, so that the server begins with the first ones before the others come
        const pieces = isApart ? requests : [bytes]
        let left = cut
        for (const piece of pieces) {
          if (socket.writable && left > 0) socket.write(piece.subarray(0, left))
          left -= piece.length
          if (isApart) await immediates(1)
        }
        if (end === 'before' || end === 'at once') await immediates(turns).then(leave)
      })
    })
  }

  /** Some request. After the last one of a connection nothing need follow: its body may end too early, and it may be no request. */
  async #request(isLast: boolean): Promise<Buffer> {
    const random = this.#random
    const [name, make] = oneOf(isLast && chance(0.05, random) ? [NO_HTTP] : this.#kinds(), random)
    this.requests[name] = (this.requests[name] ?? 0) + 1
    const { method = 'GET', path, headers = [], body } = await make()
    const about = body ? [`Content-Length: ${body.length}`] : []
    const head = [`${method} ${path} HTTP/1.1`, 'Host: localhost', ...headers, ...about, '', ''].join('\r\n')
    const whole = Buffer.concat([Buffer.from(head, 'latin1'), body ?? Buffer.alloc(0)])
    return body && isLast && chance(0.5, random) ? whole.subarray(0, whole.length - this.#under(body.length)) : whole
  }

  #under(limit: number): number {
    return Math.floor(this.#random() * limit)
  }

  #kinds(): Kind[] {
    const random = this.#random
    const { story, images, ticket } = this.garden
    const at = this.#under(images.length)
    const image = images[at] ?? ''
    const json = ['Content-Type: application/json']
    const list = (path: string) =>
      path + oneOf(['', '', '?limit=1', '?limit=1000', `?cursor=${story}`, '?limit=0', '?limit=2&order=newest'], random)
    const form = async (): Promise<Pick<Request, 'headers' | 'body'>> => ({
      headers: ['Content-Type: multipart/form-data; boundary=XX'],
      body: multipart((await seeds()).slice(0, 1 + this.#under(2)).map((image) => filePart(image))),
    })
    const of = (method: string): Request => ({ method, path: image, headers: this.#conditions(at) })
    return [
      ['image', () => of('GET')],
      ['image', () => of('GET')],
      ['image', () => of('GET')],
      ['image head', () => of('HEAD')],
      ['variant', () => ({ ...of('GET'), path: `${image}&w=${oneOf([160, 320, 7], random)}` })],
      ['variant', () => ({ ...of('GET'), path: `${image}&w=160&format=webp` })],
      ['variant head', () => ({ ...of('HEAD'), path: `${image}&w=160` })],
      ['no such image', () => ({ path: image.replace(story, NO_STORY) })],
      ['images', () => ({ path: list(IMAGES) })],
      ['images', () => ({ path: list(IMAGES) })],
      ['story ids', () => ({ path: list(STORY_IDS) })],
      ['story', () => ({ path: `${IMAGES}/${oneOf([story, story, NO_STORY, 'x'], random)}` })],
      ['upload', async () => ({ method: 'POST', path: UPLOAD, ...(await form()) })],
      ['upload', async () => ({ method: 'POST', path: UPLOAD, ...(await form()) })],
      ['upload with a ticket', async () => ({ method: 'POST', path: ticket, ...(await form()) })],
      [
        'upload with a key',
        async () => {
          const { headers = [], body } = await form()
          return { method: 'POST', path: UPLOAD, headers: [...headers, `Idempotency-Key: ${this.#under(9)}`], body }
        },
      ],
      ['upload of nothing', () => ({ method: 'POST', path: UPLOAD, headers: json, body: Buffer.from('{}') })],
      ['upload announced', () => ({ method: 'POST', path: UPLOAD, headers: ['Expect: 100-continue', ...json] })],
      ['ticket', () => ({ method: 'POST', path: '/api/v1/tickets', headers: json, body: Buffer.from('{"files":1}') })],
      [
        'signed urls',
        () => {
          const paths = images.map((image) => image.split('?', 1)[0])
          const body = Buffer.from(JSON.stringify({ paths }))
          return { method: 'POST', path: '/api/v1/signed-urls', headers: json, body }
        },
      ],
      ['delete', () => ({ method: 'DELETE', path: `${IMAGES}/${chance(0.05, random) ? story : NO_STORY}` })],
      ['restore', () => ({ method: 'POST', path: `${IMAGES}/${chance(0.5, random) ? story : NO_STORY}/restore` })],
      ['delete all', () => (chance(0.05, random) ? { method: 'DELETE', path: IMAGES } : of('GET'))],
      ['page', () => ({ path: oneOf(['/', '/docs', '/docs/swagger-ui-bundle.js', '/openapi.json'], random) })],
      ['health', () => ({ path: oneOf(['/livez', '/readyz', '/metrics'], random) })],
      ['no route', () => ({ path: oneOf(['/nothing', '/%zz', `/${'x'.repeat(500)}`], random) })],
      [
        'no method',
        () => ({ method: oneOf(['PUT', 'OPTIONS', 'PROPFIND'], random), path: oneOf([IMAGES, image], random) }),
      ],
    ]
  }

  /** Headers of a request for an image: ranges and conditions, which hold or do not. */
  #conditions(at: number): string[] {
    const random = this.#random
    const { etags, dates } = this.garden
    const etag = oneOf([etags[at], '"another"'], random)
    const date = oneOf([dates[at], 'Thu, 01 Jan 1970 00:00:00 GMT', 'soon'], random)
    const headers: string[] = []
    if (chance(0.6, random))
      headers.push(`Range: bytes=${oneOf(['0-', '0-', '0-99', '-500', '5-', '99999999-'], random)}`)
    if (chance(0.5, random)) headers.push(`If-Range: ${oneOf([etag, date], random)}`)
    if (chance(0.2, random)) headers.push(`If-None-Match: ${etag}`)
    if (chance(0.1, random)) headers.push(`If-Modified-Since: ${date}`)
    if (chance(0.1, random)) headers.push(`If-Match: ${etag}`)
    if (chance(0.3, random)) headers.push('Accept: image/avif,image/webp')
    if (chance(0.1, random)) headers.push('Connection: close')
    return headers
  }
}

interface Request {
  readonly method?: string
  readonly path: string
  readonly headers?: readonly string[]
  readonly body?: Buffer | undefined
}

type Kind = readonly [name: string, make: () => Request | Promise<Request>]

/** When a client goes: amid its requests, as soon as they are sent, amid the responses, or when nothing comes any more. */
const ENDS = ['before', 'at once', 'at once', 'at once', 'during', 'during', 'after'] as const

const NO_HTTP: Kind = ['no http', () => ({ path: '/\x01', headers: ['\x00: \x00'] })]

const NO_STORY = '01900000-0000-7000-8000-000000000000'

const seeds = () =>
  Promise.all([makeImage({ type: 'jpg', width: 400, height: 300 }), bigImage(1_500_000), makeImage({ type: 'gif' })])

async function signed(server: ServerProcess, paths: readonly string[]): Promise<string[]> {
  const body = JSON.stringify({ paths, expires_in: 86_400 })
  const headers = { 'content-type': 'application/json' }
  const answer = await send(server, 'POST', '/api/v1/signed-urls', { headers, body })
  return answer.json<{ urls: string[] }>().urls
}

async function immediates(count: number): Promise<void> {
  for (let n = 0; n < count; n++) await new Promise(setImmediate)
}

/** Uses every route, and throws when one of them does not serve. */
async function serveNormally(server: ServerProcess, { garden }: Attack): Promise<void> {
  const [small, large] = await seeds()
  const check = async (what: string, status: number, answered: ReturnType<typeof send>) => {
    const answer = await answered
    if (answer.status !== status)
      throw new Error(`${what} was answered ${answer.status} ${answer.body.toString().slice(0, 300)}`)
    return answer
  }
  for (const path of ['/livez', '/readyz', '/metrics', '/', '/docs', '/openapi.json'])
    await check(path, 200, get(server, path))
  for (const path of [
    IMAGES,
    `${IMAGES}?limit=5`,
    `${IMAGES}?limit=5&order=newest`,
    STORY_IDS,
    `${IMAGES}/${garden.story}`,
  ])
    await check(path, 200, get(server, path))
  for (const [at, body] of [small, large].entries()) {
    const path = garden.images[at] ?? ''
    const whole = await check('an image', 200, get(server, path))
    if (!whole.body.equals(body ?? Buffer.alloc(0))) throw new Error('An image has other bytes')
    await check('a part of an image', 206, get(server, path, { range: 'bytes=5-', 'if-range': garden.etags[at] ?? '' }))
    await check('an image that is known', 304, get(server, path, { 'if-none-match': garden.etags[at] ?? '' }))
    await check('the head of an image', 200, send(server, 'HEAD', path))
    // Workers, which stay for a while, are there from the first time on
    await Promise.all([160, 320, 640].map((width) => check('a variant', 200, get(server, `${path}&w=${width}`))))
  }
  const parts = [{ body: small ?? Buffer.alloc(0) }]
  const ticket = await check('a ticket', 201, send(server, 'POST', '/api/v1/tickets'))
  const stored = await check('an upload', 200, post(server, parts, { 'idempotency-key': `${process.hrtime.bigint()}` }))
  const { upload_url } = ticket.json<{ upload_url: string }>()
  const type = { 'content-type': 'multipart/form-data; boundary=XX' }
  const body = multipart([filePart(small ?? '')])
  await check('an upload with a ticket', 200, send(server, 'POST', upload_url, { headers: type, body }))
  await check('a deletion', 200, send(server, 'DELETE', `${IMAGES}/${stored.json<Uploaded>().story_id}`))
}

function openFiles({ pid }: ServerProcess): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

/** Files of the store and connections of clients that the server has open. */
function heldFiles({ pid, port }: ServerProcess, { environment }: TestStore): string[] {
  const clients = new Map<string, string>()
  for (const line of readFileSync(`/proc/${pid}/net/tcp`, 'latin1').split('\n')) {
    const [, local = '', remote = '', state, , , , , , inode] = line.trim().split(/\s+/)
    // "0A" is a socket that listens (proc(5), net/tcp)
    if (state !== '0A' && Number.parseInt(local.split(':')[1] ?? '', 16) === port)
      clients.set(`socket:[${inode}]`, remote)
  }
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/${pid}/fd/${fd}`)
      const { DATA_DIR: folder } = environment
      // The lock is held for as long as the server runs
      const isOfStore = folder !== undefined && target.startsWith(folder) && target !== `${folder}/.lock`
      return isOfStore || clients.has(target) ? [clients.get(target) ?? target] : []
    } catch {
      return []
    }
  })
}

/** Refusals for want of room, or since the same story is being deleted: no failure of the server. */
const BUSY = new Set(['ServerBusy', 'UploadsBusy', 'StoreBusy', 'RestoreInterrupted'])

/** Errors in the log, and what else the process wrote: warnings of Node.js, and errors that nobody caught. */
function complaintsOf(server: ServerProcess): string[] {
  const isFailure = ({ level, err }: LogLine) => level >= 50 && !BUSY.has((err as { type?: string })?.type ?? '')
  const lines = server.log().filter(isFailure)
  const errors = server.output.stderr.split('\n').filter((line) => line !== '')
  const told = lines.map(({ msg, err }) => `${msg} ${JSON.stringify(err)}`.slice(0, 1500))
  return [...new Set([...told, ...errors])].slice(0, 10)
}

function levelsOf(server: ServerProcess): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { level, msg } of server.log()) counts[`${level} ${msg}`] = (counts[`${level} ${msg}`] ?? 0) + 1
  return counts
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const closers: (() => unknown)[] = []
  const t = { teardown: (close: () => unknown) => closers.unshift(close) }
  const seed = Number(process.env.RESET_SEED ?? Date.now() % 1_000_000)
  const connections = Number(process.env.RESETS ?? 20_000)
  for (const [name, open] of allOpeners) {
    if (process.env.RESET_STORE !== undefined && process.env.RESET_STORE !== name) continue
    const { problems, lines } = await fuzzResets(t, await open(t), { connections, seed, isPatient: true })
    for (const line of lines) console.log(line)
    for (const problem of problems) console.log(`PROBLEM: ${problem}`)
    if (problems.length > 0) process.exitCode = 1
  }
  for (const close of closers) await close()
}
