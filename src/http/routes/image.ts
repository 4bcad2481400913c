import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import fresh from 'fresh'
import { parseHttpDate } from '../../../packages/client/src/http-date.ts'
import { PRIVATE_CACHE_CONTROL } from '../../config.ts'
import { ImageNotFound, ObjectNotFound, PreconditionFailed, RangeNotSatisfiable, ServerBusy } from '../../errors.ts'
import { CONTENT_TYPES, type ImageType } from '../../images/types.ts'
import { imageTypeOf, isStoryId, isWrittenByUs, publicPath, storyPrefix } from '../../layout/story.ts'
import type { ByteRange, FoundObject, ObjectHead } from '../../store/object-store.ts'
import { readRecordedSize } from '../../stories/record.ts'
import { Variants } from '../../variants/variants.ts'
import { FairQueue } from '../limits/fair-queue.ts'
import { getImageSchema, headImageSchema } from '../openapi/operations.ts'
import { goneSignal } from '../plugins/connections.ts'
import { deliver } from '../send/deliver.ts'
import { allowedSizes, readVariant, type VariantRequest } from '../variant-request.ts'

interface Route {
  Params: { readonly story_id: string; readonly name: string }
}

const URL = '/images/stories/:story_id/:name'

/** Serves images and their variants. */
export const imageRoutes: FastifyPluginAsync = async (app) => {
  const { config, store } = app
  const queue = new FairQueue(config.VARIANT_CONCURRENCY, {
    timeoutMs: app.limits.wait,
    maxQueued: Number.POSITIVE_INFINITY,
    refusal: () => new ServerBusy(),
  })
  const variants = new Variants(store, queue, config.MAX_FILE_SIZE, (outcome, seconds) =>
    app.metrics.variant(outcome, seconds),
  )
  app.addHook('onClose', () => variants.close())

  const allowed = allowedSizes(config)
  const route = {
    // `readVariant` checks the query, after the path
    validatorCompiler: () => () => true,
    // Images have CORS headers of their own
    config: { cors: false, ...(config.PRIVATE_IMAGES && ({ scope: 'read', altAuth: 'signature' } as const)) },
  }

  app.get<Route>(URL, { ...route, schema: getImageSchema(allowed) }, async (request, reply) => {
    const image = imageOf(request)
    const signal = goneSignal(request.raw)
    if (isConditional(request)) {
      // A second call is needed only if the client's copy is out of date, and images never change
      const head = await find(image, (key) => store.head(key, { signal }), request, signal)
      const headers = headersOf(image, head, request)
      if (isNotModified(request, headers)) return reply.code(304).headers(headers).send()
    }
    const found = await find(image, (key) => open(key, request, signal), request, signal)
    const headers = headersOf(image, found, request)
    if (!found.range) return deliver(reply, headers, found.body, found.size)
    const { start, end } = found.range
    headers['content-range'] = `bytes ${start}-${end}/${found.size}`
    return deliver(reply.code(206), headers, found.body, end - start + 1)
  })

  app.head<Route>(URL, { ...route, schema: headImageSchema(allowed) }, async (request, reply) => {
    const image = imageOf(request)
    const signal = goneSignal(request.raw)
    const head = await find(image, (key) => store.head(key, { signal }), request, signal)
    const headers = headersOf(image, head, request)
    const notModified = isNotModified(request, headers)
    reply.headers(headers)
    if (notModified) return reply.code(304).send()
    return reply.header('content-length', head.size).send()
  })

  function imageOf(request: FastifyRequest<Route>): RequestedImage {
    const { story_id: storyId, name } = request.params
    const type = imageTypeOf(name)
    const key = storyPrefix(storyId) + name
    if (!isStoryId(storyId) || !type) throw new ImageNotFound(publicPath(key))
    return { storyId, key, type, variant: readVariant(request, type, allowed) }
  }

  /** Reads the image or its variant with `read`, a call to the store. */
  async function find<Found extends ObjectHead & { body?: Readable }>(
    { storyId, key, variant }: RequestedImage,
    read: (key: string) => Promise<Found>,
    request: FastifyRequest,
    signal: AbortSignal,
  ): Promise<Found> {
    try {
      if (!variant) return await withSize(await read(key), key, signal)
      return await variants.find({ storyId, source: key, ...variant }, read, { clientId: request.clientId, signal })
    } catch (error) {
      throw error instanceof ObjectNotFound ? new ImageNotFound(publicPath(key)) : error
    }
  }

  /** Adds the size of the image to its metadata, from the record of the story if the metadata does not have it. */
  async function withSize<Found extends ObjectHead & { body?: Readable }>(
    found: Found,
    key: string,
    signal: AbortSignal,
  ): Promise<Found> {
    const { metadata } = found
    if (metadata.width !== undefined || !isWrittenByUs(metadata)) return found
    // The body may fail before it is read; its reader gets the error later
    found.body?.on('error', () => {})
    try {
      const size = await readRecordedSize(store, key, signal)
      return { ...found, metadata: { ...metadata, width: String(size?.width), height: String(size?.height) } }
    } catch (error) {
      found.body?.destroy()
      throw error
    }
  }

  function headersOf(image: RequestedImage, object: ObjectHead, { access }: FastifyRequest): OutgoingHttpHeaders {
    const headers: OutgoingHttpHeaders = {
      'content-type': contentTypeOf(image, object),
      'accept-ranges': 'bytes',
      // A cache that looks at paths alone would serve to everybody what needs a key
      'cache-control': access.hasKey ? PRIVATE_CACHE_CONTROL : config.CACHE_CONTROL,
      'cache-tag': image.storyId,
      // CloudFront reads tags from one header only: this one, so that it also finds those that a bucket sends as metadata
      'x-amz-meta-cache-tag': image.storyId,
      'access-control-allow-origin': '*',
      'access-control-expose-headers':
        'Content-Length, Content-Range, ETag, Last-Modified, X-Image-Width, X-Image-Height',
      'cross-origin-resource-policy': 'cross-origin',
      'content-security-policy': "default-src 'none'; sandbox",
    }
    if (image.variant?.isNegotiated) headers.vary = 'Accept'
    // Objects may be damaged or imported, so malformed metadata is left out
    if (ETAG.test(object.etag)) headers.etag = object.etag
    if (!Number.isNaN(object.lastModified.getTime())) headers['last-modified'] = object.lastModified.toUTCString()
    const { width = '', height = '' } = object.metadata
    // An imported image has no size
    if (PIXELS.test(width) && PIXELS.test(height)) {
      headers['x-image-width'] = width
      headers['x-image-height'] = height
    }
    return headers
  }

  /** Opens the image, or the range of it that is requested. */
  function open(key: string, request: FastifyRequest, signal: AbortSignal): Promise<FoundObject> {
    const range = parseRange(request.headers.range)
    return range ? openRange(key, range, request, signal) : store.get(key, { signal })
  }

  async function openRange(
    key: string,
    range: ByteRange,
    request: FastifyRequest,
    signal: AbortSignal,
  ): Promise<FoundObject> {
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

/** RFC 9110 section 8.8.3. */
const ETAG = /^(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/
const PIXELS = /^[1-9]\d{0,9}$/
const TYPES = new Set(Object.values(CONTENT_TYPES))

/** Returns the media type. That of a variant is stored with it, because it is not always the one that was requested. */
function contentTypeOf({ type, variant }: RequestedImage, { contentType = '' }: ObjectHead): string {
  if (!variant) return CONTENT_TYPES[type]
  if (TYPES.has(contentType)) return contentType
  return variant.format === 'plain' ? CONTENT_TYPES[type] : `image/${variant.format}`
}

interface RequestedImage {
  readonly storyId: string
  readonly key: string
  readonly type: ImageType
  /** Undefined for the image itself. */
  readonly variant: VariantRequest | undefined
}

const CONDITIONS = ['if-match', 'if-unmodified-since', 'if-none-match', 'if-modified-since']

function isConditional({ headers }: FastifyRequest): boolean {
  return CONDITIONS.some((name) => headers[name] !== undefined)
}

/**
 * Evaluates the conditions of a request, in the order of RFC 9110 section 13.2.2. Returns whether the client's copy is still good.
 *
 * @throws {PreconditionFailed} if the image is not the one that `If-Match` or `If-Unmodified-Since` asks for
 */
function isNotModified({ headers: asked }: FastifyRequest, headers: OutgoingHttpHeaders): boolean {
  if (!isExpected(asked, headers)) throw new PreconditionFailed()
  const since = asked['if-modified-since']
  return fresh(
    {
      ...asked,
      'if-modified-since': since !== undefined && parseHttpDate(since) === undefined ? undefined : since,
      // Only caches heed it; `fetch` sends it with every condition that a page sets
      'cache-control': undefined,
    },
    headers,
  )
}

/** Returns whether `If-Match` holds or, without it, `If-Unmodified-Since`. */
function isExpected(asked: IncomingHttpHeaders, { etag, 'last-modified': date }: OutgoingHttpHeaders): boolean {
  const tags = asked['if-match']
  // In a strong comparison a weak tag equals none
  if (tags !== undefined)
    return tags.trim() === '*' || (tags.match(/(?:W\/)?"[^"]*"/g) ?? []).some((tag) => tag === etag)
  const since = parseHttpDate(asked['if-unmodified-since'] ?? '')
  return since === undefined || date === undefined || Date.parse(String(date)) <= since
}

/**
 * Parses one range of bytes (RFC 9110 section 14.2). Returns undefined for anything else, several ranges among it: a server may ignore the
 * header and send the whole image.
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

/** Evaluates `If-Range` (RFC 9110 section 13.1.5): a strong entity tag, or the exact date of the image. */
function isSame(condition: string, head: ObjectHead): boolean {
  return condition === head.etag || condition === head.lastModified.toUTCString()
}
