import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { untilAborted } from '../../store/until-aborted.ts'
import { findStory } from '../../stories/list.ts'
import { storyListDocument } from '../openapi/operations.ts'
import { goneSignal } from '../plugins/connections.ts'
import { errors, Images, imagesJson, StoryParams, written } from '../schemas.ts'

export const listStoryRoute: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/api/v1/images/:story_id',
    {
      schema: {
        operationId: 'listStory',
        summary: 'List the images of one story',
        params: StoryParams,
        document: storyListDocument,
        response: { 200: written(Images), ...errors(401, 403, 404, 429, 503) },
      },
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
