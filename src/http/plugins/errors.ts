import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import {
  BadRequest,
  ExpectationFailed,
  HeadersTooLarge,
  InternalError,
  MethodNotAllowed,
  MissingHost,
  NotMultipart,
  RouteNotFound,
  ServiceError,
} from '../../errors.ts'
import { closeInStages, isClosing } from './close-in-stages.ts'
import { logWhenOver } from './request-log.ts'
import { SECURITY_HEADERS } from './security-headers.ts'

/** How long the rest of a body with a broken encoding is discarded, in milliseconds. */
const BROKEN_BODY_MS = 2000

/** Headers that an error keeps of those that were set before. */
const KEPT_HEADERS = new Set(['x-request-id', 'x-content-type-options', 'connection'])

/** Sends every error as `{"detail": "…"}`: errors of routes, of Fastify, and of Node's parser. */
export const errorsPlugin = fp(
  async (app) => {
    const routes: { readonly url: string; readonly path: RegExp; readonly method: string | string[] }[] = []
    app.addHook('onRoute', ({ url, method }) => {
      if (url.includes('*')) return
      const path = new RegExp(`^${url.replaceAll('.', '\\.').replace(/:\w+/g, '[^/]+')}$`)
      routes.push({ url, path, method })
    })
    const noRoute = ({ method, url }: FastifyRequest) => {
      const path = pathOf(url)
      const named = routes.filter((route) => route.url === path)
      const matching = named.length > 0 ? named : routes.filter((route) => route.path.test(path))
      if (matching.length === 0) return new RouteNotFound(method, path)
      return new MethodNotAllowed(method, path, [...new Set(matching.flatMap((route) => route.method))].sort())
    }
    app.setNotFoundHandler((request) => {
      throw noRoute(request)
    })
    app.setErrorHandler<FastifyError>((error, request, reply) => {
      // Fastify checks the Content-Type of some methods before it reports that there is no such route
      const isNoRoute = request.is404 && !(error instanceof ServiceError)
      sendError(isNoRoute ? noRoute(request) : serviceError(error, request), request, reply)
    })

    // Node would refuse this itself, without a body; see `requireHostHeader` in app.ts
    app.addHook('onRequest', (request, _reply, done) => {
      const { headers, httpVersion, rawHeaders } = request.raw
      let hosts = 0
      for (let at = 0; at < rawHeaders.length; at += 2) if (rawHeaders[at]?.toLowerCase() === 'host') hosts += 1
      if (hosts > 1 || (hosts === 0 && httpVersion === '1.1')) return done(new MissingHost())
      // In HTTP/1.0 there are no expectations (RFC 9110 section 10.1.1)
      const expectation = httpVersion === '1.1' ? headers.expect : undefined
      if (expectation !== undefined && expectation.toLowerCase() !== '100-continue')
        return done(new ExpectationFailed())
      if (httpVersion.startsWith('1.')) return done()
      done(new BadRequest('This server supports HTTP/1.1 and no other version'))
    })

    app.server.on('connect', (request: IncomingMessage, socket: Duplex) => {
      const { message } = new RouteNotFound('CONNECT', pathOf(request.url ?? ''))
      closeInStages(socket, app.config.UPLOAD_TIMEOUT, rawResponse(message, 404, 'Not Found'))
    })
  },
  { name: 'errors' },
)

/** Returns the path without the query, which may hold a signature: sentences are logged. */
function pathOf(url: string): string {
  return url.split(/[?#]/, 1)[0] ?? ''
}

/** For `frameworkErrors`: a URL that cannot be parsed never reaches the error handler. */
export function sendFrameworkError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  // Fastify calls this instead of the hooks that log a request and discard its body
  logWhenOver(request, reply)
  reply.header('connection', 'close').header('x-request-id', request.id).header('x-content-type-options', 'nosniff')
  sendError(request.server.crossSiteRefusal(request) ?? serviceError(error, request), request, reply)
}

/** For `clientErrorHandler`: refuses what is not an HTTP request. Called again for further bytes of such a connection. */
export function sendParserError(this: FastifyInstance, error: Error & { code?: string }, socket: Socket): void {
  if (isClosing(socket) || waiting.has(socket)) return
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  // Responses begin and end in the order of their requests
  const [running] = this.connections.get(socket) ?? []
  // Sent now, it would end up inside the running response, or pass for the response to the request before
  if (running?.headersSent || running?.req.complete) {
    waiting.add(socket)
    running.once('close', () => {
      waiting.delete(socket)
      sendParserError.call(this, error, socket)
    })
    return
  }
  const [status, reason, detail] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? [431, 'Request Header Fields Too Large', new HeadersTooLarge().message]
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, 'Request Timeout', 'The request headers took too long to arrive']
        : [400, 'Bad Request', 'This is not a valid HTTP/1.1 request']
  // A running request holds its memory until the connection is gone
  closeInStages(socket, running ? BROKEN_BODY_MS : this.config.UPLOAD_TIMEOUT, rawResponse(detail, status, reason))
}

/** Connections on which a running response goes first. */
const waiting = new WeakSet<Duplex>()

function rawResponse(detail: string, status: number, reason: string): string {
  const body = JSON.stringify({ detail })
  return [
    `HTTP/1.1 ${status} ${reason}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n')
}

function sendError(error: ServiceError, request: FastifyRequest, reply: FastifyReply): void {
  // A client that is gone sees no error, and is the cause of what failed
  if (error.status >= 500 && !request.raw.socket.destroyed) request.log.error({ err: error }, error.message)
  else request.log.debug({ err: error }, error.message)
  // The headers so far describe the response that is not sent
  for (const name of Object.keys(reply.getHeaders())) if (!KEPT_HEADERS.has(name)) reply.removeHeader(name)
  reply.headers({ ...SECURITY_HEADERS, ...request.corsHeaders, ...error.headers, 'cache-control': 'no-store' })
  if (error.retryAfter !== undefined) reply.header('retry-after', error.retryAfter)
  reply
    .code(error.status)
    .type('application/json; charset=utf-8')
    .send(JSON.stringify({ detail: error.message }))
}

function serviceError(error: FastifyError | ServiceError, request: FastifyRequest): ServiceError {
  if (error instanceof ServiceError) return error
  // No story id and no image name is that long
  if (error.code === 'FST_ERR_MAX_PARAM_LENGTH') return new RouteNotFound(request.method, pathOf(request.url))
  if (error.code === 'FST_ERR_BAD_URL') return new BadRequest('The URL has a broken percent-encoding')
  // A Content-Type that is not a media type
  if (error.statusCode === 415 && request.routeOptions.schema?.consumes) return new NotMultipart()
  if (error.statusCode === 415) return new BadRequest('The Content-Type header is not a media type')
  if (error.statusCode !== undefined && error.statusCode < 500) {
    return new BadRequest('This request is malformed', { cause: error })
  }
  return new InternalError({ cause: error })
}
