import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@platformatic/prom-client'
import type { SweepReport } from '../stories/sweep.ts'

/** A queue for a capacity, of requests or of bytes. */
export interface Queue {
  readonly capacity: number
  readonly free: number
  /** Requests that wait. */
  readonly length: number
}

/** A request that is over. */
export interface EndedRequest {
  /** The `operationId` of its route; none when there is no such route. */
  readonly operation: string | undefined
  /** Of the answer; none when the connection closed before it was sent. */
  readonly status: number | undefined
  readonly seconds: number
  readonly bytesIn: number
  readonly bytesOut: number
}

/** How a call to the store ended. `abandoned`: nobody wanted the answer, or the rest of it, any more. */
export type StoreOutcome = 'ok' | 'missing' | 'exists' | 'busy' | 'unavailable' | 'full' | 'failed' | 'abandoned'

const PREFIX = 'story_images_'
const NO_ROUTE = 'none'

/** Bounds in seconds, from an image out of the store's cache to an upload over a phone's network. */
const DURATIONS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

/** Costs more with each connection, and tells no more than `process_open_fds`. */
const NOT_COUNTED = ['nodejs_active_handles', 'nodejs_active_requests', 'nodejs_active_resources']

/**
 * What `/metrics` tells. Every label has few values: no path, no id, no name of a key, no word of a client. Counting costs well below
 * a microsecond each, which is why there are no labels that would have to be worked out.
 */
