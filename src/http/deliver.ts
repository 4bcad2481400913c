import type { OutgoingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'

/** How many bytes may wait for a reader in the process. An image of this size never makes its connection to the store wait. */
const WAITING_BYTES = 256 * 1024

/** How long a reader may take no byte, in milliseconds. What the kernel holds for it, up to some MiB, is taken in its eyes. */
const READER_MS = 30_000

/**
 * Answers with the bytes of an object, past Fastify, whose way of sending a stream costs several times as much processor time as
 * the bytes. When they break off, the connection does. A reader that stops reading loses its connection, a slow one does not.
 *
 * @param reply with status and headers, `content-length` among them
 */
export function deliver(reply: FastifyReply, body: Readable, readerTimeout = READER_MS): FastifyReply {
  const { raw, request } = reply
  // What the hooks that Fastify would call do: a body that was not read can't be told from the next request
  if (!request.raw.complete || !reply.server.server.listening) reply.header('connection', 'close')
  reply.hijack()
  raw.writeHead(reply.statusCode, reply.getHeaders() as OutgoingHttpHeaders)

  body.on('data', (chunk) => {
    if (raw.write(chunk) || raw.writableLength < WAITING_BYTES) return
    body.pause()
    raw.once('drain', () => body.resume())
  })
  body.once('end', () => raw.end())
  body.once('error', (error) => {
    if (!raw.destroyed) request.log.error({ err: error }, 'an image broke off')
    raw.destroy()
  })
  raw.once('close', () => body.destroy())
  if (raw.destroyed) body.destroy()

  raw.setTimeout(readerTimeout, () => {
    // With nothing left to write it is the store who is slow, and has a timeout of its own
    if (raw.writableLength > 0) raw.destroy()
  })
  // Before Node sets that of the connection's next request
  raw.prependOnceListener('finish', () => raw.setTimeout(0))
  return reply
}
