import type { IncomingMessage } from 'node:http'

/**
 * Watches an HTTP message for a sender that stops sending. A message that waits because its own reader is slow is no stall, which
 * a timeout on the socket could not tell apart.
 *
 * @param timeout milliseconds without a byte, found with a quarter of them to spare
 * @returns ends the watch; it ends by itself when the message closes
 */
export function onStall(message: IncomingMessage, timeout: number, stalled: () => void): () => void {
  let seen = message.socket.bytesRead
  let since = Date.now()
  const timer = setInterval(() => {
    // With bytes in its buffer it is the reader who is slow; with none, Node reads on from the socket also while it is paused
    const isWaiting = message.readableLength === 0 && !message.complete && message.socket.bytesRead === seen
    if (!isWaiting) {
      seen = message.socket.bytesRead
      since = Date.now()
    } else if (Date.now() - since >= timeout) {
      stop()
      stalled()
    }
  }, timeout / 4)
  timer.unref()
  const stop = () => clearInterval(timer)
  message.once('close', stop)
  return stop
}
