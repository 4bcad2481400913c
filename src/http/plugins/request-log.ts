import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import fp from 'fastify-plugin'

/** An id that a proxy in front of us gave the request, if it is fit for a log, or a new one. */
export function requestId(request: Pick<IncomingMessage, 'headers'>): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && /^[\w.:-]{1,64}$/.test(given) ? given : randomUUID()
}

/** One line for each request, and its id in the answer. */
export const requestLogPlugin = fp(
  async (app) => {
    app.addHook('onRequest', async (request, reply) => {
      reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff')
      const log = (message: string) =>
        request.log.info(
          {
            operation: request.routeOptions.schema?.operationId,
            method: request.method,
            path: request.url.split('?', 1)[0]?.slice(0, 200),
            status: reply.statusCode,
            ms: Math.round(reply.elapsedTime),
            remote: request.ip,
          },
          message,
        )
      reply.raw.once('close', () => {
        if (!reply.raw.writableFinished) log('the connection closed before the answer was sent')
      })
      reply.raw.once('finish', () => log('answered'))
    })
  },
  { name: 'request-log' },
)
