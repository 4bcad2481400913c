import multipart from '@fastify/multipart'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import { openPurger } from './cdn/open-purger.ts'
import type { PurgeEvents, Purger } from './cdn/purger.ts'
import { type Config, listed, mostDownloads } from './config.ts'
import { accessPlugin } from './http/auth/plugin.ts'
import { proxyMatcher } from './http/limits/client-address.ts'
import { overloadPlugin } from './http/limits/overload.ts'
import { openapiPlugin } from './http/openapi/plugin.ts'
import { validateQuery } from './http/openapi/validate-query.ts'
import { clientPlugin } from './http/plugins/client.ts'
import { connectionsPlugin } from './http/plugins/connections.ts'
import { corsPlugin } from './http/plugins/cors.ts'
import { crossSitePlugin } from './http/plugins/cross-site.ts'
import { discardBodyPlugin } from './http/plugins/discard-body.ts'
import { errorsPlugin, sendFrameworkError, sendParserError } from './http/plugins/errors.ts'
import { handleExpectations } from './http/plugins/expect-continue.ts'
import { gracefulClosePlugin } from './http/plugins/graceful-close.ts'
import { requestId, requestLogPlugin } from './http/plugins/request-log.ts'
import { securityHeadersPlugin } from './http/plugins/security-headers.ts'
import { tracingPlugin } from './http/plugins/tracing.ts'
import { docsRoutes } from './http/routes/docs.ts'
import { galleryRoutes } from './http/routes/gallery.ts'
import { healthRoutes } from './http/routes/health.ts'
import { imageRoutes } from './http/routes/image.ts'
import { listImagesRoute } from './http/routes/list-images.ts'
import { listStoryRoute } from './http/routes/list-story.ts'
import { listStoryIdsRoute } from './http/routes/list-story-ids.ts'
import { metricsRoute } from './http/routes/metrics.ts'
import { removeAllStoriesRoute } from './http/routes/remove-all-stories.ts'
import { removeStoryRoute } from './http/routes/remove-story.ts'
import { restoreStoryRoute } from './http/routes/restore-story.ts'
import { signedUrlRoutes } from './http/routes/signed-urls.ts'
import { ticketRoutes } from './http/routes/tickets.ts'
import { uploadStoryRoute } from './http/routes/upload-story.ts'
import type { ObjectStore } from './store/object-store.ts'
import { type StoryStore, storyStore } from './stories/story-store.ts'
import { Sweeper } from './stories/sweep.ts'
import { errorSerializer } from './telemetry/error-serializer.ts'
import { Metrics } from './telemetry/metrics.ts'
import type { Tracing } from './telemetry/tracing.ts'

/** Longest time for the headers of a request, in milliseconds. */
const HEADERS_MS = 20_000

/** What nobody has a reason to set, except tests. */
export const LIMITS = {
  /** Most connections; each costs some 30 KiB. */
  connections: 10_000,
  /** Most lists of all stories at once. More of them end no sooner. */
  lists: 64,
  /** Most waiting requests in each queue. Further ones are refused at once: a long queue only makes its clients wait for nothing. */
  waiting: 1000,
  /** How long a list or an image may wait for its turn, and a variant for a process, in milliseconds. */
  wait: 10_000,
}
export interface Limits extends Readonly<typeof LIMITS> {
  /** Most images that are sent at once. */
  readonly images: number
}

interface AppOptions {
  readonly metrics?: Metrics
  readonly tracing?: Tracing | undefined
  readonly limits?: Partial<Limits> | undefined
}

declare module 'fastify' {
  interface FastifyInstance {
    readonly config: Config
    readonly limits: Limits
    readonly store: StoryStore
    /** Sweeps only when its methods are called. */
    readonly sweeper: Sweeper
    readonly metrics: Metrics
    /** Tells a CDN of deleted stories; undefined without `PURGE_URL`. */
    readonly purger: Purger | undefined
  }
}

