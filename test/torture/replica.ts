import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { endWithUs } from '../support/end-with-us.ts'

const START_MS = 30_000

/** What is kept of its output, in characters. */
const OUTPUT = 20_000

/** A server under test that is killed and started again on the same port. */
export class Replica {
  readonly url: string
  /** The end of what it wrote. */
  output = ''
  readonly #folder: string
  readonly #environment: Readonly<Record<string, string>>
  #process: ChildProcess | undefined

  private constructor(folder: string, port: number, environment: Readonly<Record<string, string>>) {
    this.#folder = folder
    this.url = `http://127.0.0.1:${port}`
    this.#environment = { ...environment, HOST: '127.0.0.1', PORT: String(port), PATH: process.env.PATH ?? '' }
  }

  /** @param folder has the built server in `dist` */
  static async start(folder: string, environment: Readonly<Record<string, string>>): Promise<Replica> {
    const probe = createServer().listen(0, '127.0.0.1')
    await once(probe, 'listening')
    const { port } = probe.address() as AddressInfo
    await new Promise((resolve) => probe.close(resolve))
    const replica = new Replica(folder, port, environment)
    await replica.start()
    return replica
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    const child = spawn(process.execPath, [join(this.#folder, 'dist', 'server.js')], {
      cwd: this.#folder,
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#process = child
    endWithUs(child)
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output = (this.output + text).slice(-OUTPUT)
      })
    }
    const deadline = performance.now() + START_MS
    while (!(await this.#answers())) {
      if (child.exitCode !== null || performance.now() > deadline) throw new Error(`No start: ${this.output}`)
      await sleep(10)
    }
  }

  async kill(): Promise<void> {
    const child = this.#process
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  /** It stands still for so many milliseconds. */
  async pause(milliseconds: number): Promise<void> {
    this.#process?.kill('SIGSTOP')
    await sleep(milliseconds)
    this.#process?.kill('SIGCONT')
  }

  async #answers(): Promise<boolean> {
    try {
      return (await fetch(`${this.url}/livez`)).ok
    } catch {
      return false
    }
  }
}
