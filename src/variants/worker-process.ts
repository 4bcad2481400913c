import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { extname } from 'node:path'
import type { Duplex, Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { HugeImage, ServerBusy, StoreFailure, UnreadableImage } from '../errors.ts'
import { CODE } from '../package.ts'
import { REST } from './memory.ts'
import type { Problem, Resized } from './resize.ts'
import type { Form } from './variant.ts'

/** How long one picture may take, from its last byte on, in milliseconds. */
const WORK_MS = 30_000

// This file is TypeScript when tests run it
const WORKER = fileURLToPath(new URL(`variants/worker${extname(import.meta.url)}`, CODE))

/** What of the environment a worker gets: how Node, the memory and libvips behave, and no credentials. */
const INHERITED = /^(PATH$|NODE_|LD_|MALLOC_|VIPS_)/

/**
 * Most memory that a worker may map for itself, in KiB (RLIMIT_DATA of setrlimit(2), which counts anonymous mappings since Linux 4.7).
 * What it has in use of its files, Node.js and libvips, comes to some 50 MiB: together less than the 768 MiB of docs/variants.md.
 */
const MOST_DATA = 704 * 1024

/**
 * Becomes the worker, once it has set what the worker can't change any more: when memory runs short the kernel kills it, not the server;
 * one that dies leaves no file of its memory; threads have small stacks, since stacks count as a whole. What can't be set is left out.
 */
const LIMIT =
  '{ echo 1000 >/proc/self/oom_score_adj; ulimit -c 0; ulimit -s 2048; ulimit -d "$0"; } 2>/dev/null; exec "$@"'

/** The shell's exit status where there is no such command. */
const NOT_STARTED = 127

/** How a process ends that gets no more memory: GLib traps, V8 and the C++ library abort. */
const ABORTED: readonly unknown[] = ['SIGTRAP', 'SIGABRT']

/** For compiled code V8 maps 512 MiB from Node.js 24 on, which would count. A worker has hardly any code, and needs none compiled. */
const FLAGS = ['--expose-gc', ...(Number.parseInt(process.versions.node, 10) >= 24 ? ['--jitless'] : [])]

export interface Order {
  /** Bytes of the source. */
  readonly size: number
  readonly width: number
  readonly form: Form
}

export type Answer = ((Omit<Resized, 'bytes'> & { readonly size: number }) | { readonly problem: Problem }) & {
  /** Bytes of memory that the worker has in use now. */
  readonly memory: number
}

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
  #memory = 0
  /** Settles when the process is gone. */
  readonly ended: Promise<void>

  /**
   * @param workMs how long one picture may take, from its last byte on
   * @param mostData KiB of memory that it may map
   * @throws {ServerBusy} when there can't be another process, for want of files, memory or processes
   */
  constructor(workMs = WORK_MS, mostData = MOST_DATA) {
    this.#workMs = workMs
    this.#child = start(mostData)
    this.#bytes = this.#child.stdio[4] as Duplex
    this.ended = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        this.#lose(reasonOf(code, signal))
        resolve()
      })
    })
    // How it ended tells more than what could no longer be sent to it
    for (const part of [this.#child, this.#bytes]) part.on('error', () => this.#child.kill('SIGKILL'))
  }

  get isAlive(): boolean {
    return !this.#died.signal.aborted
  }

  /** False when it is gone, and when it kept so much memory that the next image would not have enough. */
  get isReusable(): boolean {
    return this.isAlive && this.#memory <= REST
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
    // Whatever goes wrong here is the end of the process, which tells why
    this.#child.send(order, () => {})
    let left = order.size
    for await (const chunk of source) {
      signal.throwIfAborted()
      left -= chunk.length
      if (!this.#bytes.write(chunk)) await once(this.#bytes, 'drain', { signal }).catch(() => this.ended)
    }
    // With fewer bytes the worker would wait for the rest
    if (left !== 0) throw new StoreFailure({ cause: new Error(`${left} bytes are missing`) })
    const timer = setTimeout(() => this.#lose(new HugeImage()), this.#workMs)
    const [answer] = await answered.finally(() => clearTimeout(timer))
    this.#memory = answer.memory
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

function reasonOf(code: number | null, signal: NodeJS.Signals | null): Error {
  if (code === NOT_STARTED) return new ServerBusy({ cause: new Error('Node.js could not be started') })
  return ABORTED.includes(signal) ? new HugeImage() : new WorkerDied('The worker is gone')
}

function start(mostData: number): ChildProcess {
  const inherited = Object.entries(process.env).filter(([name]) => INHERITED.test(name))
  try {
    const child = fork(WORKER, {
      execPath: '/bin/sh',
      execArgv: ['-c', LIMIT, String(mostData), process.execPath, ...FLAGS, ...process.execArgv],
      // Large blocks go back to the system when they are freed. A warning of libvips is about the image, not about the server
      env: {
        MALLOC_ARENA_MAX: '2',
        MALLOC_MMAP_THRESHOLD_: '1048576',
        VIPS_WARNING: '0',
        ...Object.fromEntries(inherited),
        // Never a temporary file: it may lie in memory, and the limit would not count it
        VIPS_DISC_THRESHOLD: '4g',
      },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc', 'pipe'],
    })
    if (child.pid !== undefined) return child
    // Why there is none is said later, and nobody else listens
    child.on('error', () => {})
  } catch (cause) {
    throw new ServerBusy({ cause })
  }
  throw new ServerBusy({ cause: new Error('no process could be started') })
}
