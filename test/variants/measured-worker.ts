import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { HugeImage, UnreadableImage } from '../../src/errors.ts'
import type { VariantShape } from '../../src/layout/variant.ts'
import { WorkerDied, WorkerProcess } from '../../src/variants/worker-process.ts'
import { inChunks } from '../support/bodies.ts'

/** How often to read the peak memory of a process that may die, in milliseconds. */
const INTERVAL_MS = 5

/** Most memory of a worker according to docs/variants.md, in bytes. */
export const PROMISED_MEMORY = 768 * 1024 * 1024

export interface Measured {
  /** Peak memory of the worker, in bytes (Linux, VmHWM of proc(5)). */
  readonly peak: number
  readonly outcome: 'made' | 'too large' | 'broken' | 'died'
  /** Bytes of the variant. */
  readonly size: number
}

/** A worker that measures how much memory each image takes. It is replaced when the server would replace it. */
export class MeasuredWorker {
  readonly #start: () => WorkerProcess
  #worker: WorkerProcess | undefined
  pid = 0

  constructor(start = () => new WorkerProcess()) {
    this.#start = start
  }

  async measure(image: Buffer, shape: VariantShape): Promise<Measured> {
    if (!this.#worker?.isReusable) {
      await this.end()
      const before = children()
      this.#worker = this.#start()
      this.pid = children().find((pid) => !before.includes(pid)) ?? 0
    }
    const worker = this.#worker
    let peak = 0
    const readPeak = () => {
      peak = Math.max(peak, peakOf(this.pid))
    }
    const timer = setInterval(readPeak, INTERVAL_MS)
    let size = 0
    const count = async (body: AsyncIterable<Uint8Array>) => {
      for await (const chunk of body) size += chunk.length
    }
    try {
      await worker.make({ body: Readable.from(inChunks(image)) }, { size: image.length, ...shape }, ({ body }) =>
        count(body),
      )
      readPeak()
      return { peak, outcome: 'made', size }
    } catch (error) {
      readPeak()
      if (error instanceof HugeImage) return { peak, outcome: 'too large', size }
      if (error instanceof UnreadableImage) return { peak, outcome: 'broken', size }
      if (error instanceof WorkerDied) return { peak, outcome: 'died', size }
      throw error
    } finally {
      clearInterval(timer)
      // Resets the peak to what is in use now
      if (worker.isAlive) writeFileSync(`/proc/${this.pid}/clear_refs`, '5')
      else await worker.ended
    }
  }

  async end(): Promise<void> {
    this.#worker?.end()
    await this.#worker?.ended
  }
}

function children(): number[] {
  return readdirSync('/proc/self/task').flatMap((thread) =>
    readFileSync(`/proc/self/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  )
}

/** In bytes; 0 when the process is gone. */
function peakOf(pid: number): number {
  try {
    return Number(/VmHWM:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}
