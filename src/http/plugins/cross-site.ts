import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type Config, listed } from '../../config.ts'
import { type ServiceError, UnknownHost, WrongOrigin } from '../../errors.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Returns why a request that a page of another site may have caused is refused, or undefined. */
    readonly crossSiteRefusal: (request: FastifyRequest) => ServiceError | undefined
  }
}

/**
 * Refuses requests that a page of another site can make its visitor's browser send to a server without API keys:
 *
 * - requests for a host name that is not the server's. A page whose own name resolves to the server's address (DNS rebinding) has the
 *   same origin for its browser, and could read and delete everything;
 * - changes by a page of another origin, because a browser sends forms to every server.
 *
 * With keys a page can do neither, because it has no key.
 */
export const crossSitePlugin = fp(
  async (app) => {
    const refusal = refusalFor(app.config)
    app.decorate('crossSiteRefusal', refusal)
    app.addHook('onRequest', (request, _reply, done) => done(refusal(request)))
  },
  { name: 'cross-site' },
)

function refusalFor({ API_KEYS, ALLOWED_HOSTS, CORS_ORIGINS, HOST }: Config) {
  if (API_KEYS !== undefined) return () => undefined
  const names = new Set([...listed(ALLOWED_HOSTS), HOST.toLowerCase()])
  const origins = new Set(listed(CORS_ORIGINS))
  const isOwn = (host: string) => {
    const name = nameAndPort(host)?.name
    return name !== undefined && (isLocal(name) || names.has(name) || names.has('*'))
  }
  return (request: FastifyRequest): ServiceError | undefined => {
    const unknown = hostsOf(request).find((host) => !isOwn(host))
    if (unknown !== undefined) return new UnknownHost(unknown)
    const { method, headers } = request
    if (SAFE.has(method) || origins.has('*') || !isCrossOrigin(request)) return undefined
    return origins.has(headers.origin ?? '') ? undefined : new WrongOrigin(method, headers.origin)
  }
}

/** RFC 9110 section 9.2.1. A page cannot read the response to these, unless `CORS_ORIGINS` has its origin. */
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Returns the hosts that a request names: in `Host`, in its target, and by a trusted proxy. Only HTTP/1.0 may name none. */
function hostsOf({ host, headers, raw }: FastifyRequest): string[] {
  // RFC 9112 section 3.2.2
  const [, authority] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(raw.url ?? '') ?? []
  return [headers.host, host, authority].filter((text) => text !== undefined && text !== '') as string[]
}

/** Returns whether no DNS server decides what the name means: an IP address, or a name of this machine (RFC 6761 section 6.3). */
function isLocal(name: string): boolean {
  return isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost')
}

/**
 * Returns whether a page of another origin sends the request. Programs other than browsers send no `Origin`. Host and port decide, because
 * a server behind a TLS proxy does not know its own scheme. Where a proxy has changed the port, `Sec-Fetch-Site` decides, which no page
 * can forge (W3C, "Fetch Metadata Request Headers").
 */
function isCrossOrigin({ headers, host }: FastifyRequest): boolean {
  const { origin, 'sec-fetch-site': site } = headers
  if (site === 'same-origin') return false
  if (origin === undefined) return site === 'same-site' || site === 'cross-site'
  const [, scheme, rest] = /^(https?):\/\/(.*)$/i.exec(origin) ?? []
  const page = nameAndPort(rest ?? '')
  const own = nameAndPort(host)
  if (!page || !own) return true
  const defaultPort = scheme?.toLowerCase() === 'https' ? '443' : '80'
  return page.name !== own.name || (page.port || defaultPort) !== (own.port || defaultPort)
}

/** Parses a host of a URL (RFC 3986 section 3.2.2). Returns it in lower case, without brackets and without a final dot. */
function nameAndPort(host: string): { readonly name: string; readonly port: string } | undefined {
  const [, address, name, port = ''] = /^(?:\[([^\]]+)\]|([\w.-]+))(?::(\d{0,5}))?$/i.exec(host) ?? []
  const text = address ?? name
  return text === undefined ? undefined : { name: text.toLowerCase().replace(/\.$/, ''), port }
}
