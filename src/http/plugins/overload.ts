import type { ServerResponse } from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Readable } from 'node:stream'
import type { FastifySchema } from 'fastify'
import fp from 'fastify-plugin'
import { ServerBusy } from '../../errors.ts'
import { endWhenUnread } from '../deliver.ts'
import { Room } from '../room.ts'
import { asksForVariant } from '../variant-request.ts'
import { goneSignal } from './connections.ts'

/** How long a list or an image may wait for its turn, in milliseconds. */
const PATIENCE_MS = 10_000

/**
 * Smaller forms of images that are on their way at once. Apart from images, since they may have to be made first. Each looks into the
 * store twice at a time: of its connections there are left some for uploads and images.
 */
const VARIANTS_AT_ONCE = 100

/** How often the event loop's delay is measured, and how often it is looked at, in milliseconds. */
const RESOLUTION_MS = 20
const SAMPLE_MS = 1000

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the route answers also while the event loop is late. */
    readonly isAlwaysServed?: true
  }
}

/**
 * Refuses what would be too much, before those that are under way suffer: everything but `/livez` and `/metrics` while the event loop is late, and
 * lists and images beyond what may be on its way at once, once their queue is full. Uploads have the UploadBudget.
 */
export const overloadPlugin = fp(
  async (app) => {
    const { config } = app
    app.server.maxConnections = config.MAX_CONNECTIONS

    const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
    let timer: NodeJS.Timeout | undefined
    let wasOver = false
    let isLate = false
    const look = () => {
      // The median, and twice in a row: one long pause, of the garbage collection or of the machine, is no overload
      const isOver = delay.percentile(50) / 1e6 - RESOLUTION_MS > config.MAX_EVENT_LOOP_DELAY
      isLate = isOver && wasOver
      wasOver = isOver
      delay.reset()
    }
    // Not before: the start itself keeps the event loop busy
    app.addHook('onListen', async () => {
      delay.enable()
      timer = setInterval(look, SAMPLE_MS).unref()
    })
    app.addHook('onClose', async () => {
      clearInterval(timer)
      delay.disable()
    })

    const options = { patience: PATIENCE_MS, waiting: config.MAX_WAITING, busy: () => new ServerBusy() }
    const listRoom = new Room(config.MAX_LISTS, options)
    const imageRoom = new Room(config.MAX_DOWNLOADS, options)
    const variantRoom = new Room(VARIANTS_AT_ONCE, options)
    app.metrics.watchRoom('lists', listRoom)
    app.metrics.watchRoom('images', imageRoom)
    app.metrics.watchRoom('variants', variantRoom)
    const lists = new Answers(listRoom)
    const answers = new Map([
      ['listImages', lists],
      ['listStoryIds', lists],
      ['getImage', new Answers(imageRoom)],
    ])
    const variants = new Answers(variantRoom)
    const isImage = ({ operationId = '' }: FastifySchema) => operationId === 'getImage' || operationId === 'headImage'
    app.addHook('onRequest', (request, reply, done) => {
      if (isLate && !request.routeOptions.config.isAlwaysServed) return done(new ServerBusy())
      const { schema = {} } = request.routeOptions
      const isVariant = isImage(schema) && asksForVariant(request.query)
      const own = isVariant ? variants : answers.get(schema.operationId ?? '')
      if (!own) return done()
      if (own.tryEnter(request.clientId, reply.raw)) return done()
      own.enter(request.clientId, reply.raw).then(() => done(), done)
    })

    // A list, which Fastify sends
    app.addHook('onSend', async (_request, reply, payload) => {
      if (payload instanceof Readable) endWhenUnread(reply.raw, config.READER_TIMEOUT)
      return payload
    })
  },
  { name: 'overload', dependencies: ['connections'] },
)

/** Answers that are on their way, of which there is room for so many. */
class Answers {
  readonly #room: Room
  /** By address, the oldest first. */
  readonly #running = new Map<string, Set<ServerResponse>>()

  constructor(room: Room) {
    this.#room = room
  }

  /** Takes a place, if one is free; it is free again when the answer is over. */
  tryEnter(who: string, raw: ServerResponse): boolean {
    if (!this.#room.tryTake(1, who)) return false
    this.#begin(who, raw)
    return true
  }

  /** Waits for a place. */
  async enter(who: string, raw: ServerResponse): Promise<void> {
    this.#endOne(who)
    await this.#room.take(1, who, goneSignal(raw.req))
    this.#begin(who, raw)
  }

  #begin(who: string, raw: ServerResponse): void {
    if (raw.destroyed) {
      this.#room.give(1, who)
      return
    }
    const own = this.#running.get(who) ?? new Set()
    this.#running.set(who, own.add(raw))
    raw.on('close', () => {
      own.delete(raw)
      if (own.size === 0) this.#running.delete(who)
      this.#room.give(1, who)
    })
  }

  /** Of the address that has most answers, if that is another one, the oldest that waits for its reader ends for a newcomer. */
  #endOne(newcomer: string): void {
    let most = new Set<ServerResponse>()
    for (const answers of this.#running.values()) if (answers.size > most.size) most = answers
    if (most.size <= (this.#running.get(newcomer)?.size ?? 0) + 1) return
    for (const raw of most) {
      if (raw.writableLength === 0) continue
      // One that is queued after another has no connection of its own yet
      raw.req.socket.destroy()
      return
    }
  }
}
