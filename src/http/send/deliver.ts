import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { StoreUnavailable } from '../../errors.ts'

/** Most bytes in the process that wait for a reader. An image of this size never makes its connection to the store wait. */
const MAX_BUFFERED = 256 * 1024

/**
 * Sends the bytes of an object without Fastify, whose stream handling costs several times the processor time of the bytes. Destroys the
 * connection if the body fails or the reader stops reading. A slow reader keeps its connection.
 *
 * @param reply with its status
 * @param headers in addition to those of the reply
 * @param length of the body, in bytes
 * @param readerTimeout milliseconds
 * @throws {StoreUnavailable} if the body has already failed
 */
export function deliver(
  reply: FastifyReply,
  headers: OutgoingHttpHeaders,
  body: Readable,
  length: number,
  readerTimeout = reply.server.config.CLIENT_TIMEOUT,
): FastifyReply {
  const { raw, request } = reply
  if (body.errored) throw new StoreUnavailable({ cause: body.errored })
  // As the hooks that Fastify would call: a body that was not read cannot be told from the next request
  if (!request.raw.complete || !reply.server.server.listening) reply.header('connection', 'close')
  try {
    raw.writeHead(reply.statusCode, Object.assign(reply.getHeaders(), headers, { 'content-length': length }))
  } catch (error) {
    // Fastify can still send an error for a header that cannot be sent
    body.destroy()
    throw error
  }
  reply.hijack()

  let left = length
  body.on('data', (chunk) => {
    left -= chunk.length
    if (raw.write(chunk) || raw.writableLength < MAX_BUFFERED) return
    body.pause()
    raw.once('drain', () => body.resume())
  })
  const breakOff = (err: Error) => {
    if (!raw.destroyed) request.log.error({ err }, 'an image broke off')
    raw.destroy()
  }
  // For a file that was cut short after its head was read, the client would take the next response for the rest of this one
  body.on('end', () => (left === 0 ? raw.end() : breakOff(new Error(`${left} bytes are missing`))))
  body.on('error', breakOff)
  raw.on('close', () => body.destroy())
  if (raw.destroyed) body.destroy()

  endWhenUnread(raw, readerTimeout)
  return reply
}

/**
 * Destroys the connection when the client reads no byte of the response for `timeout` milliseconds. Bytes in the kernel's buffers, up to
 * some MiB, count as read.
 */
export function endWhenUnread(raw: ServerResponse, timeout: number): void {
  raw.setTimeout(timeout, () => {
    // With nothing left to write the store is slow, which has its own timeout
    if (raw.writableLength > 0) raw.destroy()
  })
  // Before Node sets the timeout of the connection's next request
  raw.prependOnceListener('finish', () => raw.setTimeout(0))
}
