import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { removeAllStories } from '../../stories/remove.ts'
import { Deleted, errors } from '../schemas.ts'

export const removeAllStoriesRoute: FastifyPluginAsyncTypebox = async (app) => {
  app.delete(
    '/api/v1/images',
    {
      schema: {
        operationId: 'deleteAllStories',
        summary: 'Delete every image of every story',
        response: { 200: Deleted, ...errors(401, 403, 429, 503) },
      },
      config: { scope: 'delete-all' },
    },
    async () => {
      await removeAllStories(app.store, app.config.UPLOAD_TIMEOUT)
      return { success: true as const, message: 'All images deleted successfully' }
    },
  )
}
