import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Duplex, Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { HugeImage, ServerBusy, StoreFailure, UnreadableImage } from '../errors.ts'
import type { Problem, Resized } from './resize.ts'
import type { Form } from './variant.ts'

/** How long one picture may take, from its last byte on, in milliseconds. */
const WORK_MS = 30_000

// This file is TypeScript when tests run it
const WORKER = fileURLToPath(import.meta.url).replace(/worker-process(\.\w+)$/, 'worker$1')

/** What of the environment a worker gets: how Node, the memory and libvips behave, and no credentials. */
const INHERITED = /^(PATH$|NODE_|LD_|MALLOC_|VIPS_)/

export interface Order {
  /** Bytes of the source. */
  readonly size: number
  readonly width: number
  readonly form: Form
}

export type Answer = (Omit<Resized, 'bytes'> & { readonly size: number }) | { readonly problem: Problem }

/** A variant on its way out of a worker. */
export interface Made extends Omit<Resized, 'bytes'> {
  readonly body: AsyncIterable<Uint8Array>
}

/** The worker ended by itself, or was killed by somebody else. */
export class WorkerDied extends Error {}

/**
 * A process that makes pictures smaller, one at a time. A process, since libvips would take the threads that the disk store needs, and
 * may crash or take a lot of memory on a picture that was made for that.
 */
export class WorkerProcess {
  readonly #child: ChildProcess
  readonly #bytes: Duplex
  readonly #workMs: number
  readonly #died = new AbortController()
  /** Settles when the process is gone. */
  readonly ended: Promise<void>

  /**
   * @param workMs how long one picture may take, from its last byte on
   * @throws {ServerBusy} when there can't be another process, for want of files, memory or processes
   */
  constructor(workMs = WORK_MS) {
    this.#workMs = workMs
    this.#child = start()
    this.#bytes = this.#child.stdio[4] as Duplex
    // Which of these comes first when a process dies is chance
    this.ended = once(this.#child, 'exit').then(
      () => this.#lose(new WorkerDied('The worker is gone')),
      (cause) => this.#lose(new WorkerDied('The worker did not start', { cause })),
    )
    this.#bytes.on('error', (cause) => this.#lose(new WorkerDied('The worker can not be reached', { cause })))
    this.#child.on('error', (cause) => this.#lose(new WorkerDied('The worker can not be reached', { cause })))
  }

  get isAlive(): boolean {
    return !this.#died.signal.aborted
  }

  /**
   * Has a picture made smaller. After an error that is not about the picture the process is of no use any more.
   *
   * @param use takes the bytes; the process is free again when it is done
   * @throws {UnreadableImage | HugeImage | WorkerDied} or what `source` and `use` reject with
   */
  async make<T>(source: Readable, order: Order, use: (made: Made) => Promise<T>): Promise<T> {
    const { signal } = this.#died
    try {
      const answer = await this.#answer(source, order)
      if ('problem' in answer) throw answer.problem === 'huge' ? new HugeImage() : new UnreadableImage()
      return await use({ ...answer, body: this.#read(answer.size) })
    } catch (error) {
      source.destroy()
      if (error instanceof UnreadableImage || (error instanceof HugeImage && !signal.aborted)) throw error
      // What is still on its way would be taken for the next picture
      this.#lose(error)
      throw signal.reason
    }
  }

  async #answer(source: Readable, order: Order): Promise<Answer> {
    const { signal } = this.#died
    signal.throwIfAborted()
    const answered = once(this.#child, 'message', { signal }) as Promise<[Answer]>
    // When something else fails first
    answered.catch(() => {})
    this.#child.send(order)
    let left = order.size
    for await (const chunk of source) {
      signal.throwIfAborted()
      left -= chunk.length
      if (!this.#bytes.write(chunk)) await once(this.#bytes, 'drain', { signal })
    }
    // With fewer bytes the worker would wait for the rest
    if (left !== 0) throw new StoreFailure().because(new Error(`${left} bytes are missing`))
    const timer = setTimeout(() => this.#lose(new HugeImage()), this.#workMs)
    const [answer] = await answered.finally(() => clearTimeout(timer))
    return answer
  }

  /** Lets the process end, which it does at once when it has nothing to do. */
  end(): void {
    if (this.#child.connected) this.#child.disconnect()
  }

  /** Only the first reason counts. */
  #lose(reason: unknown): void {
    this.#died.abort(reason)
    this.#child.kill('SIGKILL')
  }

  async *#read(size: number): AsyncGenerator<Uint8Array> {
    let left = size
    for await (const chunk of this.#bytes.iterator({ destroyOnReturn: false })) {
      left -= (chunk as Buffer).length
      yield chunk as Buffer
      if (left === 0) return
    }
    // That the process is gone may be known only later
    throw new WorkerDied('The worker is gone')
  }
}

function start(): ChildProcess {
  const inherited = Object.entries(process.env).filter(([name]) => INHERITED.test(name))
  try {
    const child = fork(WORKER, {
      // A warning of libvips is about the picture, not about the server
      env: { MALLOC_ARENA_MAX: '2', VIPS_WARNING: '0', ...Object.fromEntries(inherited) },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc', 'pipe'],
    })
    if (child.pid !== undefined) return child
    // Why there is none is said later, and nobody else listens
    child.on('error', () => {})
  } catch (cause) {
    throw new ServerBusy().because(cause)
  }
  throw new ServerBusy().because(new Error('no process could be started'))
}
