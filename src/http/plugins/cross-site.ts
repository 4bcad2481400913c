import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type Config, listed } from '../../config.ts'
import { type ServiceError, UnknownHost, WrongOrigin } from '../../errors.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Why a request is refused that a page of another site may have made a browser send; undefined where it is not. */
    readonly crossSiteRefusal: (request: FastifyRequest) => ServiceError | undefined
  }
}

/**
 * Refuses what a page of another site can make its visitor's browser send, on a server without API keys, which lets in whatever
 * reaches it. Requests for a host name that is not the server's: a page whose own name leads to the server's address (DNS rebinding)
 * is of the same origin for its browser, and could read and delete everything. And changes that a page of another origin asks for,
 * since a browser sends a form to every server. With keys a page can do neither, for it has none.
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
    return name !== undefined && (isNoPublicName(name) || names.has(name) || names.has('*'))
  }
  return (request: FastifyRequest): ServiceError | undefined => {
    const foreign = hostsOf(request).find((host) => !isOwn(host))
    if (foreign !== undefined) return new UnknownHost(foreign)
    const { method, headers } = request
    if (SAFE.has(method) || origins.has('*') || !isOfOtherOrigin(request)) return undefined
    return origins.has(headers.origin ?? '') ? undefined : new WrongOrigin(method, headers.origin)
  }
}

/** RFC 9110 section 9.2.1. A page learns nothing from the answer to a request for reading, unless `CORS_ORIGINS` has its origin. */
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS'])

/** What the request says whom it is for: `Host`, the target itself, and a trusted proxy. HTTP/1.0 may say nothing, browsers always do. */
function hostsOf({ host, headers, raw }: FastifyRequest): string[] {
  // RFC 9112 section 3.2.2
  const [, authority] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(raw.url ?? '') ?? []
  return [headers.host, host, authority].filter((text) => text !== undefined && text !== '') as string[]
}

/** Whether the name is one that no name server can lead elsewhere: an IP address, or of this machine (RFC 6761 section 6.3). */
function isNoPublicName(name: string): boolean {
  return isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost')
}

/**
 * Returns whether a page of another origin sends the request. Programs other than browsers send no `Origin`. A server behind a proxy for TLS does not know
 * its own scheme, so host and port decide; and where a proxy has changed the port, the browser's own word does, which no page can
 * forge (W3C, "Fetch Metadata Request Headers").
 */
function isOfOtherOrigin({ headers, host }: FastifyRequest): boolean {
  const { origin, 'sec-fetch-site': site } = headers
  if (site === 'same-origin') return false
  if (origin === undefined) return site === 'same-site' || site === 'cross-site'
  const [, scheme, rest] = /^(https?):\/\/(.*)$/i.exec(origin) ?? []
  const page = nameAndPort(rest ?? '')
  const own = nameAndPort(host)
  if (!page || !own) return true
  const usual = scheme?.toLowerCase() === 'https' ? '443' : '80'
  return page.name !== own.name || (page.port || usual) !== (own.port || usual)
}

/** A host as a URL writes it (RFC 3986 section 3.2.2), in lower case, without brackets and without the dot that may end a name. */
function nameAndPort(host: string): { readonly name: string; readonly port: string } | undefined {
  const [, address, name, port = ''] = /^(?:\[([^\]]+)\]|([\w.-]+))(?::(\d{0,5}))?$/i.exec(host) ?? []
  const text = address ?? name
  return text === undefined ? undefined : { name: text.toLowerCase().replace(/\.$/, ''), port }
}
