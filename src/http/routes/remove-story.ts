import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { removeStory } from '../../stories/remove.ts'
import { storyDocument } from '../openapi/operations.ts'
import { deleted, errors, StoryParams } from '../schemas.ts'

const DONE = 'Images deleted successfully'

export const removeStoryRoute: FastifyPluginAsyncTypebox = async (app) => {
  app.delete(
    '/api/v1/images/:story_id',
    {
      schema: {
        operationId: 'deleteStory',
        summary: 'Delete every image of a story',
        params: StoryParams,
        document: storyDocument,
        response: { 200: deleted(DONE), ...errors(401, 403, 404, 429, 503) },
      },
      config: { scope: 'delete' },
    },
    async (request) => {
      // Not aborted when the client leaves: half a deletion would wait for a retry or a sweep
      await removeStory(app.store, request.params.story_id, app.config.UPLOAD_TIMEOUT, app.sweeper.unmarked)
      return { success: true as const, message: DONE }
    },
  )
}
