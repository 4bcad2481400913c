import multipart from '@fastify/multipart'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyInstance, LogController } from 'fastify'
import type { Config } from './config.ts'
import { drainPlugin } from './http/plugins/drain.ts'
import { errorsPlugin, sendFrameworkError, sendParserError } from './http/plugins/errors.ts'
import { gracefulClosePlugin } from './http/plugins/graceful-close.ts'
import { requestId, requestLogPlugin } from './http/plugins/request-log.ts'
import { healthRoutes } from './http/routes/health.ts'
import { imageRoutes } from './http/routes/image.ts'
import { listImagesRoute } from './http/routes/list-images.ts'
import { listStoryRoute } from './http/routes/list-story.ts'
import { listStoryIdsRoute } from './http/routes/list-story-ids.ts'
import { removeAllStoriesRoute } from './http/routes/remove-all-stories.ts'
import { removeStoryRoute } from './http/routes/remove-story.ts'
import { uploadStoryRoute } from './http/routes/upload-story.ts'
import type { ObjectStore } from './store/object-store.ts'
import { Sweeper } from './stories/sweep.ts'

declare module 'fastify' {
  interface FastifyInstance {
    readonly config: Config
    readonly store: ObjectStore
    /** Sweeps only when it is told to. */
    readonly sweeper: Sweeper
  }
  interface FastifySchema {
    operationId?: string
    summary?: string
    consumes?: string[]
  }
}

/** The server, ready to listen. The store stays the caller's: closing the app does not close it. */
export async function buildApp(config: Config, store: ObjectStore): Promise<FastifyInstance> {
  const app = Fastify({
    logger: { level: config.LOG_LEVEL },
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: requestId,
    exposeHeadRoutes: false,
    // A request in the middle of the shutdown is answered like any other
    return503OnClosing: false,
    http: { requireHostHeader: false },
    frameworkErrors: sendFrameworkError,
    clientErrorHandler: sendParserError,
  }).withTypeProvider<TypeBoxTypeProvider>()

  app.decorate('config', config)
  app.decorate('store', store)
  app.decorate('sweeper', new Sweeper(store, config.UPLOAD_TIMEOUT))

  // The one kind of body that is read; every other one is left to the drain
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  await app.register(multipart, { throwFileSizeLimit: false })

  await app.register(requestLogPlugin)
  await app.register(errorsPlugin)
  await app.register(drainPlugin)
  await app.register(gracefulClosePlugin)

  await app.register(healthRoutes)
  await app.register(listImagesRoute)
  await app.register(listStoryIdsRoute)
  await app.register(listStoryRoute)
  await app.register(uploadStoryRoute)
  await app.register(removeStoryRoute)
  await app.register(removeAllStoriesRoute)
  await app.register(imageRoutes)
  return app
}
