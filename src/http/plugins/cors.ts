import fastifyCors from '@fastify/cors'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { listed } from '../../config.ts'

const OPTIONS = {
  methods: 'GET, HEAD, POST, DELETE',
  exposedHeaders: 'Link, Retry-After, WWW-Authenticate, Idempotent-Replayed, Restorable-Until, X-Request-Id',
  maxAge: 3600,
}

const HEADERS = ['access-control-allow-origin', 'access-control-expose-headers', 'vary']

declare module 'fastify' {
  interface FastifyRequest {
    /** CORS headers of the response; undefined without `CORS_ORIGINS`. */
    corsHeaders: Readonly<Record<string, string>> | undefined
  }
}

/** Lets pages of `CORS_ORIGINS` use the API. */
export const corsPlugin = fp(
  async (app) => {
    const origins = listed(app.config.CORS_ORIGINS)
    if (origins.length === 0) return
    await app.register(fastifyCors, {
      delegator: (request, done) =>
        done(null, {
          ...OPTIONS,
          origin: origins,
          preflight: isPreflight(request),
          ...(isPreflight(request) && { allowedHeaders: requestedHeaders(request) }),
        }),
    })
    app.decorateRequest('corsHeaders')
    app.addHook('onRequest', async (request, reply) => {
      request.corsHeaders = Object.fromEntries(
        HEADERS.filter((name) => reply.hasHeader(name)).map((name) => [name, String(reply.getHeader(name))]),
      )
    })
  },
  { name: 'cors' },
)

/** Returns whether the request is a preflight (Fetch Standard, "CORS-preflight request"). Paths support OPTIONS for nothing else. */
function isPreflight({ method, headers }: FastifyRequest): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && headers['access-control-request-method'] !== undefined
}

/** Most headers that a preflight may request: each library for tracing and caches adds a few. */
const MAX_HEADERS = 64
/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/

/**
 * Returns the headers that a preflight requests. An origin that may send a key may send every header: the server ignores those that it
 * does not know, and sets no cookies.
 */
function requestedHeaders({ headers }: FastifyRequest): string[] {
  const names = String(headers['access-control-request-headers'] ?? '').split(',')
  return names
    .map((name) => name.trim())
    .filter((name) => TOKEN.test(name))
    .slice(0, MAX_HEADERS)
}
