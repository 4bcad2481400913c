import { ShuttingDown } from '../errors.ts'
import { type WorkerLimits, WorkerProcess } from './worker-process.ts'

/** How long an idle worker is kept, in milliseconds. */
const IDLE_MS = 60_000

/** A pool of worker processes, started on demand and ended when idle. The caller limits how many are in use at once. */
export class Workers {
  readonly #running = new Set<WorkerProcess>()
  readonly #idle = new Map<WorkerProcess, NodeJS.Timeout>()
  readonly #limits: Partial<WorkerLimits>
  readonly #idleMs: number
  #isClosed = false

  constructor({ idleMs = IDLE_MS, ...limits }: Partial<WorkerLimits> & { readonly idleMs?: number } = {}) {
    this.#limits = limits
    this.#idleMs = idleMs
  }

  /** Calls `work` with a worker that nobody else uses meanwhile. */
  async use<T>(work: (worker: WorkerProcess) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new ShuttingDown()
    const worker = this.#takeIdle() ?? this.#start()
    try {
      return await work(worker)
    } finally {
      if (worker.isReusable) this.#idle.set(worker, setTimeout(() => this.#endIdle(worker), this.#idleMs).unref())
      else {
        worker.end()
        // Its memory has to be free before the caller lets another worker start
        await worker.ended
      }
    }
  }

  /** Ends all workers. Unfinished work fails. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const worker of this.#running) worker.end()
    await Promise.all([...this.#running].map(({ ended }) => ended))
  }

  #takeIdle(): WorkerProcess | undefined {
    for (const [worker, timer] of this.#idle) {
      clearTimeout(timer)
      this.#idle.delete(worker)
      if (worker.isAlive) return worker
    }
    return undefined
  }

  #endIdle(worker: WorkerProcess): void {
    this.#idle.delete(worker)
    worker.end()
  }

  #start(): WorkerProcess {
    const worker = new WorkerProcess(this.#limits)
    this.#running.add(worker)
    void worker.ended.then(() => this.#running.delete(worker))
    return worker
  }
}
