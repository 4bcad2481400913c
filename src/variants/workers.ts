import { ShuttingDown } from '../errors.ts'
import { WorkerProcess } from './worker-process.ts'

/** How long a worker waits for its next picture, in milliseconds. Then its memory is better used by others. */
const IDLE_MS = 60_000

/** Worker processes: started when there is work, used again, ended when there is none. How many run at once is for the caller to say. */
export class Workers {
  readonly #running = new Set<WorkerProcess>()
  readonly #idle = new Map<WorkerProcess, NodeJS.Timeout>()
  readonly #idleMs: number
  #isClosed = false

  constructor(idleMs = IDLE_MS) {
    this.#idleMs = idleMs
  }

  /** Does something with a worker of its own. */
  async use<T>(work: (worker: WorkerProcess) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new ShuttingDown()
    const worker = this.#takeIdle() ?? this.#start()
    try {
      return await work(worker)
    } finally {
      if (worker.isReusable) this.#idle.set(worker, setTimeout(() => this.#endIdle(worker), this.#idleMs).unref())
      else await this.#end(worker)
    }
  }

  /** Ends every worker; what is not finished fails. */
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

  /** Its memory is free again before another worker has its turn. */
  async #end(worker: WorkerProcess): Promise<void> {
    worker.end()
    await worker.ended
  }

  #endIdle(worker: WorkerProcess): void {
    this.#idle.delete(worker)
    worker.end()
  }

  #start(): WorkerProcess {
    const worker = new WorkerProcess()
    this.#running.add(worker)
    void worker.ended.then(() => this.#running.delete(worker))
    return worker
  }
}
