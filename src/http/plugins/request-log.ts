import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { isStoryId } from '../../stories/key.ts'
import { clientAddressOf } from './client.ts'

/** What a route says of a request, for its line of the log. */
export interface RequestFacts {
  /** Id of the story that it made or was about. */
  story?: string
  /** How many images it stored. */
  images?: number
  /** How long it waited for memory, in milliseconds. */
  waited?: number
  /** Whether an earlier request with the same Idempotency-Key had made the story. */
  replay?: true
}

declare module 'fastify' {
  interface FastifyRequest {
    facts: RequestFacts
  }
}

/** An id that a proxy in front of us gave the request, if it is fit for a log, or a new one. */
export function requestId(request: Pick<IncomingMessage, 'headers'>): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && /^[\w.:-]{1,64}$/.test(given) ? given : randomUUID()
}

/** Without the query, which may hold a ticket or a signature. */
export function pathOf({ url }: FastifyRequest): string {
  return url.split('?', 1)[0]?.slice(0, 200) ?? ''
}

/** Its id in the answer of each request, and what `followToItsEnd` does. */
export const requestLogPlugin = fp(
  async (app) => {
    app.decorateRequest('facts')
    app.addHook('onRequest', (request, reply, done) => {
      reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff')
      const { story_id: story } = request.params as { story_id?: string }
      request.facts = story !== undefined && isStoryId(story) ? { story } : {}
      followToItsEnd(request, reply, request.routeOptions.schema?.operationId)
      done()
    })
  },
  { name: 'request-log' },
)

/** Counts the request at `/metrics`, and writes its line of the log. */
export function followToItsEnd(request: FastifyRequest, reply: FastifyReply, operation?: string): void {
  const { metrics } = request.server
  const { raw } = reply
  const { socket } = request.raw
  metrics.requestBegins(operation)
  raw.on('close', () => {
    const isAnswered = raw.writableFinished
    const { elapsedTime, statusCode } = reply
    const { bytesIn, bytesOut } = traffic.since(socket)
    const status = isAnswered ? statusCode : undefined
    metrics.requestEnds({ operation, status, seconds: elapsedTime / 1000, bytesIn, bytesOut })
    request.log.info(
      {
        operation,
        method: request.method,
        path: pathOf(request),
        // Until it is sent, the status is what it would be if all went well
        status: raw.headersSent ? statusCode : undefined,
        ms: Math.round(elapsedTime),
        bytesIn,
        bytesOut,
        ...request.facts,
        remote: clientAddressOf(request),
      },
      isAnswered ? 'answered' : 'the connection closed before the answer was sent',
    )
  })
}

/** What goes over connections that serve one request after another. */
class Traffic {
  readonly #counted = new WeakMap<Socket, { read: number; written: number }>()

  /** Bytes that came and went since it was asked for this connection before; of requests that overlap the first to end has them all. */
  since(socket: Socket): { bytesIn: number; bytesOut: number } {
    const { bytesRead: read, bytesWritten: written } = socket
    const last = this.#counted.get(socket)
    this.#counted.set(socket, { read, written })
    return { bytesIn: read - (last?.read ?? 0), bytesOut: written - (last?.written ?? 0) }
  }
}

const traffic = new Traffic()
