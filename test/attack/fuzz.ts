/**
 * Sends mutated uploads to the server in this process, over real connections, and writes what came of it to standard output; ends
 * with 1 if anything was wrong. A program of its own, since a test runner's hooks on every asynchronous call double the time.
 *
 * `FUZZ_BODIES=100000 FUZZ_SEED=1 node --expose-gc --import ./build/typescript.mjs test/attack/fuzz.ts`
 */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { buildApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { hash } from '../../src/io/hash.ts'
import { openDiskStore } from '../../src/store/disk/disk-store.ts'
import type { ObjectStore } from '../../src/store/object-store.ts'
import { eventually, isDetail } from '../support/app.ts'
import { ALLOWED_HOSTS } from '../support/hosts.ts'
import { chance, oneOf, randomFrom } from '../support/random.ts'
import { readForm } from './form.ts'
import { openMemoryStore } from './memory-store.ts'
import { mutate, type Upload } from './mutate.ts'
import { Wire, type WireAnswer } from './wire.ts'

const BODIES = Number(process.env.FUZZ_BODIES ?? 2000)
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000)
const BATCHES = 10
/** To each store. */
const CONNECTIONS = { disk: 3, memory: 13 }
/** A hundred images on a disk that others use take seconds. */
const ANSWER_MS = 120_000
const HANG_UP_MS = 150
const MOST_PROBLEMS = 10
const MIB = 1024 * 1024

interface Seed extends Upload {
  readonly client: string
  /** Without the fields that frame the body. */
  readonly head: string
}

/** What real clients sent, byte for byte, and one made by hand after what Chrome sends for a form. */
const CAPTURES = new URL('captures/', import.meta.url)
const SEEDS: readonly Seed[] = readdirSync(CAPTURES).map((client) => {
  const bytes = readFileSync(new URL(client, CAPTURES))
  const headEnd = bytes.indexOf('\r\n\r\n')
  const head = bytes.toString('latin1', 0, headEnd + 2)
  const body = bytes.subarray(headEnd + 4)
  return {
    client,
    head: head.replace(/^(content-length|transfer-encoding|expect|connection):.*\r\n/gim, ''),
    boundary: /boundary="?([^"\r\n;]+)/i.exec(head)?.[1] ?? '',
    body: /^transfer-encoding: chunked/im.test(head) ? unchunked(body) : body,
  }
})

function unchunked(bytes: Buffer): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at)
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16)
    if (size === 0) return Buffer.concat(pieces)
    pieces.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size))
    at = lineEnd + 4 + size
  }
}

interface Attack {
  readonly how: string
  readonly boundary: string
  readonly body: Buffer
  /** All that goes over the wire. */
  readonly request: Buffer
  /** Whether head and framing are as they should be, so that another request may follow. */
  readonly isFramed: boolean
  /** Whether nothing was done to the capture. */
  readonly isWhole: boolean
}

const random = randomFrom(SEED)
const under = (limit: number) => Math.floor(random() * limit)

function attack(): Attack {
  const seed = oneOf(SEEDS, random)
  const isWhole = chance(0.03, random)
  const { body, how } = isWhole ? { body: seed.body, how: 'nothing' } : mutate(seed, random, SEEDS)
  const framing = random()
  const head = (framing: string) => Buffer.from(`${seed.head}${framing}\r\n\r\n`, 'latin1')
  const sized = (length: number) => Buffer.concat([head(`Content-Length: ${length}`), body])
  const attack = { boundary: seed.boundary, body, isFramed: true, isWhole, how: `${seed.client}: ${how}` }
  if (framing < 0.2) return { ...attack, request: Buffer.concat([head('Transfer-Encoding: chunked'), chunked(body)]) }
  if (framing < 0.21) {
    const length = Math.max(0, body.length + (chance(0.5, random) ? 1 : -1) * (1 + under(50)))
    return { ...attack, how: `${attack.how}, wrong length`, request: sized(length), isFramed: false, isWhole: false }
  }
  if (framing < 0.25) {
    const broken = mutate({ ...seed, body: head(`Content-Length: ${body.length}`) }, random, SEEDS)
    const request = Buffer.concat([broken.body, body])
    return { ...attack, how: `${attack.how}, head ${broken.how}`, request, isFramed: false, isWhole: false }
  }
  return { ...attack, request: sized(body.length) }
}

function chunked(body: Buffer): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    const piece = body.subarray(at, at + 1 + under(chance(0.3, random) ? 20 : 5000))
    pieces.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'))
    at += piece.length
  }
  return Buffer.concat([...pieces, Buffer.from('0\r\n\r\n')])
}

const statuses: Record<string, number> = {}
const problems: string[] = []
let answered = 0

