import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { listStoryIds } from '../../stories/list.ts'
import { pageDocument } from '../documents.ts'
import { storiesReply } from '../list-reply.ts'
import { errors, PageQuery, StoryIds, written } from '../schemas.ts'

export const listStoryIdsRoute: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/api/v1/images/story-ids',
    {
      schema: {
        operationId: 'listStoryIds',
        summary: 'List the id of every story',
        querystring: PageQuery,
        document: pageDocument(StoryIds),
        response: { 200: written(StoryIds), ...errors(400, 401, 403, 429, 503) },
      },
      config: { scope: 'read' },
    },
    (request, reply) => {
      const ids = listStoryIds(app.store, app.sweeper.settled, request.query.cursor)
      return storiesReply(
        reply,
        request.query,
        ids,
        (id) => id,
        (id) => `"${id}"`,
      )
    },
  )
}
