import swagger from '@fastify/swagger'
import type { FastifyContextConfig, FastifySchema } from 'fastify'
import fp from 'fastify-plugin'
import { Type } from 'typebox'
import type { ServiceError } from '../../errors.ts'
import { version } from '../../version.ts'
import { errors, header, written } from '../schemas.ts'
import { MEDIA_TYPES } from './operations.ts'
import {
  type DescribedResponse,
  describedResponses,
  HEADERS_OF_ALL,
  OF_EVERY_OPEN_ROUTE,
  OF_EVERY_ROUTE,
} from './responses.ts'

declare module 'fastify' {
  interface FastifySchema {
    /** Returns errors of the route, which become examples in the document. */
    failures?: () => readonly ServiceError[]
  }
}

const Document = Type.Object(
  { openapi: Type.String() },
  { additionalProperties: true, examples: [{ openapi: '3.1.0', info: { title: 'story-images' }, paths: {} }] },
)

const Described = {
  ...Document,
  headers: { 'Cache-Control': header('Caches revalidate the document', 'no-cache') },
}

/** Tags of routes, by the beginning of their paths. */
const TAGS = [
  { path: '/api/v1/images', name: 'stories', description: 'Upload, list and delete' },
  { path: '/images/', name: 'images', description: 'The bytes of images' },
  { path: '/api/v1/', name: 'access', description: 'URLs that need no key' },
  { path: '/', name: 'server', description: 'For operators' },
]

const IMAGE_PATH = '/images/stories/{story_id}/{name}'

const SECURITY = {
  bearer: { type: 'http', scheme: 'bearer' },
  key: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
  ticket: { type: 'apiKey', in: 'query', name: 'ticket' },
  signature: { type: 'apiKey', in: 'query', name: 'signature' },
} as const

interface OpenApiDocument {
  readonly paths?: object
  readonly components?: object
}

/** The OpenAPI 3.1 document at `/openapi.json`, made once from the schemas of the routes (https://spec.openapis.org/oas/v3.1.1). */
export const openapiPlugin = fp(
  async (app) => {
    const { API_KEYS, PUBLIC_IMAGE_URL } = app.config
    const hasKeys = API_KEYS !== undefined
    const always = hasKeys ? OF_EVERY_ROUTE : OF_EVERY_OPEN_ROUTE
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'story-images',
          version,
          description: 'Keeps the images of stories.',
          license: { name: 'Apache 2.0', identifier: 'Apache-2.0' },
        },
        // Relative to the document, because a proxy may add a prefix
        servers: [{ url: '.' }],
        tags: TAGS.map(({ path: _path, ...tag }) => tag),
        components: { securitySchemes: SECURITY },
      },
      stripBasePath: false,
      exposeHeadRoutes: true,
      transform: ({ schema, url, route }) => ({
        schema: {
          ...described(schema ?? {}, route.config?.isAlwaysServed ? always : [...always, 503]),
          tags: [TAGS.find(({ path }) => url.startsWith(path))?.name ?? ''],
          ...security(route.config ?? {}, hasKeys),
        },
        url,
      }),
      transformObject: (document) => {
        if (!('openapiObject' in document)) return document.swaggerObject
        const { openapiObject } = document
        const upload = openapiObject.paths?.['/api/v1/images/upload']?.post?.requestBody
        const form = upload && 'content' in upload ? upload.content['multipart/form-data'] : undefined
        const images = openapiObject.paths?.[IMAGE_PATH]
        if (images && PUBLIC_IMAGE_URL !== undefined)
          images.servers = [
            { url: PUBLIC_IMAGE_URL, description: 'The CDN' },
            { url: '.', description: 'This server' },
          ]
        if (form) form.encoding = { files: { contentType: MEDIA_TYPES.join(', ') } }
        return openapiObject
      },
    })

    let text: string | undefined
    app.get(
      '/openapi.json',
      { schema: { operationId: 'describe', summary: 'This document', response: { 200: written(Described) } } },
      async (_request, reply) => {
        reply.type('application/json; charset=utf-8').header('cache-control', 'no-cache')
        text ??= JSON.stringify(withComponents(app.swagger()))
        return text
      },
    )
  },
  { name: 'openapi' },
)

function security({ scope, altAuth }: FastifyContextConfig, hasKeys: boolean): FastifySchema {
  // Without keys everybody is admitted, except to private images
  if (scope === undefined || (!hasKeys && altAuth !== 'signature')) return { security: [] }
  const keys = hasKeys ? [{ bearer: [] }, { key: [] }] : []
  return {
    description: `Needs the scope \`${scope}\`${altAuth === undefined ? '' : `, or a ${altAuth}`}.`,
    security: altAuth === undefined ? keys : [...keys, { [altAuth]: [] }],
  }
}

function described({ failures, operationId, ...schema }: FastifySchema, always: readonly number[]): FastifySchema {
  const responses: object = { ...errors(...always), ...(schema.response as object) }
  return {
    ...schema,
    response: describedResponses(responses as Record<string, DescribedResponse>, failures?.() ?? []),
    // The library adds a suffix for HEAD, but our ids are different already
    ...(operationId !== undefined && { operationId: operationId.replace(/-head$/, '') }),
  }
}

/** Moves each schema with a title, and each header of all responses, to the components of the document. */
function withComponents({ paths, components, ...document }: OpenApiDocument): OpenApiDocument {
  const schemas: Record<string, object> = {}
  const headers: Record<string, object> = {}
  const text = JSON.stringify(paths, (member, value) => {
    if (member in HEADERS_OF_ALL) {
      headers[member] = value
      return { $ref: `#/components/headers/${member}` }
    }
    if (typeof value?.title !== 'string' || value.type === undefined) return value
    const { title, ...schema } = value
    schemas[title] = schema
    return { $ref: `#/components/schemas/${title}` }
  })
  return { ...document, components: { ...components, schemas, headers }, paths: JSON.parse(text) }
}
