import type { ServerResponse } from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Readable } from 'node:stream'
import type { FastifySchema } from 'fastify'
import fp from 'fastify-plugin'
import { ServerBusy } from '../../errors.ts'
import { goneSignal } from '../plugins/connections.ts'
import { endWhenUnread } from '../send/deliver.ts'
import { requestsVariant } from '../variant-request.ts'
import { FairQueue } from './fair-queue.ts'

/**
 * Most responses with a variant at once. They are counted apart from images, since a variant may have to be made first. Each makes two
 * calls to the store at a time, so some connections to the store are left for uploads and images.
 */
const MAX_VARIANTS = 100

/** How often the delay of the event loop is measured and evaluated, in milliseconds. */
const RESOLUTION_MS = 20
const SAMPLE_MS = 1000

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the route is served while the event loop is late. */
    readonly isAlwaysServed?: true
  }
}

/**
 * Refuses requests before the running ones suffer: all except `/livez` and `/metrics` while the event loop is late, and lists of all
 * stories, images and variants when their queue is full or the wait in it takes too long. Uploads have the UploadBudget.
 */
export const overloadPlugin = fp(
  async (app) => {
    const { config, limits } = app
    app.server.maxConnections = limits.connections

    const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
    let timer: NodeJS.Timeout | undefined
    let wasOver = false
    let isLate = false
    const look = () => {
      // The median, and twice in a row: one long pause of garbage collection or of the machine is not an overload
      const isOver = delay.percentile(50) / 1e6 - RESOLUTION_MS > config.MAX_EVENT_LOOP_DELAY
      isLate = isOver && wasOver
      wasOver = isOver
      delay.reset()
    }
    // Not earlier, because the start keeps the event loop busy
    app.addHook('onListen', async () => {
      delay.enable()
      timer = setInterval(look, SAMPLE_MS).unref()
    })
    app.addHook('onClose', async () => {
      clearInterval(timer)
      delay.disable()
    })

    const options = {
      timeoutMs: limits.wait,
      maxQueued: limits.waiting,
      refusal: () => new ServerBusy(),
    }
    const limit = (name: string, capacity: number) => {
      const queue = new FairQueue(capacity, options)
      app.metrics.watchQueue(name, queue)
      return new RunningResponses(queue)
    }
    const lists = limit('lists', limits.lists)
    const variants = limit('variants', MAX_VARIANTS)
    const byOperation = new Map([
      ['listImages', lists],
      ['listStoryIds', lists],
      ['getImage', limit('images', limits.images)],
    ])
    const isImage = ({ operationId = '' }: FastifySchema) => operationId === 'getImage' || operationId === 'headImage'
    app.addHook('onRequest', (request, reply, done) => {
      if (isLate && !request.routeOptions.config.isAlwaysServed) return done(new ServerBusy())
      const { schema = {} } = request.routeOptions
      const isVariant = isImage(schema) && requestsVariant(request.query)
      const running = isVariant ? variants : byOperation.get(schema.operationId ?? '')
      if (!running || running.tryEnter(request.clientId, reply.raw)) return done()
      running.enter(request.clientId, reply.raw).then(() => done(), done)
    })

    // Lists, which Fastify sends
    app.addHook('onSend', async (_request, reply, payload) => {
      if (payload instanceof Readable) endWhenUnread(reply.raw, config.CLIENT_TIMEOUT)
      return payload
    })
  },
  { name: 'overload', dependencies: ['connections'] },
)

/** Responses that are being sent, as many at once as the queue has units. */
class RunningResponses {
  readonly #queue: FairQueue
  /** By client, the oldest first. */
  readonly #byClient = new Map<string, Set<ServerResponse>>()

  constructor(queue: FairQueue) {
    this.#queue = queue
  }

  /** Takes a unit until the response is over, if one is free. */
  tryEnter(clientId: string, raw: ServerResponse): boolean {
    if (!this.#queue.tryTake(1, clientId)) return false
    this.#begin(clientId, raw)
    return true
  }

  /** Waits for a unit, and takes it until the response is over. */
  async enter(clientId: string, raw: ServerResponse): Promise<void> {
    this.#endOne(clientId)
    await this.#queue.take(1, clientId, goneSignal(raw.req))
    this.#begin(clientId, raw)
  }

  #begin(clientId: string, raw: ServerResponse): void {
    if (raw.destroyed) {
      this.#queue.give(1, clientId)
      return
    }
    const own = this.#byClient.get(clientId) ?? new Set()
    this.#byClient.set(clientId, own.add(raw))
    raw.on('close', () => {
      own.delete(raw)
      if (own.size === 0) this.#byClient.delete(clientId)
      this.#queue.give(1, clientId)
    })
  }

  /**
   * Ends the oldest response that waits for its reader, of the client with the most responses. Ends none if the new client would then
   * have as many.
   */
  #endOne(newClientId: string): void {
    let most = new Set<ServerResponse>()
    for (const responses of this.#byClient.values()) if (responses.size > most.size) most = responses
    if (most.size <= (this.#byClient.get(newClientId)?.size ?? 0) + 1) return
    for (const raw of most) {
      if (raw.writableLength === 0) continue
      // A response that is queued after another has no socket of its own yet
      raw.req.socket.destroy()
      return
    }
  }
}
