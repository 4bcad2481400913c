import type { Duplex } from 'node:stream'

/** How long a client that has its last response may send nothing before its connection is closed, in milliseconds. */
const IDLE_MS = 5000

const closing = new WeakSet<Duplex>()

/** Returns whether a connection is being closed in stages: errors of its parser are ignored then. */
export function isClosing(socket: Duplex): boolean {
  return closing.has(socket)
}

/**
 * Closes the connection of a client that may still be sending (RFC 9112 section 9.6): half-closes it after the last response, then reads
 * and discards until the client has closed its side too, or has sent nothing for 5 seconds, or time is up. Closed at once, the connection
 * would be reset by the next byte of the client, and a reset takes away a response that was not read yet. Many clients and proxies read
 * none before they have sent everything.
 *
 * The connection costs as much as an idle one. Further requests on it are not processed.
 *
 * @param limit milliseconds for the rest of the body to arrive
 * @param response bytes of the last response that are not written yet
 */
export function closeInStages(socket: Duplex, limit: number, response?: string): void {
  if (closing.has(socket)) return
  closing.add(socket)
  const close = () => socket.destroy()
  const idle = setTimeout(close, IDLE_MS).unref()
  const end = setTimeout(close, limit).unref()
  socket.once('close', () => {
    clearTimeout(idle)
    clearTimeout(end)
  })
  // Node listens for errors only while the connection is HTTP's, which one of CONNECT is not
  socket.on('error', close)
  // The parser gets no further byte: it would go on with the requests after the refused one
  socket.removeAllListeners('data')
  socket.on('data', () => idle.refresh())
  socket.end(response)
  socket.resume()
}
