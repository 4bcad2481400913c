import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { endWithUs } from './end-with-us.ts'
import { ALLOWED_HOSTS } from './hosts.ts'
import { PATIENCE } from './patience.ts'

const SERVER = fileURLToPath(new URL('../../dist/server.js', import.meta.url))

/** A folder that keeps the output of every server, for whoever looks for secrets in it. */
const LOGS = process.env.SERVER_LOGS

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A line of the server's log. */
export interface LogLine {
  readonly level: number
  readonly msg: string
  readonly reqId?: string
  readonly status?: number
  readonly operation?: string
  readonly [member: string]: unknown
}

export interface Launch {
  readonly pid: number
  /** What it wrote so far: standard output, which is the log, and standard error. */
  readonly output: { stdout: string; stderr: string }
  /** Settles when the process is gone and its output is complete. */
  readonly exit: Promise<Exit>
  signal(name: NodeJS.Signals): void
}

export interface ServerProcess extends Launch {
  /** Without a slash at the end. */
  readonly url: string
  readonly port: number
  /** From the start of the process to its first log line that it listens, in milliseconds. */
  readonly startMs: number
  /** Every whole line of the log so far. */
  log(): LogLine[]
  /** SIGTERM, or another signal, and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<Exit>
  /** SIGKILL: no chance to finish anything. */
  kill(): Promise<Exit>
  /** The most memory that the process ever had in use, in bytes (Linux, VmHWM of proc(5)). */
  peakMemory(): Promise<number>
}

/** The only environment that a process of the built server inherits. The SDK's notice on Node.js 20 is not about the tests. */
export const BARE_ENVIRONMENT = { PATH: process.env.PATH, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' }

/**
 * Runs the built server. It gets nothing of this process's environment but PATH, so no setting of the developer's shell counts,
 * and an empty folder to work in, so no `.env` does either.
 */
export function launchServer(environment: Readonly<Record<string, string>>, cwd?: string): Launch {
  const folder = cwd ?? mkdtempSync(join(tmpdir(), 'story-images-cwd-'))
  const child = spawn(process.execPath, [SERVER], {
    cwd: folder,
    env: { ...BARE_ENVIRONMENT, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  endWithUs(child)
  const output = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      output[stream] += text
      if (LOGS) appendFileSync(join(LOGS, `${child.pid}.${stream}`), text)
    })
  }
  const exit = exitOf(child).finally(() => {
    if (cwd === undefined) rmSync(folder, { recursive: true, force: true })
  })
  return { pid: child.pid ?? 0, output, exit, signal: (name) => void child.kill(name) }
}

/**
 * Runs the built server and waits until it listens on a loopback port.
 *
 * @param environment its settings; unless given, PORT is any free one, there are no sweeps, and a busy machine refuses nothing
 * @throws {Error} with all that it wrote, when it ends instead or does not listen in time
 */
export async function startServer(
  environment: Readonly<Record<string, string>>,
  options: { cwd?: string } = {},
): Promise<ServerProcess> {
  const begin = performance.now()
  const defaults = { HOST: '127.0.0.1', PORT: '0', SWEEP_INTERVAL: '0s', MAX_EVENT_LOOP_DELAY: '1m', ALLOWED_HOSTS }
  const launch = launchServer({ ...defaults, ...environment }, options.cwd)
  let ended = false
  void launch.exit.then(() => {
    ended = true
  })
  const log = () => launch.output.stdout.split('\n').slice(0, -1).flatMap(parseLine)
  let port: number | undefined
  while (port === undefined) {
    const line = log().find(({ msg }) => msg.startsWith('Server listening at '))
    if (line) port = Number(new URL(line.msg.slice('Server listening at '.length)).port)
    else if (ended || performance.now() - begin > PATIENCE) {
      launch.signal('SIGKILL')
      throw new Error(`The server did not start: ${launch.output.stdout}${launch.output.stderr}`)
    } else await new Promise((resolve) => setTimeout(resolve, 5))
  }
  const startMs = Math.round(performance.now() - begin)
  const end = (name: NodeJS.Signals) => {
    launch.signal(name)
    return launch.exit
  }
  return {
    ...launch,
    url: `http://127.0.0.1:${port}`,
    port,
    startMs,
    log,
    stop: (signal = 'SIGTERM') => end(signal),
    kill: () => end('SIGKILL'),
    peakMemory: async () => {
      const status = await readFile(`/proc/${launch.pid}/status`, 'utf8')
      return Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1]) * 1024
    },
  }
}

function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
}

/** Nothing for what is no JSON: such lines are to be looked for in the output. */
function parseLine(line: string): LogLine[] {
  try {
    return [JSON.parse(line) as LogLine]
  } catch {
    return []
  }
}