/** Builds the server, ready to listen. Closing it does not close the store. */
export async function buildApp(
  config: Config,
  store: ObjectStore,
  { metrics = new Metrics(), tracing, limits }: AppOptions = {},
): Promise<FastifyInstance> {
  const headersTimeout = Math.min(HEADERS_MS, config.CLIENT_TIMEOUT)
  const app = Fastify({
    logger: {
      level: config.LOG_LEVEL,
      // The multipart plugin would log the headers of each upload with its options
      serializers: { err: errorSerializer(config.S3_ENDPOINT), busboyOptions: () => undefined },
    },
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: requestId,
    exposeHeadRoutes: false,
    // Requests during the shutdown are served like any other
    return503OnClosing: false,
    // By default 10 seconds, in which a busy machine may not have read the files of the gallery
    pluginTimeout: 0,
    http: {
      requireHostHeader: false,
      headersTimeout,
      connectionsCheckingInterval: Math.min(5000, headersTimeout / 2),
    },
    trustProxy: config.TRUST_PROXY !== undefined && proxyMatcher(listed(config.TRUST_PROXY)),
    keepAliveTimeout: config.KEEP_ALIVE_TIMEOUT,
    frameworkErrors: sendFrameworkError,
    clientErrorHandler: sendParserError,
  }).withTypeProvider<TypeBoxTypeProvider>()

  app.setValidatorCompiler(validateQuery)
  app.decorate('config', config)
  app.decorate('limits', { ...LIMITS, images: mostDownloads(config), ...limits })
  const purger = openPurger(config, purgeEvents(app.log, metrics))
  if (purger) {
    metrics.watchPurges(purger)
    app.addHook('onClose', () => purger.close())
  }
  app.decorate('purger', purger)
  const stories = storyStore(store, config.UPLOAD_TIMEOUT, purger?.add)
  app.decorate('store', stories)
  app.decorate('sweeper', new Sweeper(stories))
  app.decorate('metrics', metrics)

  handleExpectations(app.server)
  // Only multipart bodies are read; all others are discarded
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  await app.register(multipart, { throwFileSizeLimit: false })

  // Before every plugin that waits for the end of a response
  await app.register(connectionsPlugin)
  await app.register(clientPlugin)
  if (tracing) await app.register(tracingPlugin, { tracing })
  await app.register(requestLogPlugin)
  await app.register(securityHeadersPlugin)
  await app.register(corsPlugin)
  await app.register(errorsPlugin)
  await app.register(crossSitePlugin)
  await app.register(discardBodyPlugin)
  await app.register(gracefulClosePlugin)
  // Before every plugin that waits or counts for a caller
  await app.register(accessPlugin)
  await app.register(overloadPlugin)
  await app.register(openapiPlugin)

  await app.register(healthRoutes)
  await app.register(metricsRoute)
  await app.register(listImagesRoute)
  await app.register(listStoryIdsRoute)
  await app.register(listStoryRoute)
  await app.register(uploadStoryRoute)
  await app.register(removeStoryRoute)
  await app.register(removeAllStoriesRoute)
  await app.register(restoreStoryRoute)
  await app.register(imageRoutes)
  await app.register(ticketRoutes)
  await app.register(signedUrlRoutes)
  await app.register(galleryRoutes)
  await app.register(docsRoutes)
  return app
}

/** Most stories that a line of the log names. */
const LOGGED_STORIES = 100

function purgeEvents(log: FastifyBaseLogger, metrics: Metrics): PurgeEvents {
  return {
    onPurged: (count) => metrics.purged('ok', count),
    onFailed(err, delay) {
      metrics.purgeFailed()
      log.warn({ err, retryIn: Math.round(delay) }, 'the CDN could not be told of deleted stories')
    },
    onLost({ count, ids }, err) {
      metrics.purged('lost', count)
      const text = 'the CDN was not told of deleted stories, and may serve their images until they expire'
      if (ids.length === 0) log.error({ err, count }, text)
      for (let at = 0; at < ids.length; at += LOGGED_STORIES)
        log.error({ err, count, stories: ids.slice(at, at + LOGGED_STORIES) }, text)
    },
  }
}
