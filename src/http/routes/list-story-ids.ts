import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { LEFT_OUT, pastUnreadable } from '../../store/past-unreadable.ts'
import { untilAborted } from '../../store/until-aborted.ts'
import { listStoryIds } from '../../stories/list.ts'
import { storiesReply } from '../list-reply.ts'
import { pageDocument } from '../openapi/operations.ts'
import { goneSignal } from '../plugins/connections.ts'
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
      const readable = pastUnreadable(app.store, (_folder, err) => request.log.error({ err }, LEFT_OUT))
      const store = untilAborted(readable, goneSignal(request.raw))
      const ids = listStoryIds(store, app.sweeper.settled, request.query.cursor)
      return storiesReply(reply, request.query, ids, (id) => `"${id}"`)
    },
  )
}
