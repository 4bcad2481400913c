import type { FastifyPluginAsync } from 'fastify'
import { errors, noStore } from '../schemas.ts'

const schema = {
  operationId: 'getMetrics',
  summary: 'Get metrics for Prometheus',
  response: {
    200: {
      description: 'The text format of Prometheus, version 0.0.4',
      headers: { 'Cache-Control': noStore },
      content: { 'text/plain': { schema: { type: 'string' }, example: '# TYPE process_start_time_seconds gauge\n' } },
    },
    ...errors(401, 403, 429),
  },
}

/** Serves metrics for Prometheus, also under overload, when they are needed most. */
export const metricsRoute: FastifyPluginAsync = async (app) => {
  const { metrics } = app
  app.get(
    '/metrics',
    {
      schema,
      config: { scope: 'metrics', isAlwaysServed: true, skipRateLimit: true },
    },
    async (_request, reply) => {
      reply.type(metrics.contentType).header('cache-control', 'no-store')
      return metrics.text()
    },
  )
}
