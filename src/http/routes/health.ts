import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { errors } from '../schemas.ts'

const Health = Type.Object({ status: Type.String() })

/** For orchestrators: whether the process is alive, and whether it can serve. */
export const healthRoutes: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/livez',
    { schema: { operationId: 'live', summary: 'The process answers', response: { 200: Health } } },
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
        summary: 'The store can be used',
        response: { 200: Health, ...errors(500, 503) },
      },
    },
    async (_request, reply) => {
      reply.header('cache-control', 'no-store')
      await app.store.ready()
      return { status: 'ready' }
    },
  )
}
