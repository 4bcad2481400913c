import type { Duplex } from 'node:stream'

/** How long a client may send nothing after its last response before its connection is closed, in milliseconds. */
const IDLE_MS = 5000

const closing = new WeakSet<Duplex>()

/** Returns whether a connection is being closed in stages. Errors of its parser are then ignored. */
export function isClosing(socket: Duplex): boolean {
  return closing.has(socket)
}

/**
 * Closes the connection of a client that may still be sending (RFC 9112 section 9.6). Half-closes it after the last response, then reads
 * and discards until the client closes its side, sends nothing for 5 seconds, or reaches the limit. If the connection closed at once,
 * the next byte of the client would reset it, and a reset discards a response that the client has not read. Many clients and proxies
 * read no response before they have sent everything.
 *
 * Meanwhile the connection costs as much as an idle one. Further requests on it are not processed.
 *
 * @param limit milliseconds for the rest of the body to arrive
 * @param response bytes of the last response, if they are not written yet
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
  // Node does not listen for errors of a connection after CONNECT
  socket.on('error', close)
  // The parser must get no further byte, or it would process the requests after the refused one
  socket.removeAllListeners('data')
  socket.on('data', () => idle.refresh())
  socket.end(response)
  socket.resume()
}
