import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { storiesReply } from '../list-reply.ts'
import { errors, PageQuery, StoryIds, storyIdJson, written } from '../schemas.ts'

export const listStoryIdsRoute: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/api/v1/images/story-ids',
    {
      schema: {
        operationId: 'listStoryIds',
        summary: 'List the id of every story',
        querystring: PageQuery,
        response: { 200: written(StoryIds), ...errors(400, 503) },
      },
    },
    (request, reply) => storiesReply(reply, app.store, request.query, storyIdJson),
  )
}
