import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { promisify } from 'node:util'

const START_MS = 60_000
/** Unit of the times in proc(5); 100 a second on every Linux. */
const TICK_MS = 10

export interface Command {
  readonly argv: readonly [string, ...string[]]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** A server, and what proc(5) says of it and its children. */
export interface Running {
  readonly pid: number
  /** Without a slash at the end. */
  readonly url: string
  /** CPU time so far, in milliseconds. */
  cpu(): number
  /** Memory in use, in bytes. */
  rss(): number
  /** The most memory that was ever in use, in bytes. */
  peak(): number
  stop(): Promise<void>
}

export const run = promisify(execFile)

const alive = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})

/**
 * Starts a server and waits until it takes connections. It gets PATH, PORT and its own variables, nothing else.
 *
 * @throws {Error} with the last that it wrote, when it ends instead or takes more than a minute
 */
export async function start(commandFor: (port: number) => Command): Promise<Running> {
  const port = await freePort()
  const command = commandFor(port)
  const [file, ...args] = command.argv
  const child = spawn(file, args, {
    env: { PATH: process.env.PATH, NODE_ENV: 'production', ...command.env, PORT: String(port) },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(command.cwd !== undefined && { cwd: command.cwd }),
  })
  alive.add(child)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-4000)
    })
  }
  let failure: string | undefined
  child.once('error', (error) => {
    failure = error.message
  })
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => {
      alive.delete(child)
      failure ??= 'it ended'
      resolve()
    })
  })
  for (const begin = Date.now(); !(await isListening(port)); await sleep(20)) {
    if (failure !== undefined || Date.now() - begin > START_MS) {
      child.kill('SIGKILL')
      throw new Error(`${command.argv.join(' ')} did not start: ${failure ?? 'it took too long'}\n${output}`)
    }
  }
  const pid = child.pid ?? 0
  return {
    pid,
    url: `http://127.0.0.1:${port}`,
    cpu: () => family(pid).reduce((sum, { ticks }) => sum + ticks, 0) * TICK_MS,
    rss: () => family(pid).reduce((sum, member) => sum + memory(member.pid, 'VmRSS'), 0),
    peak: () => family(pid).reduce((sum, member) => sum + memory(member.pid, 'VmHWM'), 0),
    async stop() {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await ended
      clearTimeout(timer)
    },
  }
}

/** CPU time of this process's children that have ended, in milliseconds: of the load generator, after it ran. */
export function endedChildrenCpu(): number {
  const fields = statOf(process.pid)
  return (Number(fields[13]) + Number(fields[14])) * TICK_MS
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true))
      .once('error', () => resolve(false))
      .once('connect', () => socket.destroy())
  })
}

/** Returns the fields of /proc/<pid>/stat after the command's name; the first is the state. Returns none if the process has ended. */
function statOf(pid: number | string): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    // It has ended
    return []
  }
}

/** A process and its children, such as nginx's worker. */
function family(pid: number): { pid: number; ticks: number }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({ pid: Number(name), fields: statOf(name) }))
    .filter((found) => found.pid === pid || Number(found.fields[1]) === pid)
    .map((found) => ({ pid: found.pid, ticks: Number(found.fields[11]) + Number(found.fields[12]) }))
}

function memory(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const line = new RegExp(`^${field}:\\s*(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  return Number(line?.[1] ?? 0) * 1024
}
