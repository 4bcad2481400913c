import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import fresh from 'fresh'
import type { Static } from 'typebox'
import { PRIVATE_CACHE_CONTROL } from '../../config.ts'
import { ImageNotFound, ObjectNotFound, RangeNotSatisfiable } from '../../errors.ts'
import type { ByteRange, FoundObject, ObjectHead } from '../../store/object-store.ts'
import { CONTENT_TYPES, type ImageType } from '../../stories/image-format.ts'
import { imageTypeOf, isStoryId, publicPath, storyPrefix } from '../../stories/key.ts'
import { deliver } from '../deliver.ts'
import { imageDocument, imageHeadDocument } from '../documents.ts'
import { errors, ImageParams } from '../schemas.ts'

interface Route {
  Params: Static<typeof ImageParams>
}

const URL = '/images/stories/:story_id/:name'

/** An image itself, as a CDN fetches it. */
export const imageRoutes: FastifyPluginAsync = async (app) => {
  const { config, store } = app
  const schema = { params: ImageParams, response: errors(401, 403, 404, 416, 429, 503) }
  // Images say for themselves which pages may use them
  const routeConfig = { cors: false, ...(config.PRIVATE_IMAGES && ({ scope: 'read', orBy: 'signature' } as const)) }

  app.get<Route>(
    URL,
    {
      schema: { ...schema, operationId: 'getImage', summary: 'Get an image', document: imageDocument },
      config: routeConfig,
    },
    async (request, reply) => {
      const image = imageOf(request.params)
      const signal = goneSignal(reply)
      if (isConditional(request)) {
        // Costs a second call only for a client whose copy is out of date, and images never change
        const head = await store.head(image.key, { signal }).catch(notFoundAs(image.key))
        setHeaders(reply, image, head)
        if (isFresh(request, reply)) return reply.code(304).send()
      }
      const found = await open(image.key, request, signal).catch(notFoundAs(image.key))
      setHeaders(reply, image, found)
      if (found.range) {
        const { start, end } = found.range
        reply.code(206).header('content-range', `bytes ${start}-${end}/${found.size}`)
        reply.header('content-length', end - start + 1)
      } else {
        reply.header('content-length', found.size)
      }
      return deliver(reply, found.body)
    },
  )

  app.head<Route>(
    URL,
    {
      schema: {
        params: ImageParams,
        response: errors(401, 403, 404, 429, 503),
        operationId: 'headImage',
        summary: 'Get the headers of an image',
        document: imageHeadDocument,
      },
      config: routeConfig,
    },
    async (request, reply) => {
      const image = imageOf(request.params)
      const head = await store.head(image.key, { signal: goneSignal(reply) }).catch(notFoundAs(image.key))
      setHeaders(reply, image, head)
      if (isFresh(request, reply)) return reply.code(304).send()
      return reply.header('content-length', head.size).send()
    },
  )

  function setHeaders(reply: FastifyReply, image: RequestedImage, object: ObjectHead): void {
    const { width, height } = object.metadata
    reply.headers({
      'content-type': CONTENT_TYPES[image.type],
      'accept-ranges': 'bytes',
      etag: object.etag,
      'last-modified': object.lastModified.toUTCString(),
      // A cache that looks at paths alone would show everybody what a key has opened
      'cache-control': reply.request.access.hasKey ? PRIVATE_CACHE_CONTROL : config.CACHE_CONTROL,
      'cache-tag': image.storyId,
      'access-control-allow-origin': '*',
      'access-control-expose-headers':
        'Content-Length, Content-Range, ETag, Last-Modified, X-Image-Width, X-Image-Height',
      'cross-origin-resource-policy': 'cross-origin',
      'content-security-policy': "default-src 'none'; sandbox",
      // A file that was copied into the bucket by hand has no size
      ...(width && height && { 'x-image-width': width, 'x-image-height': height }),
    })
  }

  /** Opens the image, or the range of it that is asked for. */
  async function open(key: string, request: FastifyRequest, signal: AbortSignal): Promise<FoundObject> {
    const range = parseRange(request.headers.range)
    if (!range) return store.get(key, { signal })
    const condition = request.headers['if-range'] as string | undefined
    try {
      const found = await store.get(key, { range, signal })
      if (condition === undefined || isSame(condition, found)) return found
      found.body.destroy()
    } catch (error) {
      if (!(error instanceof RangeNotSatisfiable)) throw error
      const head = await store.head(key, { signal })
      if (condition === undefined || isSame(condition, head)) {
        error.headers = { 'content-range': `bytes */${head.size}` }
        throw error
      }
    }
    return store.get(key, { signal })
  }
}

interface RequestedImage {
  readonly storyId: string
  readonly key: string
  readonly type: ImageType
}

function imageOf({ story_id: storyId, name }: Route['Params']): RequestedImage {
  const type = imageTypeOf(name)
  const key = storyPrefix(storyId) + name
  if (!isStoryId(storyId) || !type) throw new ImageNotFound(publicPath(key))
  return { storyId, key, type }
}

function notFoundAs(key: string) {
  return (error: unknown): never => {
    throw error instanceof ObjectNotFound ? new ImageNotFound(publicPath(key)) : error
  }
}

/** Aborts when the client goes away, so that the store's connection is free at once. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort()
  })
  return controller.signal
}

function isConditional({ headers }: FastifyRequest): boolean {
  return headers['if-none-match'] !== undefined || headers['if-modified-since'] !== undefined
}

/** RFC 9110 section 13.2.2. */
function isFresh(request: FastifyRequest, reply: FastifyReply): boolean {
  // `Cache-Control: no-cache` is for caches; `fetch` sends it with every condition that a page sets itself
  return fresh({ ...request.headers, 'cache-control': undefined }, reply.getHeaders())
}

/**
 * One range of bytes (RFC 9110 section 14.2). Of what is no such range, several ranges among it, nothing: a server may ignore
 * the header, and the answer is the whole image.
 */
function parseRange(header: string | undefined): ByteRange | undefined {
  const match = /^bytes=(?:(\d{1,15})-(\d{1,15})?|-(\d{1,15}))$/i.exec(header?.trim() ?? '')
  if (!match) return undefined
  const [, first, last, suffix] = match
  if (suffix !== undefined) return { suffix: Number(suffix) }
  const start = Number(first)
  if (last === undefined) return { start }
  return Number(last) < start ? undefined : { start, end: Number(last) }
}

/** `If-Range` (RFC 9110 section 13.1.5): a strong entity tag, or the very date of the image. */
function isSame(condition: string, head: ObjectHead): boolean {
  return condition === head.etag || condition === head.lastModified.toUTCString()
}
