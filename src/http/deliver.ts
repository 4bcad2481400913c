import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { StoreUnavailable } from '../errors.ts'

/** How many bytes may wait for a reader in the process. An image of this size never makes its connection to the store wait. */
const WAITING_BYTES = 256 * 1024

/**
 * Answers with the bytes of an object, past Fastify, whose way of sending a stream costs several times as much processor time as
 * the bytes. When they break off, the connection does. A reader that stops reading loses its connection, a slow one does not.
 *
 * @param reply with status
 * @param headers beside those of the reply
 * @param length of the body, in bytes
 * @param readerTimeout milliseconds
 * @throws {StoreUnavailable} when the body has failed by now
 */
export function deliver(
  reply: FastifyReply,
  headers: OutgoingHttpHeaders,
  body: Readable,
  length: number,
  readerTimeout = reply.server.config.READER_TIMEOUT,
): FastifyReply {
  const { raw, request } = reply
  if (body.errored) throw new StoreUnavailable({ cause: body.errored })
  // What the hooks that Fastify would call do: a body that was not read can't be told from the next request
  if (!request.raw.complete || !reply.server.server.listening) reply.header('connection', 'close')
  try {
    raw.writeHead(reply.statusCode, Object.assign(reply.getHeaders(), headers, { 'content-length': length }))
  } catch (error) {
    // A header that can't be sent: Fastify can still answer
    body.destroy()
    throw error
  }
  reply.hijack()

  let left = length
  body.on('data', (chunk) => {
    left -= chunk.length
    if (raw.write(chunk) || raw.writableLength < WAITING_BYTES) return
    body.pause()
    raw.once('drain', () => body.resume())
  })
  const breakOff = (err: Error) => {
    if (!raw.destroyed) request.log.error({ err }, 'an image broke off')
    raw.destroy()
  }
  // A file that somebody has cut short since its head was read: the next answer would be taken for the rest of this one
  body.on('end', () => (left === 0 ? raw.end() : breakOff(new Error(`${left} bytes are missing`))))
  body.on('error', breakOff)
  raw.on('close', () => body.destroy())
  if (raw.destroyed) body.destroy()

  endWhenUnread(raw, readerTimeout)
  return reply
}

/**
 * Closes the connection of an answer whose reader takes no byte for so many milliseconds. What the kernel holds for it, up to some
 * MiB, is taken in its eyes.
 */
export function endWhenUnread(raw: ServerResponse, timeout: number): void {
  raw.setTimeout(timeout, () => {
    // With nothing left to write it is the store who is slow, and has a timeout of its own
    if (raw.writableLength > 0) raw.destroy()
  })
  // Before Node sets that of the connection's next request
  raw.prependOnceListener('finish', () => raw.setTimeout(0))
}
