import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { BadRequest, UploadStalled, UploadTimeout, UploadTooSlow } from '../../errors.ts'
import { type MinRate, onStall } from '../../io/stall.ts'
import { publicPath } from '../../layout/story.ts'
import { uploadStory } from '../../stories/upload.ts'
import { withinTicket } from '../auth/ticket.ts'
import { UploadBudget } from '../limits/upload-budget.ts'
import { checkHeaders, readImages } from '../multipart.ts'
import { storyLinks, uploadSchema } from '../openapi/operations.ts'
import { goneSignal } from '../plugins/connections.ts'
import { askForBody } from '../plugins/expect-continue.ts'

/** Least rate of an upload over each `CLIENT_TIMEOUT`, in bytes per second. Only hostile clients are slower. */
const MIN_RATE = 1024

/** Least rate of an upload while others wait for its memory, in bytes per second. */
const BUSY_RATE = 32 * 1024

/** Bytes with which a body has started; a shorter one has to be complete. Node reads that much ahead. */
const STARTED_BYTES = 8 * 1024

export const uploadStoryRoute: FastifyPluginAsyncTypebox = async (app) => {
  const { config, limits, store } = app
  const budget = new UploadBudget(config.UPLOAD_MEMORY, store.putMemory, config.UPLOAD_WAIT, limits.waiting)
  const fileLimits = { maxFiles: config.MAX_FILES, maxFileSize: config.MAX_FILE_SIZE }
  const strip = config.STRIP_METADATA === 'none' ? undefined : config.STRIP_METADATA
  // A CDN may read public images from the bucket itself
  const cacheControl = config.PRIVATE_IMAGES ? undefined : config.CACHE_CONTROL
  app.metrics.watchQueue('small_uploads', budget.queues.small, 'bytes')
  app.metrics.watchQueue('large_uploads', budget.queues.large, 'bytes')

  app.post(
    '/api/v1/images/upload',
    {
      links: storyLinks,
      schema: uploadSchema,
      config: { scope: 'write', altAuth: 'ticket' },
    },
    async (request, reply) => {
      checkHeaders(request, fileLimits)
      const idempotencyName = idempotencyNameOf(request)
      askForBody(request.raw)
      const deadline = uploadDeadline(request)
      try {
        const { signal } = deadline
        const asked = performance.now()
        const reservation = await budget.reserve(contentLength(request), signal, {
          clientId: request.clientId,
          bodyStarted: () => bodyStarted(request.raw, signal),
        })
        deadline.hasWaiters = reservation.hasWaiters
        request.logFields.waited = Math.round(performance.now() - asked)
        try {
          const { ticket } = request.access
          const images = readImages(request, fileLimits, signal)
          const story = await uploadStory(store, ticket ? withinTicket(images, ticket) : images, {
            maxPixels: config.MAX_PIXELS,
            strip,
            readAhead: reservation.readAhead,
            signal,
            idempotencyName,
            cacheControl,
            onDebris: (err) => request.log.warn({ err }, 'a failed upload left objects behind, which no list shows'),
          })
          const { length: count } = story.keys
          app.metrics.uploaded(count, story.isReplay)
          Object.assign(request.logFields, { story: story.id, images: count, ...(story.isReplay && { replay: true }) })
          if (story.isReplay) reply.header('idempotent-replayed', 'true')
          return { story_id: story.id, image_paths: story.keys.map(publicPath), image_count: count }
        } finally {
          reservation.release()
        }
      } finally {
        deadline.clear()
      }
    },
  )

  /** Ends an upload when its time is up, or its client is too slow or gone. */
  function uploadDeadline(request: FastifyRequest) {
    const controller = new AbortController()
    const timer = setTimeout(
      () => controller.abort(new UploadTimeout(config.UPLOAD_TIMEOUT)),
      config.UPLOAD_TIMEOUT,
    ).unref()
    const client = goneSignal(request.raw)
    const gone = () => controller.abort(client.reason)
    if (client.aborted) gone()
    client.addEventListener('abort', gone)
    const idle = config.CLIENT_TIMEOUT
    const stalled = (missed?: MinRate) =>
      controller.abort(missed ? new UploadTooSlow(missed.rate, missed.milliseconds) : new UploadStalled(idle))
    const deadline = {
      signal: controller.signal,
      hasWaiters: () => false,
      clear() {
        clearTimeout(timer)
        stopWatching()
        client.removeEventListener('abort', gone)
      },
    }
    const stopWatching = onStall(request.raw, idle, stalled, () =>
      deadline.hasWaiters() ? { rate: BUSY_RATE, milliseconds: idle / 4 } : { rate: MIN_RATE, milliseconds: idle },
    )
    return deadline
  }
}

/** Resolves when the body of an upload has started to arrive. Rejects with the signal's reason. */
async function bodyStarted(body: IncomingMessage, signal: AbortSignal): Promise<void> {
  let check = () => {}
  await new Promise<void>((resolve) => {
    check = () => {
      if (signal.aborted || body.complete || body.readableLength >= STARTED_BYTES) resolve()
    }
    // While nobody reads, there is an event for each chunk until the buffer is full
    body.on('readable', check)
    signal.addEventListener('abort', check)
    check()
  })
  body.off('readable', check)
  signal.removeEventListener('abort', check)
  signal.throwIfAborted()
}

/** Returns the bytes of the body, or undefined for a chunked one. Node has checked the header (RFC 9112 section 6.3). */
function contentLength(request: FastifyRequest): number | undefined {
  const header = request.headers['content-length']
  return header === undefined ? undefined : Number(header)
}

/**
 * Returns the name of an upload's idempotency records, a hash of its caller and key: callers do not share keys. Returns undefined without
 * a key. With a ticket the key is the ticket's nonce, and otherwise the `Idempotency-Key` header of the IETF's draft "The Idempotency-Key
 * HTTP Header Field". The draft's quotes are optional here, and part of the key.
 *
 * @throws {BadRequest}
 */
function idempotencyNameOf({ access, headers }: FastifyRequest): string | undefined {
  const key = access.ticket?.nonce ?? headers['idempotency-key']
  if (key === undefined) return undefined
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw new BadRequest('The Idempotency-Key header must be 1 to 255 visible ASCII characters, without spaces')
  }
  return createHash('sha256').update(`${access.caller} ${key}`).digest('hex')
}
