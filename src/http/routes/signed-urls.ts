import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { STORY_ID_PATTERN } from '../../layout/story.ts'
import { checkedBody, parseJsonBodies, wholeNumber } from '../auth/json-body.ts'
import { signUrl } from '../auth/signed-url.ts'
import { nowSeconds, timeOf } from '../auth/signing.ts'
import { jsonSchema } from '../openapi/operations.ts'
import { errors, IMAGE_PATHS, noStore } from '../schemas.ts'

const MAX_PATHS = 1000
const MAX_BODY_BYTES = 256 * 1024

/** Seconds. */
const MAX_SECONDS = 7 * 24 * 60 * 60
const DEFAULT_SECONDS = 60 * 60

const IMAGE_PATH = `^/images/stories/${STORY_ID_PATTERN.slice(1, -1)}/[1-9][0-9]{0,8}\\.[a-z]{3,4}$`

const Wanted = Type.Object(
  {
    paths: Type.Array(Type.String({ pattern: IMAGE_PATH }), {
      minItems: 1,
      maxItems: MAX_PATHS,
      description: `a list of 1 to ${MAX_PATHS} paths of images, as lists and uploads return them`,
    }),
    expires_in: wholeNumber(' of seconds', MAX_SECONDS, DEFAULT_SECONDS),
  },
  { examples: [{ paths: IMAGE_PATHS, expires_in: 3600 }] },
)

const Signed = Type.Object(
  {
    urls: Type.Array(Type.String(), {
      description:
        'In the order of the paths; below `PUBLIC_IMAGE_URL`, or relative to the root of the server without it',
    }),
    expires_at: Type.String({ format: 'date-time', description: 'UTC, to the second' }),
  },
  {
    title: 'SignedUrls',
    examples: [
      {
        urls: IMAGE_PATHS.map((path) => `${path}?expires=1795305600&signature=dGhlIHNpZ25hdHVyZQ`),
        expires_at: '2026-11-22T00:00:00Z',
      },
    ],
  },
)

/** Signs URLs of private images, which need no key until they expire. */
export const signedUrlRoutes: FastifyPluginAsync = async (app) => {
  const { config, signer } = app
  if (!signer || !config.PRIVATE_IMAGES) return
  // The signature is that of the path, as the CDN sends it on
  const base = config.PUBLIC_IMAGE_URL ?? ''
  parseJsonBodies(app, MAX_BODY_BYTES)

  app.post(
    '/api/v1/signed-urls',
    {
      schema: {
        operationId: 'signUrls',
        summary: 'Make URLs of private images that need no key',
        ...jsonSchema(Wanted, MAX_BODY_BYTES),
        response: {
          200: { ...Signed, headers: { 'Cache-Control': noStore } },
          ...errors(400, 401, 403, 408, 413, 415, 429),
        },
      },
      config: { scope: 'read' },
    },
    async (request, reply) => {
      const { paths, expires_in = DEFAULT_SECONDS } = checkedBody(Wanted, request.body)
      const expires = nowSeconds() + expires_in
      reply.header('cache-control', 'no-store')
      return { urls: paths.map((path) => base + signUrl(signer, path, expires)), expires_at: timeOf(expires) }
    },
  )
}
