import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { extname } from 'node:path'
import type { Duplex, Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { HugeImage, ServerBusy, StoreFailure, UnreadableImage } from '../errors.ts'
import type { VariantShape } from '../layout/variant.ts'
import type { FoundObject } from '../store/object-store.ts'
import { CODE } from '../version.ts'
import { IDLE_MEMORY } from './memory.ts'
import type { Problem, Variant } from './resize.ts'

/** How long a job may take after its last byte was sent, in milliseconds. With the waits before it, less than the 120 s of deploy/aws. */
const JOB_TIMEOUT_MS = 80_000

// This file is TypeScript when tests run it
const WORKER = fileURLToPath(new URL(`variants/worker${extname(import.meta.url)}`, CODE))

/** Environment variables that a worker inherits: for Node.js, the memory allocator and libvips. No credentials. */
const INHERITED = /^(PATH$|NODE_|LD_|MALLOC_|VIPS_)/

/**
 * Most memory that a worker may map, in KiB (RLIMIT_DATA of setrlimit(2), which counts anonymous mappings since Linux 4.7). The mapped
 * files of Node.js and libvips add some 50 MiB: together less than the 768 MiB of docs/variants.md.
 */
const MAX_DATA_KIB = 704 * 1024

/**
 * Most processor time of a worker, in seconds (RLIMIT_CPU of setrlimit(2)), which does not depend on how busy the machine is. A worker
 * that has used half of it is not used again, so at least half is left for each image.
 */
const MAX_PROCESSOR_SECONDS = 60

/**
 * Sets limits and then becomes the worker, which cannot lift them. When memory runs short the kernel kills the worker and not the server;
 * a worker that dies writes no core file; thread stacks are small, since they count towards the limit in full. SIGKILL comes a second
 * after SIGXCPU. Ignores what cannot be set.
 */
const LIMIT = [
  '{ echo 1000 >/proc/self/oom_score_adj; ulimit -c 0; ulimit -s 2048; ulimit -d "$0"',
  'ulimit -S -t "$1"; ulimit -H -t "$(($1 + 1))"; } 2>/dev/null',
  'shift; exec "$@"',
].join('; ')

/** The shell's exit status if the command cannot be found. */
const NOT_FOUND = 127

/**
 * Signals that end a worker whose image takes too much: memory, when GLib traps, and V8 and the C++ library abort; or processor time, when
 * the kernel sends SIGXCPU.
 */
const TOO_MUCH: readonly unknown[] = ['SIGTRAP', 'SIGABRT', 'SIGXCPU']

/** From Node.js 24 on V8 maps 512 MiB for compiled code, which would count. A worker runs little JavaScript and needs none compiled. */
const FLAGS = ['--expose-gc', ...(Number.parseInt(process.versions.node, 10) >= 24 ? ['--jitless'] : [])]

export interface Job extends VariantShape {
  /** Bytes of the image. */
  readonly size: number
  /** Of the server, for a file that the worker reads itself. */
  readonly descriptor?: number
}

export type JobResult = (
  | (Omit<Variant, 'bytes'> & { readonly size: number })
  | { readonly problem: Problem | 'unread' }
) & {
  /** Resident memory of the worker, in bytes. */
  readonly memory: number
  /** Processor time that the worker has used since it was started, in seconds. */
  readonly processorSeconds: number
}

/** The bytes of an image. */
export type Image = Pick<FoundObject, 'body' | 'file'>

/** A variant whose bytes are still to be read from the worker. */
export interface VariantStream extends Omit<Variant, 'bytes'> {
  readonly body: AsyncIterable<Uint8Array>
}

export interface WorkerLimits {
  /** How long a job may take after its last byte was sent, in milliseconds. */
  readonly jobTimeoutMs: number
  /** Memory that the process may map. */
  readonly maxDataKib: number
  /** Processor time of the process, in whole seconds. */
  readonly maxProcessorSeconds: number
}

/** The worker ended by itself or was killed by somebody else. */
export class WorkerDied extends Error {}

/** A job took longer than it may by the clock, because of its image or because the machine is busy. */
export class JobTimeout extends ServerBusy {}

/**
 * A process that makes variants, one at a time. A thread would not do: libvips would use the threads that the disk store needs, and a
 * hostile image may crash it or take a lot of memory.
 */
export class WorkerProcess {
  readonly #child: ChildProcess
  readonly #bytes: Duplex
  readonly #jobTimeoutMs: number
  readonly #maxProcessorSeconds: number
  readonly #died = new AbortController()
  #memory = 0
  #processorSeconds = 0
  #readsFiles = true
  /** Resolves when the process has ended. */
  readonly ended: Promise<void>

  /** @throws {ServerBusy} if no process can be started for lack of files, memory or processes */
  constructor({
    jobTimeoutMs = JOB_TIMEOUT_MS,
    maxDataKib = MAX_DATA_KIB,
    maxProcessorSeconds = MAX_PROCESSOR_SECONDS,
  }: Partial<WorkerLimits> = {}) {
    this.#jobTimeoutMs = jobTimeoutMs
    this.#maxProcessorSeconds = maxProcessorSeconds
    this.#child = start(maxDataKib, maxProcessorSeconds)
    this.#bytes = this.#child.stdio[4] as Duplex
    this.ended = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        this.#kill(reasonOf(code, signal))
        resolve()
      })
    })
    // The exit status says more than a failed write
    for (const part of [this.#child, this.#bytes]) part.on('error', () => this.#child.kill('SIGKILL'))
  }

  get isAlive(): boolean {
    return !this.#died.signal.aborted
  }

  /** False if the process has ended, or the next image would not have enough memory or processor time. */
  get isReusable(): boolean {
    return this.isAlive && this.#memory <= IDLE_MEMORY && this.#processorSeconds <= this.#maxProcessorSeconds / 2
  }

  /**
   * Makes a variant. After an error that is not about the image the process is dead.
   *
   * @param use reads the variant; until its promise settles the process takes no other job
   * @throws {UnreadableImage | HugeImage | JobTimeout | WorkerDied} or what `image` and `use` reject with
   */
  async make<T>(image: Image, job: Job, use: (variant: VariantStream) => Promise<T>): Promise<T> {
    const { signal } = this.#died
    try {
      const result = (await this.#runOnFile(image, job)) ?? (await this.#run(job, image.body))
      if ('problem' in result) throw result.problem === 'huge' ? new HugeImage() : new UnreadableImage()
      return await use({ ...result, body: this.#read(result.size) })
    } catch (error) {
      image.body.destroy()
      if (error instanceof UnreadableImage || (error instanceof HugeImage && !signal.aborted)) throw error
      // Bytes that are still on their way would be taken for the next image or variant
      this.#kill(error)
      throw signal.reason
    }
  }

  /** Returns undefined if the worker can't read the file. */
  async #runOnFile({ body, file }: Image, job: Job): Promise<JobResult | undefined> {
    if (!file || !this.#readsFiles) return undefined
    const result = await this.#run({ ...job, descriptor: file.descriptor })
    this.#readsFiles = !('problem' in result && result.problem === 'unread')
    if (!this.#readsFiles) return undefined
    file.wasRead = true
    body.destroy()
    return result
  }

  /** @param image whose bytes are sent, if the worker does not read it itself */
  async #run(job: Job, image?: Readable): Promise<JobResult> {
    const { signal } = this.#died
    signal.throwIfAborted()
    const message = once(this.#child, 'message', { signal }) as Promise<[JobResult]>
    // Handled below, unless something else fails first
    message.catch(() => {})
    // If sending fails, the process ends and says why
    this.#child.send(job, () => {})
    if (image) await this.#write(image, job.size)
    const cause = new Error(`the variant was not made within ${this.#jobTimeoutMs} ms`)
    const timer = setTimeout(() => this.#kill(new JobTimeout({ cause })), this.#jobTimeoutMs)
    const [result] = await message.finally(() => clearTimeout(timer))
    this.#memory = result.memory
    this.#processorSeconds = result.processorSeconds
    return result
  }

  async #write(image: Readable, size: number): Promise<void> {
    const { signal } = this.#died
    let left = size
    for await (const chunk of image) {
      signal.throwIfAborted()
      left -= chunk.length
      if (!this.#bytes.write(chunk)) await once(this.#bytes, 'drain', { signal }).catch(() => this.ended)
    }
    // The worker would wait for the missing bytes
    if (left !== 0) throw new StoreFailure({ cause: new Error(`${left} bytes are missing`) })
  }

  async *#read(size: number): AsyncGenerator<Uint8Array> {
    let left = size
    for await (const chunk of this.#bytes.iterator({ destroyOnReturn: false })) {
      left -= (chunk as Buffer).length
      yield chunk as Buffer
      if (left === 0) return
    }
    // The socket may close before `exit` is emitted
    throw new WorkerDied('The worker has ended')
  }

  /** Disconnects the process, which then ends at once, also in the middle of a job. */
  end(): void {
    if (this.#child.connected) this.#child.disconnect()
  }

  /** Keeps the first reason. */
  #kill(reason: unknown): void {
    this.#died.abort(reason)
    this.#child.kill('SIGKILL')
  }
}

function reasonOf(code: number | null, signal: NodeJS.Signals | null): Error {
  if (code === NOT_FOUND) return new ServerBusy({ cause: new Error('Node.js could not be started') })
  return TOO_MUCH.includes(signal) ? new HugeImage() : new WorkerDied('The worker has ended')
}

function start(maxDataKib: number, maxProcessorSeconds: number): ChildProcess {
  const inherited = Object.entries(process.env).filter(([name]) => INHERITED.test(name))
  try {
    const child = fork(WORKER, {
      execPath: '/bin/sh',
      // If the server is debugged, the worker needs another port
      execArgv: [
        ...['-c', LIMIT, String(maxDataKib), String(maxProcessorSeconds)],
        ...[process.execPath, ...FLAGS, ...process.execArgv, '--inspect-port=0'],
      ],
      env: {
        // Large blocks go back to the system when they are freed
        MALLOC_ARENA_MAX: '2',
        MALLOC_MMAP_THRESHOLD_: '1048576',
        // Warnings of libvips are about the image, not about the server
        VIPS_WARNING: '0',
        ...Object.fromEntries(inherited),
        // No temporary files: they may lie in memory, where the limit does not count them
        VIPS_DISC_THRESHOLD: '4g',
      },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc', 'pipe'],
    })
    if (child.pid !== undefined) return child
    // Emitted later; nobody else listens
    child.on('error', () => {})
  } catch (cause) {
    throw new ServerBusy({ cause })
  }
  throw new ServerBusy({ cause: new Error('no process could be started') })
}
