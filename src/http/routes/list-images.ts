import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
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
        response: { 200: written(Images), ...errors(400, 503) },
      },
    },
    (request, reply) => storiesReply(reply, app.store, request.query, imagesJson),
  )
}