/** A server on a store, and what it has taken since it was last looked at. */
class Target {
  /** Ids of the stories that were answered 200. */
  readonly taken = new Set<string>()
  /** Answers that nobody waited for, or that broke off behind a refusal. */
  unheard = 0
  readonly port: number

  constructor(
    readonly app: FastifyInstance,
    readonly store: ObjectStore,
    readonly read: (key: string) => Buffer | undefined,
  ) {
    this.port = (app.server.address() as AddressInfo).port
  }

  static async open(store: ObjectStore, read: (key: string) => Buffer | undefined): Promise<Target> {
    // A reservation that is not given back would soon leave no memory for any upload, and each waits for it only shortly
    const config = readConfig({
      LOG_LEVEL: 'silent',
      UPLOAD_MEMORY: '48MiB',
      UPLOAD_WAIT: '5s',
      // This process is the clients as well, so all of them are slow when it is busy
      CLIENT_TIMEOUT: '5s',
      MAX_EVENT_LOOP_DELAY: '1m',
      // What is damaged here is the form: each image has to arrive byte for byte
      STRIP_METADATA: 'none',
      ALLOWED_HOSTS,
      // A browser's capture is of a page that has none
      CORS_ORIGINS: '*',
    })
    const app = await buildApp(config, store)
    await app.listen({ host: '127.0.0.1', port: 0 })
    return new Target(app, store, read)
  }

  /** Sends uploads until so many were answered in all. */
  async work(until: number): Promise<void> {
    let wire = await Wire.open(this.port)
    while (answered < until && problems.length < MOST_PROBLEMS) {
      const attacks = [attack()]
      while (attacks[0]?.isFramed && attacks.length < 4 && chance(0.2, random)) {
        const next = attack()
        if (next.isFramed) attacks.push(next)
      }
      await this.#send(wire, attacks)
      const isUsable = attacks.every(({ isFramed }) => isFramed) && !wire.ended && chance(0.98, random)
      if (isUsable) continue
      wire.close()
      wire = await Wire.open(this.port)
    }
    wire.close()
  }

  /** Sends some uploads over one connection, one behind the other, without waiting in between. */
  async #send(wire: Wire, attacks: readonly Attack[]): Promise<void> {
    const bytes = Buffer.concat(attacks.map(({ request }) => request))
    const isCut = chance(0.4, random)
    for (let at = 0; at < bytes.length; ) {
      const size = isCut ? 1 + under(chance(0.2, random) ? 30 : bytes.length) : bytes.length
      wire.write(bytes.subarray(at, at + size))
      at += size
      if (chance(0.5, random)) await new Promise(setImmediate)
    }
    for (const [index, sent] of attacks.entries()) {
      try {
        const answer = await wire.answer(sent.isFramed ? ANSWER_MS : HANG_UP_MS)
        if (answer) this.#judge(sent, answer)
        // Whoever's request before was refused, or whose own is none, may find the connection closed
        else if (index === 0 && sent.isFramed) report(sent, 'no answer')
        else this.unheard++
        if (!answer) return
        if (/^connection: close$/im.test(answer.head)) {
          this.unheard += attacks.length - index - 1
          return wire.close()
        }
      } catch (error) {
        // The server may wait for the rest of what is not framed: then it is the client that hangs up
        if (sent.isFramed) report(sent, String(error))
        else this.unheard++
        return wire.close()
      }
    }
  }

  #judge(sent: Attack, answer: WireAnswer): void {
    answered++
    statuses[answer.status] = (statuses[answer.status] ?? 0) + 1
    const problem = this.#problem(sent, answer)
    if (problem) report(sent, `${problem}: ${answer.status} ${answer.body.slice(0, 300)}`)
  }

  #problem(sent: Attack, answer: WireAnswer): string | undefined {
    if (answer.status >= 500) return 'a 5xx'
    if (answer.status !== 200) {
      if (!isDetail(answer.body)) return 'an error without "detail"'
      return sent.isWhole ? 'a good upload refused' : undefined
    }
    const { story_id, image_paths, image_count } = JSON.parse(answer.body)
    this.taken.add(story_id)
    const images = image_paths.map((path: string) => this.read(path.slice('/images/'.length)))
    if (images.length !== image_count || image_count === 0 || images.includes(undefined)) return 'an image is missing'
    if (!sent.isFramed) return undefined
    const { isComplete, parts } = readForm(sent.body, sent.boundary)
    if (!isComplete) return 'an unfinished body taken'
    if (parts.some(({ kind }) => kind === 'broken')) return 'a part passed over'
    let spare = images.length - parts.filter(({ kind }) => kind === 'file').length
    for (const { kind, name, body } of parts) {
      if (kind === 'text' && name === 'files') return 'a text field named "files" taken'
      if (kind === 'file' && name !== 'files') return 'a file of another name taken'
      if (kind === 'text') continue
      // It may have been read as a text field
      if (kind === 'unclear' && (spare === 0 || !images[0]?.equals(body))) continue
      if (kind === 'unclear') spare--
      if (!images.shift()?.equals(body)) return 'a file that was not stored as it was sent'
    }
    return images.length > 0 ? 'more stored than was sent' : undefined
  }

  /** Compares what is listed with what was answered, and removes it. */
  async look(): Promise<void> {
    if (!(await eventually(async () => (await this.connections()) === 0, ANSWER_MS)))
      problems.push('a connection is left')
    // An upload whose client has left takes back what it has stored, and only then gives its memory back
    const held = async () => /^story_images_capacity_used_bytes\S* [1-9].*/m.exec(await this.app.metrics.text())?.[0]
    if (!(await eventually(async () => !(await held())))) problems.push(`is not given back: ${await held()}`)
    const list: { story_id: string }[] = JSON.parse(await this.#ask('GET'))
    const listed = new Set(list.map(({ story_id }) => story_id))
    if ([...this.taken].some((id) => !listed.has(id))) problems.push('a story that was answered 200 is not listed')
    if (listed.size - this.taken.size > this.unheard) problems.push('a story is listed that nobody was told of')
    this.taken.clear()
    this.unheard = 0
    await this.#ask('DELETE')
    for await (const page of this.store.list({ prefix: '' })) problems.push(`left in the store: ${page[0]?.key}`)
  }

  async #ask(method: string): Promise<string> {
    const wire = await Wire.open(this.port)
    wire.write(`${method} /api/v1/images HTTP/1.1\r\nHost: fuzz\r\nConnection: close\r\n\r\n`)
    const answer = await wire.answer(ANSWER_MS)
    wire.close()
    if (answer?.status !== 200) throw new Error(`${method}: ${answer?.status} ${answer?.body}`)
    return answer.body
  }

  connections(): Promise<number> {
    return new Promise((resolve, reject) =>
      this.app.server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
    )
  }
}

