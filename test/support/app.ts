import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { buildApp, type Limits } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { openDiskStore } from '../../src/store/disk/disk-store.ts'
import type { ObjectStore } from '../../src/store/object-store.ts'
import { openS3Store } from '../../src/store/s3/s3-store.ts'
import { ALLOWED_HOSTS } from './hosts.ts'
import { makeImage } from './images.ts'
import { PATIENCE } from './patience.ts'
import type { S3StandIn } from './s3-stand-in.ts'

/** What closes things at the end of a test: tap's `t`, or anything with the same method. */
export interface Teardown {
  teardown(close: () => unknown): void
}

export interface TestApp {
  readonly app: FastifyInstance
  readonly store: ObjectStore
  /** That of the disk store. */
  readonly folder: string | undefined
  readonly port: number
  readonly url: string
  /** Sends bytes as they are over a connection of its own. */
  connect(): Promise<RawClient>
  close(): Promise<void>
}

/**
 * The server in this process, on a free port: on disk in a new folder, or on an S3 stand-in.
 *
 * @param options any environment variable of the server
 */
export async function startApp(
  t: Teardown,
  options: Record<string, string> = {},
  standIn?: S3StandIn,
  limits?: Partial<Limits>,
): Promise<TestApp> {
  const config = readConfig({
    LOG_LEVEL: 'silent',
    // Of a machine that runs several tests at once
    MAX_EVENT_LOOP_DELAY: '1m',
    ALLOWED_HOSTS,
    ...(standIn && { S3_BUCKET: standIn.bucket }),
    ...options,
  })
  const folder = standIn ? undefined : mkdtempSync(join(tmpdir(), 'story-images-'))
  const store = folder
    ? await openDiskStore(folder, undefined, config.TRASH_RETENTION)
    : await openStandIn(standIn as S3StandIn, config.S3_TIMEOUT)
  // Nobody waits too long on a machine that runs several tests at once
  const app = await buildApp(config, store, { limits: { wait: 600_000, ...limits } })
  const clients = new Set<RawClient>()
  let closing: Promise<void> | undefined
  const close = () => {
    closing ??= (async () => {
      for (const client of clients) client.socket.destroy()
      const closed = app.close()
      app.server.closeAllConnections()
      await closed
      await store.close()
      if (folder) rmSync(folder, { recursive: true })
    })()
    return closing
  }
  t.teardown(close)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  return {
    app,
    store,
    folder,
    port,
    url: `http://127.0.0.1:${port}`,
    async connect() {
      const client = await connectRaw(port)
      clients.add(client)
      return client
    },
    close,
  }
}

function openStandIn(standIn: S3StandIn, timeout: number): Promise<ObjectStore> {
  process.env.AWS_ACCESS_KEY_ID ??= 'test'
  process.env.AWS_SECRET_ACCESS_KEY ??= 'test'
  return openS3Store({
    bucket: standIn.bucket,
    prefix: '',
    endpoint: standIn.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    timeout,
  })
}

export interface RawAnswer {
  readonly status: number
  /** names in lower case */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface RawClient {
  readonly socket: Socket
  /** Everything received so far. */
  readonly received: string
  /** How the connection ended; undefined while it is open. */
  readonly ended: 'closed' | 'reset' | undefined
  write(bytes: string | Uint8Array): Promise<void>
  /** The next whole answer; rejects when the connection ends or `timeout` milliseconds pass before there is one. */
  answer(timeout?: number): Promise<RawAnswer>
  /** Waits for the end of the connection. */
  end(timeout?: number): Promise<'closed' | 'reset'>
}

/** A client without any knowledge of HTTP but for the end of an answer. */
export async function connectRaw(port: number): Promise<RawClient> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  let received = Buffer.alloc(0)
  let chunks: Buffer[] = []
  let taken = 0
  let ended: 'closed' | 'reset' | undefined
  socket.on('data', (chunk) => chunks.push(chunk))
  socket.on('error', () => {
    ended = 'reset'
  })
  socket.on('close', () => {
    ended ??= 'closed'
  })
  await once(socket, 'connect')
  const all = () => {
    if (chunks.length > 0) received = Buffer.concat([received, ...chunks])
    chunks = []
    return received
  }
  const until = async <T>(found: () => T | undefined, timeout: number, what: string): Promise<T> => {
    for (const start = Date.now(); ; await sleep(2)) {
      const value = found()
      if (value !== undefined) return value
      if (Date.now() - start > timeout) throw new Error(`No ${what} within ${timeout} ms; received: ${preview(all())}`)
    }
  }
  return {
    socket,
    get received() {
      return all().toString('latin1')
    },
    get ended() {
      return ended
    },
    write: (bytes) =>
      new Promise((resolve) => {
        // A server that has answered may have closed; what counts is what it said
        if (socket.writable) socket.write(bytes, () => resolve())
        else resolve()
      }),
    answer: (timeout = PATIENCE) =>
      until(
        () => {
          const found = parseAnswer(all().subarray(taken), ended !== undefined)
          if (found) {
            taken += found.length
            return found.answer
          }
          if (ended) throw new Error(`The connection was ${ended}; received: ${preview(received.subarray(taken))}`)
          return undefined
        },
        timeout,
        'answer',
      ),
    end: (timeout = PATIENCE) => until(() => ended, timeout, 'end of the connection'),
  }
}

