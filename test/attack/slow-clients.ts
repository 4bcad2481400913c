/**
 * Holds slow connections to a server while a normal client goes on, and tells what that costs the normal one:
 *
 * `npm run build && node --import ./build/typescript.mjs test/attack/slow-clients.ts` (CONNECTIONS=2000, ROUNDS=3, SECONDS=6 of each phase, KINDS=…)
 *
 * Idle and held phases take turns in one run, since only figures that were taken side by side can be compared. The slow clients
 * are a process of their own: this program, with URL set.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { eventually } from '../support/app.ts'
import { bigImage } from '../support/images.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'

const UPLOAD_HEAD =
  'POST /api/v1/images/upload HTTP/1.1\r\nHost: slow\r\nContent-Type: multipart/form-data; boundary=XX\r\nContent-Length: 1000000\r\n\r\n'
const PART_HEAD = '--XX\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n\x89PNG\r\n\x1a\n'

interface Slowness {
  /** Sent at once. */
  readonly first: (image: string) => string
  /** Sent every second. */
  readonly drip?: string
  /** Whether answers are left where they are. */
  readonly readsNothing?: true
}

export const KINDS: Readonly<Record<string, Slowness>> = {
  headers: { first: () => 'GET /api/v1/images HTTP/1.1\r\nHost: slow\r\nX: ', drip: 'x' },
  bodies: { first: () => UPLOAD_HEAD, drip: '-' },
  begun: { first: () => UPLOAD_HEAD + PART_HEAD + 'x'.repeat(16 * 1024), drip: 'x'.repeat(2048) },
  images: { first: (image) => `GET ${image} HTTP/1.1\r\nHost: slow\r\n\r\n`, readsNothing: true },
  lists: { first: () => 'GET /api/v1/images HTTP/1.1\r\nHost: slow\r\n\r\n', readsNothing: true },
}

/** The process of the slow clients: opens connections and keeps them; a line for what came of them when it is told to end. */
async function hold(url: URL): Promise<void> {
  const kinds = (process.env.KINDS ?? '').split(',')
  const count = Number(process.env.CONNECTIONS)
  const open = new Set<Socket>()
  const answers: Record<string, number> = {}
  const lost: Record<string, number> = {}
  function add(kind: string): Promise<void> {
    const { first, drip, readsNothing } = KINDS[kind] as Slowness
    // Of another address than the normal client, which the server tells apart
    const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true, localAddress: '127.0.0.2' })
    const timer = setInterval(() => drip && socket.write(drip), 1000)
    open.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => {
      clearInterval(timer)
      open.delete(socket)
      lost[kind] = (lost[kind] ?? 0) + 1
    })
    if (!readsNothing) {
      socket.on('data', (bytes) => {
        const status = `${kind} ${bytes.toString('latin1', 9, 12)}`
        answers[status] = (answers[status] ?? 0) + 1
      })
    }
    socket.write(first(url.pathname))
    return new Promise((resolve) => {
      socket.once('connect', resolve)
      socket.once('close', resolve)
    })
  }
  for (let n = 0; n < count; n += 50) {
    await Promise.all(
      Array.from({ length: Math.min(50, count - n) }, (_, k) => add(kinds[(n + k) % kinds.length] ?? '')),
    )
  }
  process.send?.({ open: open.size })
  process.once('message', () => process.send?.({ open: open.size, lost, answers }, () => process.exit()))
}

interface Figures {
  readonly p50: number
  readonly p99: number
  readonly most: number
  readonly count: number
}

interface Held {
  readonly open: number
  readonly lost: Readonly<Record<string, number>>
  readonly answers: object
}

export interface Outcome {
  /** Milliseconds of a request, by what it was. */
  readonly idle: Readonly<Record<string, Figures>>
  readonly held: Readonly<Record<string, Figures>>
  /** Every answer to the normal client that was no 200. */
  readonly refused: readonly string[]
  /** Slow connections that were open at the end of each held phase, those that were lost until then by kind, and what they were answered. */
  readonly slow: readonly Held[]
  /** In MiB: before, with the slow clients, and when they are gone. */
  readonly rss: readonly number[]
  /** Open files of the server, likewise. */
  readonly files: readonly number[]
}

