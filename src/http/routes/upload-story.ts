import { createHash } from 'node:crypto'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { BadRequest, ClientGone, NotMultipart, UploadStalled, UploadTimeout } from '../../errors.ts'
import { onStall } from '../../stall.ts'
import { publicPath } from '../../stories/key.ts'
import { uploadStory } from '../../stories/upload.ts'
import { readImages } from '../multipart.ts'
import { errors, Uploaded } from '../schemas.ts'
import { UploadBudget } from '../upload-budget.ts'

export const uploadStoryRoute: FastifyPluginAsyncTypebox = async (app) => {
  const { config, store } = app
  const budget = new UploadBudget(config.UPLOAD_MEMORY, config.UPLOAD_WAIT)

  app.post(
    '/api/v1/images/upload',
    {
      schema: {
        operationId: 'uploadStory',
        summary: 'Upload the images of a new story',
        consumes: ['multipart/form-data'],
        response: { 200: Uploaded, ...errors(400, 408, 409, 413, 415, 422, 503, 507) },
      },
    },
    async (request, reply) => {
      if (!request.isMultipart()) throw new NotMultipart()
      const claim = claimName(request)
      const deadline = uploadDeadline(request, reply)
      try {
        const reservation = await budget.reserve(contentLength(request), deadline.signal)
        try {
          deadline.watchForStall()
          const story = await uploadStory(
            store,
            readImages(request, { maxFiles: config.MAX_FILES, maxFileSize: config.MAX_FILE_SIZE }),
            {
              maxPixels: config.MAX_PIXELS,
              readAhead: reservation.readAhead,
              signal: deadline.signal,
              uploadTimeout: config.UPLOAD_TIMEOUT,
              claim,
              onLeftover: (err) =>
                request.log.warn({ err }, 'a failed upload left objects behind, which no list shows'),
            },
          )
          request.log.debug({ story: story.id, images: story.keys.length }, 'stored')
          if (story.isReplay) reply.header('idempotent-replayed', 'true')
          return { story_id: story.id, image_paths: story.keys.map(publicPath), image_count: story.keys.length }
        } finally {
          reservation.release()
        }
      } finally {
        deadline.clear()
      }
    },
  )

  /** What ends an upload from outside: its time is up, its client stopped sending, its client is gone. */
  function uploadDeadline(request: FastifyRequest, reply: FastifyReply) {
    const controller = new AbortController()
    const timer = setTimeout(
      () => controller.abort(new UploadTimeout(config.UPLOAD_TIMEOUT)),
      config.UPLOAD_TIMEOUT,
    ).unref()
    const gone = () => controller.abort(new ClientGone())
    reply.raw.once('close', gone)
    let stopWatching = () => {}
    return {
      signal: controller.signal,
      watchForStall() {
        const { UPLOAD_IDLE_TIMEOUT: timeout } = config
        stopWatching = onStall(request.raw, timeout, () => controller.abort(new UploadStalled(timeout)))
      },
      clear() {
        clearTimeout(timer)
        stopWatching()
        reply.raw.off('close', gone)
      },
    }
  }
}

/** Bytes of the body; nothing for a chunked one. Node has checked the header (RFC 9112 section 6.3). */
function contentLength(request: FastifyRequest): number | undefined {
  const header = request.headers['content-length']
  return header === undefined ? undefined : Number(header)
}

/**
 * What an upload with an Idempotency-Key is known by: the key is its sender's alone. As in the IETF's draft "The Idempotency-Key HTTP
 * Header Field", whose quotes are optional here and part of the key.
 *
 * @throws {BadRequest}
 */
function claimName(request: FastifyRequest): string | undefined {
  const key = request.headers['idempotency-key']
  if (key === undefined) return undefined
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw new BadRequest('The Idempotency-Key header has to be 1 to 255 visible ASCII characters, without spaces')
  }
  return createHash('sha256').update(key).digest('hex')
}
