import { readFileSync } from 'node:fs'
import swagger from '@fastify/swagger'
import type { FastifyContextConfig, FastifySchema } from 'fastify'
import fp from 'fastify-plugin'
import { Type } from 'typebox'
import { MEDIA_TYPES } from '../documents.ts'
import { errors, written } from '../schemas.ts'

declare module 'fastify' {
  interface FastifySchema {
    /** What the document says beside, or instead of, what Fastify checks and writes. It changes no request and no answer. */
    document?: Pick<FastifySchema, 'body' | 'headers' | 'params' | 'querystring' | 'response'>
  }
}

const Document = Type.Object({ openapi: Type.String() }, { description: 'This document', additionalProperties: true })

const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

/** What every route can answer, whatever is asked of it. */
const OF_EVERY_ROUTE = [400, 417, 431, 500]

const MEANINGS: Readonly<Record<number, string>> = {
  400: 'The request is not as described, or is no proper HTTP',
  401: 'No key, or a wrong one',
  403: 'The key does not allow this',
  404: 'There is no such story or image',
  408: 'The upload stalled, or took too long',
  409: 'The first upload with this Idempotency-Key is still running',
  413: 'A file, the number of files or fields, or the pixels of an image are over the limit',
  415: 'The body is not multipart/form-data, or a file is not one of the image types',
  416: 'The range lies outside of the image; Content-Range says how long it is',
  417: 'An expectation other than 100-continue',
  422: 'The Idempotency-Key was used with other images',
  429: 'Too many requests',
  431: 'The headers of the request are too large',
  500: 'The server or its store failed',
  503: 'The store is out of reach, or the server is busy, or the outcome is unknown',
  507: 'The store is full',
}

const RequestId = Type.String({ description: 'The id under which the log has the request' })
const RetryAfter = Type.String({ pattern: '^[0-9]+$', description: 'Seconds after which to try again' })
const TRY_AGAIN = new Set([409, 429, 503, 507])

/** What opens a route. */
const SECURITY = {
  bearer: { type: 'http', scheme: 'bearer' },
  key: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
  ticket: { type: 'apiKey', in: 'query', name: 'ticket' },
  signature: { type: 'apiKey', in: 'query', name: 'signature' },
} as const

/** The OpenAPI 3.1 document at `/openapi.json`, made once from the schemas of the routes (https://spec.openapis.org/oas/v3.1.1). */
export const openapiPlugin = fp(
  async (app) => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: { title: 'story-images', version, description: 'Keeps the pictures of stories.' },
        servers: [{ url: '/' }],
        components: { securitySchemes: SECURITY },
      },
      exposeHeadRoutes: true,
      transform: ({ schema, url, route }) => ({
        schema: { ...described(schema ?? {}), ...security(route.config ?? {}, app.config.API_KEYS !== undefined) },
        url,
      }),
      transformObject: (document) => {
        if (!('openapiObject' in document)) return document.swaggerObject
        const { openapiObject } = document
        const upload = openapiObject.paths?.['/api/v1/images/upload']?.post?.requestBody
        const form = upload && 'content' in upload ? upload.content['multipart/form-data'] : undefined
        if (form) form.encoding = { files: { contentType: MEDIA_TYPES.join(', ') } }
        return openapiObject
      },
    })

    let text: string | undefined
    app.get(
      '/openapi.json',
      { schema: { operationId: 'describe', summary: 'This document', response: { 200: written(Document) } } },
      async (_request, reply) => {
        reply.type('application/json; charset=utf-8').header('cache-control', 'no-cache')
        text ??= JSON.stringify(app.swagger())
        return text
      },
    )
  },
  { name: 'openapi' },
)

function security({ scope, orBy }: FastifyContextConfig, hasKeys: boolean): FastifySchema {
  // Without keys everybody is let in, but not to private images
  if (scope === undefined || (!hasKeys && orBy !== 'signature')) return {}
  const keys = hasKeys ? [{ bearer: [] }, { key: [] }] : []
  return {
    description: `Needs the scope \`${scope}\`${orBy === undefined ? '' : `, or a ${orBy}`}.`,
    security: orBy === undefined ? keys : [...keys, { [orBy]: [] }],
  }
}

interface Answer {
  readonly description?: string
  readonly headers?: Readonly<Record<string, unknown>>
  readonly [keyword: string]: unknown
}

function described({ document, operationId, ...schema }: FastifySchema): FastifySchema {
  const response: Record<string, Answer> = {
    ...errors(...OF_EVERY_ROUTE),
    ...(schema.response as Record<string, Answer> | undefined),
    ...(document?.response as Record<string, Answer> | undefined),
  }
  for (const [status, answer] of Object.entries(response)) {
    response[status] = {
      ...answer,
      description: answer.description ?? MEANINGS[Number(status)] ?? 'Success',
      headers: {
        'X-Request-Id': RequestId,
        ...(TRY_AGAIN.has(Number(status)) && { 'Retry-After': RetryAfter }),
        ...answer.headers,
      },
    }
  }
  return {
    ...schema,
    ...document,
    response,
    // The library tells those of HEAD apart by a suffix; ours are different already
    ...(operationId !== undefined && { operationId: operationId.replace(/-head$/, '') }),
  }
}
