import fp from 'fastify-plugin'

/** Headers of every response except images (OWASP, "HTTP Security Response Headers Cheat Sheet"): it is neither run, framed nor embedded. */
const HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
}

/** Adds the security headers to every response. Images have their own. */
export const securityHeadersPlugin = fp(
  async (app) => {
    // Headers that a route sets later win. Headers on `raw` would make Node write the headers of all responses in a slower way
    app.addHook('onRequest', (_request, reply, done) => {
      reply.headers(HEADERS)
      done()
    })
    // An error response has lost the headers that the route had set for its own response
    app.addHook('onSend', (_request, reply, payload, done) => {
      if (reply.statusCode >= 400) reply.headers(HEADERS)
      done(null, payload)
    })
  },
  { name: 'security-headers' },
)