export class Metrics {
  readonly #registry = new Registry()
  readonly #requests = this.#counter('http_requests_total', 'Requests that are over', 'operation', 'status')
  readonly #durations = this.#histogram('http_request_duration_seconds', 'How long requests took', 'operation')
  readonly #running = this.#gauge('http_requests_running', 'Requests that are under way', 'operation')
  readonly #received = this.#counter('http_received_bytes_total', 'Bytes of requests, headers and all', 'operation')
  readonly #sent = this.#counter('http_sent_bytes_total', 'Bytes of answers, headers and all', 'operation')
  readonly #stories = this.#counter('stories_stored_total', 'Stories that uploads have made')
  readonly #replays = this.#counter('uploads_replayed_total', 'Uploads answered with the story of an earlier one')
  readonly #imagesStored = this.#counter('images_stored_total', 'Images of the stories that uploads have made')
  readonly #imagesSent = this.#counter('images_sent_total', 'Images, and ranges of images, that were sent whole')
  readonly #used = this.#gauge('capacity_used', 'Requests that are running, of those with a limit', 'queue')
  readonly #limit = this.#gauge('capacity_limit', 'Most requests that may run at once', 'queue')
  readonly #usedBytes = this.#gauge('capacity_used_bytes', 'Memory that requests have reserved', 'queue')
  readonly #limitBytes = this.#gauge('capacity_limit_bytes', 'Most memory that requests may reserve', 'queue')
  readonly #queueLength = this.#gauge('queue_length', 'Requests that wait for capacity', 'queue')
  readonly #calls = this.#counter('store_calls_total', 'Calls to the store, by how they ended', 'call', 'outcome')
  readonly #callDurations = this.#histogram('store_call_duration_seconds', 'How long the store took to answer', 'call')
  readonly #bytes = this.#counter('store_bytes_total', 'Bytes of objects that were stored or read whole', 'call')
  readonly #fallbacks = this.#counter('store_fallbacks_total', 'Calls that the AWS SDK had to make again', 'call')
  readonly #limits = this.#gauge('store_limited', 'Always 1, for something that the store does not do', 'limit')
  readonly #sweeps = this.#counter('sweeps_total', 'Sweeps, by how they ended', 'outcome')
  readonly #swept = this.#gauge(
    'sweep_last_success_timestamp_seconds',
    'When the last good sweep ended, or, before it, the first one began; 0 where there are no sweeps',
  )
  readonly #removed = this.#counter('sweep_removed_keys_total', 'Keys that sweeps have removed')
  readonly #variants = this.#counter('variants_total', 'Variants of images, by what became of them', 'outcome')
  readonly #variantDurations = this.#histogram('variant_duration_seconds', 'How long making a variant took')
  readonly #build = this.#gauge('build_info', 'Always 1', 'version', 'store')
  readonly #queues: (() => void)[] = []

  /** Of the text that `/metrics` answers with. */
  readonly contentType = this.#registry.contentType

  /** The Prometheus text format, version 0.0.4. */
  text(): Promise<string> {
    for (const measure of this.#queues) measure()
    return this.#registry.metrics()
  }

  /** Memory, processor time, open files, event loop and garbage collection of this process, from now on and until it ends. */
  watchProcess(version: string, store: 'disk' | 's3'): void {
    collectDefaultMetrics({ register: this.#registry })
    for (const what of NOT_COUNTED) {
      this.#registry.removeSingleMetric(what)
      this.#registry.removeSingleMetric(`${what}_total`)
    }
    this.#build.set({ version, store }, 1)
  }

  /** @param name one of few */
  watchQueue(name: string, queue: Queue, unit: 'requests' | 'bytes' = 'requests'): void {
    const [used, limit] = unit === 'bytes' ? [this.#usedBytes, this.#limitBytes] : [this.#used, this.#limit]
    this.#queues.push(() => {
      used.set({ queue: name }, queue.capacity - queue.free)
      limit.set({ queue: name }, queue.capacity)
      this.#queueLength.set({ queue: name }, queue.length)
    })
  }

  requestBegins(operation = NO_ROUTE): void {
    this.#running.inc({ operation })
  }

  requestEnds({ operation = NO_ROUTE, status, seconds, bytesIn, bytesOut }: EndedRequest): void {
    this.#running.dec({ operation })
    this.#requests.inc({ operation, status: status ?? 'closed' })
    this.#durations.observe({ operation }, seconds)
    this.#received.inc({ operation }, bytesIn)
    this.#sent.inc({ operation }, bytesOut)
    if (operation === 'getImage' && (status === 200 || status === 206)) this.#imagesSent.inc()
  }

  uploaded(images: number, isReplay: boolean): void {
    if (isReplay) {
      this.#replays.inc()
    } else {
      this.#stories.inc()
      this.#imagesStored.inc(images)
    }
  }

  /**
   * @param call a method of the store
   * @param seconds that the store took: of a `get` until the body began, of a `put` from the end of the body on
   */
  storeAnswers(call: string, seconds: number): void {
    this.#callDurations.observe({ call }, seconds)
  }

  storeCallEnds(call: string, outcome: StoreOutcome): void {
    this.#calls.inc({ call, outcome })
  }

  storeBytes(call: string, bytes: number): void {
    this.#bytes.inc({ call }, bytes)
  }

  /** @param call an operation of S3 */
  storeFallback(call: string): void {
    this.#fallbacks.inc({ call })
  }

  /** @param limit one of few, for something that the store does not do */
  storeLimit(limit: string): void {
    this.#limits.set({ limit }, 1)
  }

  sweepsBegin(): void {
    this.#swept.setToCurrentTime()
  }

  /** @param report of a sweep that ended well */
  swept(report: SweepReport | undefined): void {
    this.#sweeps.inc({ outcome: report ? 'ok' : 'failed' })
    if (!report) return
    this.#swept.setToCurrentTime()
    this.#removed.inc(report.keys)
  }

  /**
   * A variant of an image was asked for.
   *
   * @param outcome `kept`: it had been made before
   * @param seconds that making it took, the wait for its turn left out
   */
  variant(outcome: 'made' | 'kept' | 'failed', seconds?: number): void {
    this.#variants.inc({ outcome })
    if (seconds !== undefined) this.#variantDurations.observe(seconds)
  }

  #counter<Label extends string = never>(name: string, help: string, ...labelNames: Label[]): Counter<Label> {
    return new Counter({ name: PREFIX + name, help, labelNames, registers: [this.#registry] })
  }

  #gauge<Label extends string = never>(name: string, help: string, ...labelNames: Label[]): Gauge<Label> {
    return new Gauge({ name: PREFIX + name, help, labelNames, registers: [this.#registry] })
  }

  #histogram<Label extends string = never>(name: string, help: string, ...labelNames: Label[]): Histogram<Label> {
    return new Histogram({
      name: PREFIX + name,
      help,
      labelNames,
      buckets: DURATIONS,
      registers: [this.#registry],
    })
  }
}
