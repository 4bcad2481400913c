import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@platformatic/prom-client'

/** A queue for a capacity, of requests or of bytes. */
export interface Queue {
  readonly capacity: number
  readonly free: number
  /** Requests that wait. */
  readonly length: number
}

/** A request that is over. */
export interface EndedRequest {
  /** The `operationId` of the route; undefined if there is no such route. */
  readonly operation: string | undefined
  /** Undefined if the connection closed before the response was sent. */
  readonly status: number | undefined
  readonly seconds: number
  readonly bytesIn: number
  readonly bytesOut: number
}

/** How a call to the store ended. `abandoned`: the caller did not wait for the response, or for the rest of it. */
export type StoreOutcome = 'ok' | 'missing' | 'exists' | 'busy' | 'unavailable' | 'full' | 'failed' | 'abandoned'

const PREFIX = 'story_images_'
const NO_ROUTE = 'none'

/** Buckets in seconds, from an image in the store's cache to an upload over a phone's network. */
const DURATIONS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

/** Left out, because they cost more with each connection and tell no more than `process_open_fds`. */
const LEFT_OUT = ['nodejs_active_handles', 'nodejs_active_requests', 'nodejs_active_resources']

/**
 * The metrics of `/metrics`. Every label has few values: no path, id, name of a key or text of a client. Counting takes well below a
 * microsecond, so nothing is computed for a label.
 */
export class Metrics {
  readonly #registry = new Registry()
  readonly #requests = this.#counter('http_requests_total', 'Requests that are over', 'operation', 'status')
  readonly #durations = this.#histogram('http_request_duration_seconds', 'How long requests took', 'operation')
  readonly #running = this.#gauge('http_requests_running', 'Requests that are running', 'operation')
  readonly #received = this.#counter('http_received_bytes_total', 'Bytes of requests, with headers', 'operation')
  readonly #sent = this.#counter('http_sent_bytes_total', 'Bytes of responses, with headers', 'operation')
  readonly #stories = this.#counter('stories_stored_total', 'Stories that uploads have made')
  readonly #replays = this.#counter(
    'uploads_replayed_total',
    'Uploads that repeated an earlier one, whose story they got',
  )
  readonly #imagesStored = this.#counter('images_stored_total', 'Images of the stories that uploads have made')
  readonly #imagesSent = this.#counter('images_sent_total', 'Images and ranges of images that were sent completely')
  readonly #used = this.#gauge('capacity_used', 'Requests that are running, of those with a limit', 'queue')
  readonly #limit = this.#gauge('capacity_limit', 'Most requests that may run at once', 'queue')
  readonly #usedBytes = this.#gauge('capacity_used_bytes', 'Memory that requests have reserved', 'queue')
  readonly #limitBytes = this.#gauge('capacity_limit_bytes', 'Most memory that requests may reserve', 'queue')
  readonly #queueLength = this.#gauge('queue_length', 'Requests that wait for capacity', 'queue')
  readonly #calls = this.#counter('store_calls_total', 'Calls to the store, by outcome', 'call', 'outcome')
  readonly #callDurations = this.#histogram('store_call_duration_seconds', 'How long the store took to respond', 'call')
  readonly #bytes = this.#counter('store_bytes_total', 'Bytes of objects that were stored or read completely', 'call')
  readonly #fallbacks = this.#counter('store_fallbacks_total', 'Calls that the AWS SDK had to make again', 'call')
  readonly #limits = this.#gauge('store_limited', 'Always 1, for a feature that the store lacks', 'limit')
  readonly #sweeps = this.#counter('sweeps_total', 'Sweeps, by outcome', 'outcome')
  readonly #swept = this.#gauge(
    'sweep_last_success_timestamp_seconds',
    'When the last successful sweep ended or, before that, the first one began; 0 without sweeps',
  )
  readonly #removed = this.#counter('sweep_removed_keys_total', 'Keys that sweeps have removed')
  readonly #purges = this.#counter('purged_stories_total', 'Deleted stories, by whether the CDN was told', 'outcome')
  readonly #purgeFailures = this.#counter('purge_failures_total', 'Requests to the CDN that failed')
  readonly #purgesWaiting = this.#gauge('purge_waiting_stories', 'Deleted stories of which the CDN is still to be told')
  readonly #variants = this.#counter('variants_total', 'Requests for variants, by outcome', 'outcome')
  readonly #variantDurations = this.#histogram('variant_duration_seconds', 'How long making a variant took')
  readonly #build = this.#gauge('build_info', 'Always 1', 'version', 'store')
  readonly #queues: (() => void)[] = []

  /** The Content-Type of what `text` returns. */
  readonly contentType = this.#registry.contentType

  /** The Prometheus text format, version 0.0.4. */
  text(): Promise<string> {
    for (const measure of this.#queues) measure()
    return this.#registry.metrics()
  }

  /** Adds memory, processor time, open files, event loop and garbage collection of this process. */
  watchProcess(version: string, store: 'disk' | 's3'): void {
    collectDefaultMetrics({ register: this.#registry })
    for (const what of LEFT_OUT) {
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
   * Counts a response of the store.
   *
   * @param call a method of the store
   * @param seconds that the store took: of a `get` until the body began, of a `put` from the end of the body
   */
  storeResponds(call: string, seconds: number): void {
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

  /** @param limit one of few, for a feature that the store lacks */
  storeLimit(limit: string): void {
    this.#limits.set({ limit }, 1)
  }

  sweepsBegin(): void {
    this.#swept.setToCurrentTime()
  }

  /** @param report undefined for a sweep that failed */
  swept(report: { readonly keys: number } | undefined): void {
    this.#sweeps.inc({ outcome: report ? 'ok' : 'failed' })
    if (!report) return
    this.#swept.setToCurrentTime()
    this.#removed.inc(report.keys)
  }

  watchPurges(purger: { readonly waiting: number }): void {
    this.#queues.push(() => this.#purgesWaiting.set(purger.waiting))
  }

  /** @param outcome `lost`: the CDN was not told */
  purged(outcome: 'ok' | 'lost', stories: number): void {
    this.#purges.inc({ outcome }, stories)
  }

  purgeFailed(): void {
    this.#purgeFailures.inc()
  }

  /**
   * Counts a request for a variant.
   *
   * @param outcome `kept`: the variant was in the store
   * @param seconds that making it took, without the wait in the queue
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
