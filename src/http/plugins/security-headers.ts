import fp from 'fastify-plugin'

/**
 * Default headers of responses, with which browsers neither run, frame nor embed them (OWASP, "HTTP Security Response Headers Cheat
 * Sheet"). Images and pages replace some of them.
 */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': "default-src 'none';frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
}

export const securityHeadersPlugin = fp(
  async (app) => {
    // Headers that a route sets later win. Headers on `raw` would make Node write the headers of all responses in a slower way
    app.addHook('onRequest', (_request, reply, done) => {
      reply.headers(SECURITY_HEADERS)
      done()
    })
  },
  { name: 'security-headers' },
)
