import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { sharedRuns } from '../../io/shared-runs.ts'
import { removeAllStories } from '../../stories/remove.ts'
import { restorableUntil } from '../restorable-until.ts'
import { deleted, errors } from '../schemas.ts'

const DONE = 'All images deleted successfully'

export const removeAllStoriesRoute: FastifyPluginAsyncTypebox = async (app) => {
  // A removal goes on when its client leaves, so those requested while one runs share the next run
  const removeAll = sharedRuns(() => removeAllStories(app.store))
  app.delete(
    '/api/v1/images',
    {
      schema: {
        operationId: 'deleteAllStories',
        summary: 'Delete every image of every story',
        response: { 200: deleted(DONE), ...errors(401, 403, 429, 503) },
      },
      config: { scope: 'delete-all' },
    },
    async (_request, reply) => {
      const until = restorableUntil(app.config)
      if (await removeAll()) reply.header('restorable-until', until)
      return { success: true as const, message: DONE }
    },
  )
}
