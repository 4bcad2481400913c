import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { LEFT_OUT, pastUnreadable } from '../../store/past-unreadable.ts'
import { untilAborted } from '../../store/until-aborted.ts'
import { listStoryIds } from '../../stories/story-ids.ts'
import { listStoryIdsSchema } from '../openapi/operations.ts'
import { goneSignal } from '../plugins/connections.ts'
import { storiesReply } from '../send/list-reply.ts'

export const listStoryIdsRoute: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/api/v1/images/story-ids',
    {
      schema: listStoryIdsSchema,
      config: { scope: 'read' },
    },
    (request, reply) => {
      const readable = pastUnreadable(app.store, (_folder, err) => request.log.error({ err }, LEFT_OUT))
      const store = untilAborted(readable, goneSignal(request.raw))
      const ids = listStoryIds(store, app.sweeper.watermark, request.query.cursor)
      return storiesReply(reply, request.query, ids, (id) => `"${id}"`)
    },
  )
}