const preview = (bytes: Buffer) => JSON.stringify(bytes.subarray(0, 300).toString('latin1'))

function parseAnswer(bytes: Buffer, ended: boolean): { answer: RawAnswer; length: number } | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd < 0) return undefined
  const [first = '', ...lines] = bytes.toString('latin1', 0, headEnd).split('\r\n')
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }),
  )
  const status = Number(first.split(' ')[1])
  const start = headEnd + 4
  const done = (body: string, end: number) => ({ answer: { status, headers, body }, length: end })
  if (status < 200 || status === 204 || status === 304) return done('', start)
  if (headers['transfer-encoding'] === 'chunked') {
    let body = ''
    for (let at = start; ; ) {
      const lineEnd = bytes.indexOf('\r\n', at)
      if (lineEnd < 0) return undefined
      const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16)
      if (bytes.length < lineEnd + 4 + size) return undefined
      if (size === 0) return done(body, lineEnd + 4)
      body += bytes.toString('utf8', lineEnd + 2, lineEnd + 2 + size)
      at = lineEnd + 4 + size
    }
  }
  const length = headers['content-length']
  if (length === undefined) return ended ? done(bytes.toString('utf8', start), bytes.length) : undefined
  const end = start + Number(length)
  return bytes.length < end ? undefined : done(bytes.toString('utf8', start, end), end)
}

/** A small real PNG. */
export const smallImage = () => makeImage({ type: 'png', width: 8, height: 8 })

export interface Part {
  readonly headers: readonly string[]
  readonly body: string | Uint8Array
}

export const filePart = (body: string | Uint8Array, name = 'files', filename = 'a.png'): Part => ({
  headers: [`Content-Disposition: form-data; name="${name}"; filename="${filename}"`, 'Content-Type: image/png'],
  body,
})

export const textPart = (name: string, body: string): Part => ({
  headers: [`Content-Disposition: form-data; name="${name}"`],
  body,
})

/** A multipart body (RFC 2046 section 5.1.1), as it should be or not. */
export function multipart(
  parts: readonly Part[],
  { boundary = 'XX', padding = '', eol = '\r\n', last = true, preamble = '', epilogue = '\r\n' } = {},
): Buffer {
  const pieces: (string | Uint8Array)[] = [preamble]
  for (const { headers, body } of parts) {
    pieces.push(`--${boundary}${padding}${eol}`, ...headers.map((header) => header + eol), eol, body, eol)
  }
  if (last) pieces.push(`--${boundary}--${epilogue}`)
  return Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)))
}

/** The head of an upload over a raw connection. */
export function uploadHead(length: number | 'chunked', { boundary = 'XX', more = [] as string[] } = {}): string {
  const framing = length === 'chunked' ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`
  return [
    'POST /api/v1/images/upload HTTP/1.1',
    'Host: test',
    `Content-Type: multipart/form-data; boundary=${boundary}`,
    framing,
    ...more,
    '',
    '',
  ].join('\r\n')
}

/** Whether a body is `{"detail":"<one clear sentence>"}` and nothing else. */
export function isDetail(body: string): boolean {
  try {
    const parsed = JSON.parse(body)
    const { detail } = parsed
    return Object.keys(parsed).join() === 'detail' && typeof detail === 'string' && detail !== ''
  } catch {
    return false
  }
}

/** What would tell the client about the inside: a stack, a bucket, an address, a key of the store, a credential. */
export const INTERNALS = /\bat .*:\d+|node:|node_modules|127\.0\.0\.1|ECONN|AWS|S3|bucket|amz|test-images|\.ts\b/i

/** Asks again and again until it is so; false when it never is within `timeout` milliseconds. */
export async function eventually(isSo: () => boolean | Promise<boolean>, timeout = PATIENCE): Promise<boolean> {
  for (const start = Date.now(); ; await sleep(5)) {
    if (await isSo()) return true
    if (Date.now() - start > timeout) return false
  }
}

/** A story as an upload leaves it, for a bucket that has not to be filled over HTTP. */
export function placeStory(standIn: S3StandIn, id: string, image: Buffer, count = 1): string[] {
  const keys = Array.from({ length: count }, (_, index) => `stories/${id}/${index + 1}.png`)
  const ours = { 'written-by': 'story-images' }
  standIn.place(`stories/${id}/0.${count}.json`, '{}', { contentType: 'application/json', metadata: ours })
  for (const key of keys) {
    standIn.place(key, image, { contentType: 'image/png', metadata: { ...ours, width: '8', height: '8' } })
  }
  return keys
}

/** The nth story id, in order, as an upload would make it. */
export const storyId = (n: number): string =>
  `01900000-${(n >>> 16).toString(16).padStart(4, '0')}-7000-8000-${n.toString(16).padStart(12, '0')}`
