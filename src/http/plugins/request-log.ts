import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { isStoryId } from '../../layout/story.ts'
import { clientAddressOf } from './client.ts'

/** Fields that a route adds to the log line of a request. */
export interface LogFields {
  /** Id of the story that the request made or named. */
  story?: string
  images?: number
  /** Milliseconds of the wait for memory. */
  waited?: number
  /** Whether an earlier request with the same Idempotency-Key made the story. */
  replay?: true
}

declare module 'fastify' {
  interface FastifyRequest {
    logFields: LogFields
  }
}

/** Returns the id that a proxy gave the request, if it is fit for a log, or a new one. */
export function requestId(request: Pick<IncomingMessage, 'headers'>): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && /^[\w.:-]{1,64}$/.test(given) ? given : randomUUID()
}

/** Returns the path without the query, which may hold a ticket or a signature. */
export function pathOf({ url }: FastifyRequest): string {
  return url.split('?', 1)[0]?.slice(0, 200) ?? ''
}

/** Adds the id of a request to its response, and counts and logs the request when it is over. */
export const requestLogPlugin = fp(
  async (app) => {
    app.decorateRequest('logFields')
    app.addHook('onRequest', (request, reply, done) => {
      reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff')
      const { story_id: story } = request.params as { story_id?: string }
      request.logFields = story !== undefined && isStoryId(story) ? { story } : {}
      logWhenOver(request, reply, request.routeOptions.schema?.operationId)
      done()
    })
  },
  { name: 'request-log' },
)

/** Counts the request in `/metrics` and writes its log line when it is over. */
export function logWhenOver(request: FastifyRequest, reply: FastifyReply, operation?: string): void {
  const { metrics } = request.server
  const { raw } = reply
  const { socket } = request.raw
  metrics.requestBegins(operation)
  raw.on('close', () => {
    const isSent = raw.writableFinished
    const { elapsedTime, statusCode } = reply
    const { bytesIn, bytesOut } = traffic.since(socket)
    const status = isSent ? statusCode : undefined
    metrics.requestEnds({ operation, status, seconds: elapsedTime / 1000, bytesIn, bytesOut })
    request.log.info(
      {
        operation,
        method: request.method,
        path: pathOf(request),
        // Before the headers are sent the status code is only the default
        status: raw.headersSent ? statusCode : undefined,
        ms: Math.round(elapsedTime),
        bytesIn,
        bytesOut,
        ...request.logFields,
        remote: clientAddressOf(request),
      },
      isSent ? 'request completed' : 'the connection closed before the response was sent',
    )
  })
}

/** Counts the bytes of each request on connections that serve several. */
class Traffic {
  readonly #counted = new WeakMap<Socket, { read: number; written: number }>()

  /** Returns the bytes since the last call for this connection. Of requests that overlap, the first to end gets the bytes of all. */
  since(socket: Socket): { bytesIn: number; bytesOut: number } {
    const { bytesRead: read, bytesWritten: written } = socket
    const last = this.#counted.get(socket)
    this.#counted.set(socket, { read, written })
    return { bytesIn: read - (last?.read ?? 0), bytesOut: written - (last?.written ?? 0) }
  }
}

const traffic = new Traffic()
