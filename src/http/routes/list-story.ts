import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { untilAborted } from '../../store/until-aborted.ts'
import { findStory } from '../../stories/list.ts'
import { listStorySchema } from '../openapi/operations.ts'
import { goneSignal } from '../plugins/connections.ts'
import { imagesJson } from '../schemas.ts'

export const listStoryRoute: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/api/v1/images/:story_id',
    {
      schema: listStorySchema,
      config: { scope: 'read' },
    },
    async (request, reply) => {
      const store = untilAborted(app.store, goneSignal(request.raw))
      const story = await findStory(store, request.params.story_id)
      reply.type('application/json; charset=utf-8').header('cache-control', 'no-store')
      return `[${imagesJson(story)}]`
    },
  )
}
