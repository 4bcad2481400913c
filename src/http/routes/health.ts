import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { ShuttingDown } from '../../errors.ts'
import { errors, noStore } from '../schemas.ts'
import { cachedCheck } from './readiness.ts'

const health = (status: string) => ({
  ...Type.Object({ status: Type.String() }, { title: 'Health', examples: [{ status }] }),
  headers: { 'Cache-Control': noStore },
})

/**
 * Health checks for orchestrators. The process is alive also under overload, where a restart would not help. It is ready unless it is
 * overloaded, shutting down, or cannot reach its store.
 */
export const healthRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const storeIsReady = cachedCheck(() => app.store.ready())
  app.get(
    '/livez',
    {
      schema: { operationId: 'live', summary: 'Check that the process runs', response: { 200: health('alive') } },
      config: { isAlwaysServed: true, skipRateLimit: true },
    },
    async (_request, reply) => {
      reply.header('cache-control', 'no-store')
      return { status: 'alive' }
    },
  )
  app.get(
    '/readyz',
    {
      schema: {
        operationId: 'ready',
        summary: 'Check that the server and its store can be used',
        response: { 200: health('ready'), ...errors(500, 503) },
      },
      config: { skipRateLimit: true },
    },
    async (_request, reply) => {
      reply.header('cache-control', 'no-store')
      if (app.shutdown.begun) throw new ShuttingDown()
      await storeIsReady()
      return { status: 'ready' }
    },
  )
}
