import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { restoreStory } from '../../stories/restore.ts'
import { restoreStorySchema } from '../openapi/operations.ts'

export const restoreStoryRoute: FastifyPluginAsyncTypebox = async (app) => {
  app.post(
    '/api/v1/images/:story_id/restore',
    {
      schema: restoreStorySchema,
      // Who may delete a story may undo it
      config: { scope: 'delete' },
    },
    async (request) => {
      // Not aborted when the client leaves: half of it would wait for another try
      await restoreStory(app.store, request.params.story_id)
      return { success: true as const, message: 'Images restored successfully' }
    },
  )
}