export async function slowClients(options: {
  readonly connections: number
  readonly rounds: number
  /** Of each phase, in seconds. */
  readonly seconds: number
  readonly kinds: readonly string[]
  /** Of the server. */
  readonly environment?: Readonly<Record<string, string>>
}): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'story-images-slow-'))
  const server = await startServer({ DATA_DIR: folder, ...options.environment })
  try {
    const large = await upload(server, [await bigImage(8_000_000)])
    const small = [await bigImage(100_000), await bigImage(100_000)]
    const image = await upload(server, small)
    for (let n = 1; n < 20; n++) await upload(server, small)
    const times = { idle: {} as Record<string, number[]>, held: {} as Record<string, number[]> }
    const refused: string[] = []
    const slow: Held[] = []
    const files = openFiles(server)
    const rss = [await memory(server)]
    let mostRss = 0
    let mostFiles = 0
    let filesAfter = 0

    async function normal(phase: 'idle' | 'held'): Promise<void> {
      const end = performance.now() + options.seconds * 1000
      const timed = async (what: string, work: () => Promise<Response>) => {
        const begin = performance.now()
        const response = await work()
        if (response.status === 200) await response.arrayBuffer()
        else refused.push(`${what}: ${response.status} ${await response.text()}`)
        const all = times[phase]
        all[what] = [...(all[what] ?? []), performance.now() - begin]
      }
      while (performance.now() < end) {
        await timed('upload', () => fetch(`${server.url}/api/v1/images/upload`, { method: 'POST', body: form(small) }))
        await timed('image', () => fetch(server.url + image))
        await timed('ids', () => fetch(`${server.url}/api/v1/images/story-ids`))
        await timed('livez', () => fetch(`${server.url}/livez`))
      }
    }

    await normal('idle')
    times.idle = {}
    for (let round = 0; round < options.rounds; round++) {
      await normal('idle')
      const child = spawn(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url)], {
        env: {
          ...process.env,
          URL: server.url + large,
          KINDS: options.kinds.join(),
          CONNECTIONS: String(options.connections),
        },
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      })
      try {
        await once(child, 'message')
        // What the kernel takes for the slow readers is sent at once
        await sleep(options.connections)
        await normal('held')
        mostRss = Math.max(mostRss, await memory(server))
        mostFiles = Math.max(mostFiles, openFiles(server))
        child.send('end')
        const [told] = await once(child, 'message')
        slow.push(told)
      } finally {
        child.kill('SIGKILL')
      }
      // A server that cleans up opens files for a moment, too: only what is leaked is there at each look
      await eventually(() => {
        filesAfter = openFiles(server)
        return filesAfter <= files + 10
      })
    }
    return {
      idle: summary(times.idle),
      held: summary(times.held),
      refused,
      slow,
      rss: [...rss, mostRss, await memory(server)],
      files: [files, mostFiles, filesAfter],
    }
  } finally {
    await server.kill()
    rmSync(folder, { recursive: true })
  }
}

function form(images: readonly Buffer[]): FormData {
  const form = new FormData()
  for (const image of images) form.append('files', new Blob([Uint8Array.from(image)]), 'a.png')
  return form
}

/** The path of its first image. */
async function upload(server: ServerProcess, images: readonly Buffer[]): Promise<string> {
  const answer = await fetch(`${server.url}/api/v1/images/upload`, { method: 'POST', body: form(images) })
  if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`)
  const { image_paths } = (await answer.json()) as { image_paths: string[] }
  return image_paths[0] ?? ''
}

const openFiles = ({ pid }: ServerProcess) => readdirSync(`/proc/${pid}/fd`).length

async function memory({ pid }: ServerProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Math.round(Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1]) / 1024)
}

function summary(times: Readonly<Record<string, number[]>>): Record<string, Figures> {
  return Object.fromEntries(
    Object.entries(times).map(([what, all]) => {
      const sorted = all.toSorted((a, b) => a - b)
      const at = (share: number) => Math.round((sorted[Math.floor(share * (sorted.length - 1))] ?? 0) * 10) / 10
      return [what, { p50: at(0.5), p99: at(0.99), most: at(1), count: sorted.length }]
    }),
  )
}

/** What came of it, in lines. */
export function describe({ idle, held, refused, slow, rss, files }: Outcome): string[] {
  return [
    ...Object.keys(idle).map(
      (what) =>
        `${what}, ms: idle p50 ${idle[what]?.p50} p99 ${idle[what]?.p99} (${idle[what]?.count}), held p50 ${held[what]?.p50} p99 ${held[what]?.p99} (${held[what]?.count})`,
    ),
    `resident, MiB: ${rss.join(', ')}; open files: ${files.join(', ')}`,
    ...slow.map((told) => `slow connections: ${JSON.stringify(told)}`),
    `refused: ${refused.length} ${[...new Set(refused)].slice(0, 3).join(' | ')}`,
  ]
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.env.URL) await hold(new URL(process.env.URL))
  else {
    const outcome = await slowClients({
      connections: Number(process.env.CONNECTIONS ?? 2000),
      rounds: Number(process.env.ROUNDS ?? 3),
      seconds: Number(process.env.SECONDS ?? 6),
      kinds: (process.env.KINDS ?? Object.keys(KINDS).join()).split(','),
    })
    for (const line of describe(outcome)) console.log(line)
  }
}
