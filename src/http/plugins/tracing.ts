import fp from 'fastify-plugin'
import type { Tracing } from '../../telemetry/tracing.ts'
import { pathOf } from './request-log.ts'

/** Makes a span for each request, from its headers to the end of its response, and adds the trace id to its log lines. */
export const tracingPlugin = fp<{ tracing: Tracing }>(
  async (app, { tracing }) => {
    app.addHook('onRequest', (request, reply, done) => {
      const { method, headers, routeOptions } = request
      const span = tracing.followRequest({
        operation: routeOptions.schema?.operationId,
        method,
        path: pathOf(request),
        route: routeOptions.url,
        headers,
      })
      request.log = request.log.child({ traceId: span.traceId })
      reply.log = request.log
      reply.raw.once('close', () =>
        span.end(reply.raw.writableFinished ? reply.statusCode : undefined, request.logFields.story),
      )
      span.run(done)
    })
  },
  { name: 'tracing' },
)
