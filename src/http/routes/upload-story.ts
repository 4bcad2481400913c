import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { BadRequest, UploadStalled, UploadTimeout, UploadTooSlow } from '../../errors.ts'
import { onStall, type TooSlow } from '../../stall.ts'
import { publicPath } from '../../stories/key.ts'
import { uploadStory } from '../../stories/upload.ts'
import { withinTicket } from '../access/ticket.ts'
import { askForBody } from '../expect-continue.ts'
import { checkHeaders, readImages } from '../multipart.ts'
import { storyLinks, uploadSchema } from '../openapi/operations.ts'
import { goneSignal } from '../plugins/connections.ts'
import { UploadBudget } from '../upload-budget.ts'

/** How fast an upload must be over each `CLIENT_TIMEOUT`, in bytes per second. Only hostile clients are slower. */
const MIN_RATE = 1024

/** How fast an upload must be while others wait for the memory that it holds, in bytes per second. */
const WANTED_RATE = 32 * 1024

/** How much of a body has to have arrived to say that it has begun; of a shorter one, all. Node reads that much ahead. */
const BEGUN_BYTES = 8 * 1024
const BEGUN_POLL_MS = 20

export const uploadStoryRoute: FastifyPluginAsyncTypebox = async (app) => {
  const { config, store } = app
  const budget = new UploadBudget(config.UPLOAD_MEMORY, store.putMemory, config.UPLOAD_WAIT, config.MAX_WAITING)
  const limits = { maxFiles: config.MAX_FILES, maxFileSize: config.MAX_FILE_SIZE }
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
      checkHeaders(request, limits)
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
          const images = readImages(request, limits, signal)
          const story = await uploadStory(store, ticket ? withinTicket(images, ticket) : images, {
            maxPixels: config.MAX_PIXELS,
            readAhead: reservation.readAhead,
            signal,
            idempotencyName,
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

  /** What ends an upload from outside: its time is up, its client stopped sending, its client is gone. */
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
    const stalled = (missed?: TooSlow) =>
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
    const stopWatching = onStall(request.raw, idle, stalled, {
      usual: MIN_RATE,
      now: () => (deadline.hasWaiters() ? WANTED_RATE : 0),
    })
    return deadline
  }
}

/** Resolves when the body of an upload has begun to arrive; rejects with the signal's reason. */
async function bodyStarted(body: IncomingMessage, signal: AbortSignal): Promise<void> {
  while (body.readableLength < BEGUN_BYTES && !body.complete) {
    signal.throwIfAborted()
    await sleep(BEGUN_POLL_MS, undefined, { ref: false })
  }
}

/** Bytes of the body; nothing for a chunked one. Node has checked the header (RFC 9112 section 6.3). */
function contentLength(request: FastifyRequest): number | undefined {
  const header = request.headers['content-length']
  return header === undefined ? undefined : Number(header)
}

/**
 * What an upload with an Idempotency-Key is known by: the key is its sender's alone. As in the IETF's draft "The Idempotency-Key HTTP
 * Header Field", whose quotes are optional here and part of the key. With a ticket it is the ticket's nonce, whatever the header says.
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
