import { createHash, createHmac, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { Agent, createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { SignatureV4 } from '@smithy/signature-v4'
import { chance, oneOf } from '../support/random.ts'

/**
 * What can happen to a call on its way:
 *
 * - `refuse`: the connection is cut at once
 * - `cut`: it is cut when half of the request has reached the store
 * - `error`, `slow down`: the store answers 500 InternalError or 503 SlowDown
 * - `lose`: the store carries it out, the answer is lost
 * - `lie`: the store carries it out, and answers 500
 * - `truncate`: half of the answer arrives
 * - `stall`: half of the answer arrives, and the connection stays open
 * - `delay`: it reaches the store later, if its sender still waits
 * - `late`: it reaches the store after its sender has given it up
 * - `short`: the page of a list has a few keys
 * - `full`: a write is answered 507 XMinioStorageFull
 * - `partial`: some keys of a DeleteObjects call are not deleted, and the answer says so, or is lost
 */
export type StoreFault =
  | 'refuse'
  | 'cut'
  | 'error'
  | 'slow down'
  | 'lose'
  | 'lie'
  | 'truncate'
  | 'stall'
  | 'delay'
  | 'late'
  | 'short'
  | 'partial'
  | 'full'

/** How likely each fault is for a call. */
export type Weather = Partial<Record<StoreFault, number>>

export interface StoreAccess {
  /** URLs of the store's nodes; the next one is tried when one does not answer. */
  readonly nodes: readonly string[]
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export interface FaultProxy {
  readonly url: string
  readonly counts: Map<StoreFault, number>
  weather: Weather
  /** Resolves when nothing is on its way. */
  idle(): Promise<void>
  close(): Promise<void>
}

interface Call {
  readonly method: string
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: Buffer
}

/**
 * Passes calls on to an S3 store, with faults. The Host header stays, so that signatures do.
 *
 * @param onLate is told of each key of a write that the store has carried out when its sender was no longer there
 */
export async function startFaultProxy(
  store: StoreAccess,
  random: () => number,
  onLate: (key: string) => void,
): Promise<FaultProxy> {
  const agent = new Agent({ keepAlive: true })
  const counts = new Map<StoreFault, number>()
  const sign = signer(store)
  let weather: Weather = {}
  let running = 0

  const server = createServer((request, response) => {
    running += 1
    handle(request, response)
      // Cut on this side or that
      .catch(() => request.socket.destroy())
      .finally(() => {
        running -= 1
      })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const fault = draw()
    // Its own state does not tell: a response whose connection is gone before its turn came is neither closed nor destroyed
    const { socket } = request
    if (fault === 'refuse') {
      count(fault)
      socket.destroy()
      return
    }
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { method = '', url: path = '', headers } = request
    const call: Call = { method, path, headers: headers as Record<string, string>, body: Buffer.concat(chunks) }
    switch (fault) {
      case 'error':
      case 'slow down':
        count(fault)
        return answerError(response, fault)
      case 'cut':
        count(fault)
        await cut(call)
        socket.destroy()
        return
      case 'lose':
      case 'lie': {
        count(fault)
        await read(await forward(call, socket))
        if (fault === 'lose') socket.destroy()
        else answerError(response, 'error')
        return
      }
      case 'truncate':
      case 'stall': {
        count(fault)
        const answer = await forward(call, socket)
        const body = await read(answer)
        response.writeHead(answer.statusCode ?? 500, answer.headers)
        const closed = isClosed(socket)
        await Promise.race([
          closed,
          new Promise((resolve) => response.write(body.subarray(0, body.length >> 1), resolve)),
        ])
        if (fault === 'stall') await Promise.race([closed, sleep(MOST_STALL_MS)])
        socket.destroy()
        return
      }
      case 'delay':
        count(fault)
        await sleep(100 + 1400 * random())
        if (socket.destroyed) return
        break
      case 'late':
        if (method === 'GET' || method === 'HEAD') break
        count(fault)
        await sleep(2200 + 2000 * random())
        break
      case 'short':
        if (method !== 'GET' || !path.includes('list-type=2')) break
        count(fault)
        await sleep(100 * random())
        return passOn(await forward(await shortened(call), socket), response, socket)
      case 'full':
        if (method !== 'PUT' && (method !== 'POST' || /[?&]delete\b/.test(path))) break
        count(fault)
        return answerError(response, fault)
      case 'partial':
        if (method !== 'POST' || !/[?&]delete\b/.test(path)) break
        count(fault)
        return deleteSome(call, response, socket)
    }
    await passOn(await forward(call, socket), response, socket)
  }

  function draw(): StoreFault | undefined {
    let left = random()
    for (const [fault, likely] of Object.entries(weather)) {
      left -= likely
      if (left < 0) return fault as StoreFault
    }
    return undefined
  }

  function count(fault: StoreFault): void {
    counts.set(fault, (counts.get(fault) ?? 0) + 1)
  }

  /** Carries a call out, whether or not the answer can be delivered. */
  async function forward(call: Call, socket: Socket): Promise<IncomingMessage> {
    const answer = await send(call)
    const isWrite = call.method === 'PUT' ? !call.path.includes('uploadId=') : call.path.includes('uploadId=')
    if (socket.destroyed && isWrite && answer.statusCode === 200) {
      onLate(decodeURIComponent(new URL(call.path, 'http://store').pathname.split('/').slice(2).join('/')))
    }
    return answer
  }

  async function send(call: Call): Promise<IncomingMessage> {
    const first = Math.floor(random() * store.nodes.length)
    for (let attempt = 0; ; attempt++) {
      const outgoing = start(call, (first + attempt) % store.nodes.length)
      outgoing.end(call.body)
      try {
        const [answer] = await once(outgoing, 'response')
        return answer
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code
        const isStale = code === 'ECONNRESET' && outgoing.reusedSocket
        if (attempt >= store.nodes.length || (code !== 'ECONNREFUSED' && !isStale)) throw error
      }
    }
  }

  function start({ method, path, headers }: Call, node: number) {
    const { hostname, port } = new URL(store.nodes[node] as string)
    const outgoing = httpRequest({ agent, hostname, port, method, path, headers })
    // Also when the answer is being read
    outgoing.on('error', () => {})
    return outgoing.setTimeout(STORE_MS, () => {
      outgoing.destroy(new Error('The store does not answer'))
    })
  }

  async function cut(call: Call): Promise<void> {
    const outgoing = start(call, 0)
    outgoing.on('error', () => {})
    await new Promise<void>((resolve) => {
      outgoing.once('error', resolve)
      outgoing.once('response', () => resolve())
      outgoing.write(call.body.subarray(0, call.body.length >> 1), () => setTimeout(resolve, 20))
    })
    outgoing.destroy()
  }

  /** The same call for a page of a few keys. */
  async function shortened(call: Call): Promise<Call> {
    const url = new URL(call.path, 'http://store')
    // Not 1: beside deletions in a bucket with versioning, MinIO then ends some lists too soon, and no caller can tell
    url.searchParams.set('max-keys', String(2 + Math.floor(random() * 5)))
    return sign(call, url, call.body)
  }

  async function deleteSome(call: Call, response: ServerResponse, socket: Socket): Promise<void> {
    const keys = [...call.body.toString().matchAll(/<Key>([^<]+)<\/Key>/g)].map(([, key]) => key as string)
    const kept = keys.filter(() => chance(0.4, random))
    const objects = keys.filter((key) => !kept.includes(key)).map((key) => `<Object><Key>${key}</Key></Object>`)
    if (objects.length > 0) {
      const body = Buffer.from(`<Delete><Quiet>true</Quiet>${objects.join('')}</Delete>`)
      await read(await forward(await sign(call, new URL(call.path, 'http://store'), body), socket))
    }
    if (chance(0.3, random)) {
      socket.destroy()
      return
    }
    const errors = kept.map(
      (key) => `<Error><Key>${key}</Key><Code>InternalError</Code><Message>Try again</Message></Error>`,
    )
    response.writeHead(200, { 'content-type': 'application/xml' })
    response.end(`<?xml version="1.0" encoding="UTF-8"?><DeleteResult>${errors.join('')}</DeleteResult>`)
  }

  return {
    url: `http://127.0.0.1:${port}`,
    counts,
    get weather() {
      return weather
    },
    set weather(next) {
      weather = next
    },
    async idle() {
      while (running > 0) await sleep(20)
    },
    async close() {
      server.closeAllConnections()
      server.close()
      agent.destroy()
    },
  }
}

/** The store itself may be silent for so long, in milliseconds. */
const STORE_MS = 15_000

/** A connection that stalls is held no longer, in milliseconds. */
const MOST_STALL_MS = 6000

async function read(answer: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

async function passOn(answer: IncomingMessage, response: ServerResponse, socket: Socket): Promise<void> {
  const closed = isClosed(socket)
  if (!socket.destroyed) {
    response.writeHead(answer.statusCode ?? 500, answer.headers)
    await Promise.race([closed, pipeline(answer, response)])
  }
  answer.resume()
}

async function isClosed(socket: Socket): Promise<void> {
  if (!socket.destroyed) await new Promise((resolve) => socket.setMaxListeners(0).once('close', resolve))
}

const ERRORS = {
  error: [500, 'InternalError'],
  'slow down': [503, 'SlowDown'],
  full: [507, 'XMinioStorageFull'],
} as const

function answerError(response: ServerResponse, fault: keyof typeof ERRORS): void {
  const [status, code] = ERRORS[fault]
  response.writeHead(status, { 'content-type': 'application/xml' })
  response.end(
    `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${oneOf(['Try again', 'Busy'], Math.random)}</Message><RequestId>${randomUUID()}</RequestId></Error>`,
  )
}

/** Signs changed calls anew. */
function signer({ accessKeyId, secretAccessKey }: StoreAccess) {
  const signature = new SignatureV4({
    service: 's3',
    region: 'us-east-1',
    uriEscapePath: false,
    applyChecksum: false,
    credentials: { accessKeyId, secretAccessKey },
    sha256: Sha256,
  })
  return async ({ method, headers }: Call, url: URL, body: Buffer): Promise<Call> => {
    const sha256 = createHash('sha256').update(body).digest('hex')
    const plain: Record<string, string> = { host: headers.host ?? '', 'x-amz-content-sha256': sha256 }
    if (body.length > 0) {
      plain['content-length'] = String(body.length)
      plain['content-type'] = 'application/xml'
      plain['content-md5'] = createHash('md5').update(body).digest('base64')
    }
    const signed = await signature.sign({
      method,
      protocol: 'http:',
      hostname: url.hostname,
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers: plain,
    })
    const query = Object.entries(signed.query ?? {}).map(
      ([name, value]) => `${escapeText(name)}=${escapeText(String(value))}`,
    )
    return {
      method,
      path: `${url.pathname}?${query.join('&')}`,
      headers: signed.headers as Record<string, string>,
      body,
    }
  }
}

/** RFC 3986 section 2.3, as signatures want it. */
function escapeText(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** What the signing library takes for a digest. */
class Sha256 {
  readonly #hash
  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', bytesOf(secret))
  }
  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(bytesOf(data))
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest()
  }
  reset(): void {}
}

function bytesOf(data: string | ArrayBuffer | ArrayBufferView): string | Uint8Array {
  if (typeof data === 'string') return data
  return ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data)
}
