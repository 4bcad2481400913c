import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { removeStory } from '../../stories/remove.ts'
import { deleteStorySchema } from '../openapi/operations.ts'
import { restorableUntil } from '../restorable-until.ts'

export const removeStoryRoute: FastifyPluginAsyncTypebox = async (app) => {
  app.delete(
    '/api/v1/images/:story_id',
    {
      schema: deleteStorySchema,
      config: { scope: 'delete' },
    },
    async (request, reply) => {
      // Not aborted when the client leaves: half a deletion would wait for a retry or a sweep
      const until = restorableUntil(app.config)
      if (await removeStory(app.store, request.params.story_id)) reply.header('restorable-until', until)
      return { success: true as const, message: 'Images deleted successfully' }
    },
  )
}
