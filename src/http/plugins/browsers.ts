import cors from '@fastify/cors'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { listed } from '../../config.ts'

const CORS = {
  methods: 'GET, HEAD, POST, DELETE',
  exposedHeaders: 'Link, Retry-After, WWW-Authenticate, Idempotent-Replayed, X-Request-Id',
  maxAge: 3600,
}

/** Headers of every response except images (OWASP, "HTTP Security Response Headers Cheat Sheet"): it is neither run, framed nor embedded. */
const HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
}

const CORS_HEADERS = ['access-control-allow-origin', 'access-control-expose-headers', 'vary']

declare module 'fastify' {
  interface FastifyRequest {
    /** What the page that sent the request is told; nothing without `CORS_ORIGINS`. */
    corsHeaders: Readonly<Record<string, string>> | undefined
  }
}

/** What browsers are told: to run and frame nothing of this server, and which pages may use it. Images say it for themselves. */
export const browsersPlugin = fp(
  async (app) => {
    // Those of a route come later, and win. With headers on `raw` Node would write those of all answers in a way that takes longer
    app.addHook('onRequest', (_request, reply, done) => {
      reply.headers(HEADERS)
      done()
    })
    app.decorateRequest('corsHeaders')
    // An error takes away what was said of the answer that did not come
    app.addHook('onSend', (request, reply, payload, done) => {
      if (reply.statusCode >= 400) {
        reply.headers({ ...HEADERS, ...request.corsHeaders })
      }
      done(null, payload)
    })

    const origins = listed(app.config.CORS_ORIGINS)
    if (origins.length === 0) return
    await app.register(cors, {
      delegator: (request, done) =>
        done(null, {
          ...CORS,
          origin: origins,
          preflight: isPreflight(request),
          ...(isPreflight(request) && { allowedHeaders: requestedHeaders(request) }),
        }),
    })
    app.addHook('onRequest', async (request, reply) => {
      request.corsHeaders = Object.fromEntries(
        CORS_HEADERS.filter((name) => reply.hasHeader(name)).map((name) => [name, String(reply.getHeader(name))]),
      )
    })
  },
  { name: 'browsers' },
)

/** Fetch Standard, "CORS-preflight request". Every other OPTIONS is a method that the path does not have. */
function isPreflight({ method, headers }: FastifyRequest): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && headers['access-control-request-method'] !== undefined
}

/** Most headers that a preflight is allowed: each library for tracing and caches adds a few. */
const MOST_HEADERS = 64
/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/

/**
 * The headers that a preflight asks for. An origin that may send a key may send every header: the server ignores those that it does not
 * know, and sets no cookies.
 */
function requestedHeaders({ headers }: FastifyRequest): string[] {
  const names = String(headers['access-control-request-headers'] ?? '').split(',')
  return names
    .map((name) => name.trim())
    .filter((name) => TOKEN.test(name))
    .slice(0, MOST_HEADERS)
}
