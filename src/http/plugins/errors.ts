import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import {
  BadQuery,
  BadRequest,
  BodyTooLarge,
  ExpectationFailed,
  InternalError,
  MissingHost,
  RouteNotFound,
  ServiceError,
} from '../../errors.ts'
import type { PageQuery } from '../schemas.ts'

/** Every error of every route, whoever noticed it, is `{"detail": "…"}`: those of routes, of Fastify, and of Node's parser. */
export const errorsPlugin = fp(
  async (app) => {
    app.setErrorHandler<FastifyError>((error, request, reply) =>
      sendError(serviceError(error, request), request, reply),
    )

    app.setNotFoundHandler((request) => {
      throw new RouteNotFound(request.method, request.url)
    })

    // Node would answer this itself, without a body; see `requireHostHeader` in app.ts
    app.addHook('onRequest', async (request) => {
      if (request.raw.httpVersion === '1.1' && request.headers.host === undefined) throw new MissingHost()
    })

    app.server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
      const error = new ExpectationFailed()
      response.writeHead(error.status, { 'content-type': 'application/json; charset=utf-8', connection: 'close' })
      response.end(JSON.stringify({ detail: error.message }))
    })
    app.server.on('connect', (request: IncomingMessage, socket: Duplex) => {
      socket.end(rawAnswer(new RouteNotFound('CONNECT', request.url ?? '').message, 404, 'Not Found'))
    })
  },
  { name: 'errors' },
)

/** For `frameworkErrors`: a URL that can't be read never reaches the error handler. */
export function sendFrameworkError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  sendError(serviceError(error, request), request, reply)
}

/** For `clientErrorHandler`: what is no HTTP request. */
export function sendParserError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const [status, reason, detail] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? [431, 'Request Header Fields Too Large', 'The request headers are larger than 16 KiB']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, 'Request Timeout', 'The request headers took too long to arrive']
        : [400, 'Bad Request', 'This is not a valid HTTP/1.1 request']
  socket.end(rawAnswer(detail, status, reason), () => socket.destroy())
}

function rawAnswer(detail: string, status: number, reason: string): string {
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
  if (error.status >= 500) request.log.error({ err: error }, error.message)
  else request.log.debug({ err: error }, error.message)
  reply.headers({ ...error.headers, 'cache-control': 'no-store' })
  // What the route has said so far was about an image
  for (const name of ['etag', 'last-modified', 'content-length', 'cache-tag', 'accept-ranges']) reply.removeHeader(name)
  if (error.retryAfter !== undefined) reply.header('retry-after', error.retryAfter)
  reply
    .code(error.status)
    .type('application/json; charset=utf-8')
    .send(JSON.stringify({ detail: error.message }))
}

function serviceError(error: FastifyError | ServiceError, request: FastifyRequest): ServiceError {
  if (error instanceof ServiceError) return error
  const [invalid] = error.validation ?? []
  if (invalid && error.validationContext === 'querystring') {
    const name = invalid.instancePath.slice(1)
    const schema = request.routeOptions.schema?.querystring as typeof PageQuery
    const rule = schema.properties[name as keyof typeof schema.properties] as { description?: string } | undefined
    return new BadQuery(name, rule?.description ?? 'of another form')
  }
  if (error.code === 'FST_ERR_BAD_URL') return new BadRequest('The URL has a broken percent-encoding')
  if (error.statusCode === 413) return new BodyTooLarge()
  if (error.statusCode !== undefined && error.statusCode < 500) return new BadRequest(error.message)
  return new InternalError().because(error)
}
