import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { BadQuery } from '../../errors.ts'
import { LEFT_OUT, pastUnreadable } from '../../store/past-unreadable.ts'
import { untilAborted } from '../../store/until-aborted.ts'
import { listStories } from '../../stories/list.ts'
import { listNewest } from '../../stories/list-newest.ts'
import { listImagesSchema } from '../openapi/operations.ts'
import { goneSignal } from '../plugins/connections.ts'
import { imagesJson } from '../schemas.ts'
import { storiesReply } from '../send/list-reply.ts'

export const listImagesRoute: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/api/v1/images',
    {
      schema: listImagesSchema,
      config: { scope: 'read' },
    },
    (request, reply) => {
      const { order, limit, cursor } = request.query
      if (order && limit === undefined) throw new BadQuery('limit', 'given with "order"')
      const readable = pastUnreadable(app.store, (_folder, err) => request.log.error({ err }, LEFT_OUT))
      const store = untilAborted(readable, goneSignal(request.raw))
      // One more than the page, to know whether there is a next one
      const stories = order && limit ? listNewest(store, limit + 1, cursor) : listStories(store, cursor)
      return storiesReply(reply, request.query, stories, imagesJson)
    },
  )
}
