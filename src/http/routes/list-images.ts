import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { listStories } from '../../stories/list.ts'
import { pageDocument } from '../documents.ts'
import { storiesReply } from '../list-reply.ts'
import { errors, Images, imagesJson, PageQuery, written } from '../schemas.ts'

export const listImagesRoute: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/api/v1/images',
    {
      schema: {
        operationId: 'listImages',
        summary: 'List the images of every story',
        querystring: PageQuery,
        document: pageDocument(Images),
        response: { 200: written(Images), ...errors(400, 401, 403, 429, 503) },
      },
      config: { scope: 'read' },
    },
    (request, reply) => {
      const stories = listStories(app.store, request.query.cursor)
      return storiesReply(reply, request.query, stories, ({ id }) => id, imagesJson)
    },
  )
}
