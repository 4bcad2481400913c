import cors from '@fastify/cors'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { listed } from '../../config.ts'

const CORS = {
  methods: 'GET, HEAD, POST, DELETE',
  allowedHeaders:
    'Authorization, X-API-Key, Content-Type, Idempotency-Key, X-Request-Id, Range, If-Range, If-None-Match',
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
      delegator: (request, done) => done(null, { ...CORS, origin: origins, preflight: isPreflight(request) }),
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