function report(sent: Attack, problem: string): void {
  problems.push(`${problem}\n${sent.how}\n${sent.request.toString('base64')}`)
}

function measure() {
  gc?.()
  const { heapUsed, rss, external } = process.memoryUsage()
  return { heap: heapUsed, rss, buffers: external, files: openFiles() }
}

const openFiles = () => readdirSync('/proc/self/fd').length

const folder = mkdtempSync(join(tmpdir(), 'story-images-fuzz-'))
const disk = await Target.open(await openDiskStore(folder), (key) => readFileSync(join(folder, key)))
const memoryStore = openMemoryStore()
const memory = await Target.open(memoryStore, (key) => memoryStore.objects.get(key))

// Its thread starts with the first picture that is not small, which may come after the first mark
await hash([Buffer.alloc(MIB)])

const marks: ReturnType<typeof measure>[] = []
const begin = performance.now()
for (let batch = 1; batch <= BATCHES && problems.length === 0; batch++) {
  await Promise.all([
    ...Array.from({ length: CONNECTIONS.disk }, () => disk.work((BODIES * batch) / BATCHES)),
    ...Array.from({ length: CONNECTIONS.memory }, () => memory.work((BODIES * batch) / BATCHES)),
  ])
  await disk.look()
  await memory.look()
  marks.push(measure())
}
const seconds = (performance.now() - begin) / 1000

const [first, last] = [marks[0], marks.at(-1)]
if (first && last) {
  if (last.heap - first.heap > 10 * MIB) problems.push('the heap has grown')
  if (last.rss - first.rss > 100 * MIB) problems.push('the process has grown')
  if (!(await eventually(() => openFiles() <= first.files))) problems.push('files are left open')
}
if (!(await eventually(() => readdirSync(join(folder, '.tmp')).length === 0))) problems.push('a temporary file is left')
for (const { app, store } of [disk, memory]) {
  await app.close()
  await store.close()
}
rmSync(folder, { recursive: true })

const mib = (bytes: number) => (bytes / MIB).toFixed(0)
console.log(`seed ${SEED}: ${answered} answers in ${seconds.toFixed(0)} s: ${JSON.stringify(statuses)}`)
for (const what of ['heap', 'rss', 'buffers'] as const) {
  console.log(`${what}, MiB, after each tenth: ${marks.map((mark) => mib(mark[what])).join(' ')}`)
}
console.log(`open files: ${marks.map(({ files }) => files).join(' ')}`)
for (const problem of problems) console.log(`PROBLEM: ${problem}`)
process.exitCode = problems.length > 0 ? 1 : 0
