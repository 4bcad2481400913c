import type { IncomingMessage } from 'node:http'

/** How fast a sender has to be, in bytes per second. */
export interface LeastRate {
  /** Over each period as long as the timeout. */
  readonly usual: number
  /** Over each quarter of the timeout, from now on. */
  readonly now?: () => number
}

/** The rate that a sender did not reach, and over what time. */
export interface TooSlow {
  /** Bytes per second. */
  readonly rate: number
  readonly milliseconds: number
}

/**
 * Watches an HTTP message for a sender that stops sending, or sends too slowly. Unlike a timeout of the socket, it takes no message for
 * stalled whose own reader is slow.
 *
 * @param timeout milliseconds without a byte; noticed up to a quarter of them later
 * @param stalled is told the rate that the sender did not reach, or nothing if no byte came at all
 * @returns a function that ends the watch, which also ends when the message closes
 */
export function onStall(
  message: IncomingMessage,
  timeout: number,
  stalled: (missed?: TooSlow) => void,
  least: LeastRate = { usual: 0 },
): () => void {
  const { socket } = message
  const quarter = timeout / 4
  let seen = socket.bytesRead
  let since = performance.now()
  let windowBytes = seen
  let windowSince = since
  let wasWaiting = false

  /** Returns undefined while the sender is fast enough. */
  function verdict(): { readonly missed?: TooSlow } | undefined {
    const now = performance.now()
    const count = socket.bytesRead
    // With bytes in its buffer the reader is slow. With none, Node reads on from the socket even if it is paused
    const isWaiting = message.readableLength === 0 && !message.complete
    const rateNow = isWaiting && wasWaiting ? (least.now?.() ?? 0) : 0
    if (isLess(count - seen, rateNow, quarter)) return { missed: { rate: rateNow, milliseconds: quarter } }
    wasWaiting = isWaiting
    if (!isWaiting || count !== seen) {
      seen = count
      since = now
    } else if (now - since >= timeout) return {}
    if (!isWaiting || now - windowSince >= timeout) {
      const rate = least.usual
      if (isWaiting && isLess(count - windowBytes, rate, timeout)) return { missed: { rate, milliseconds: timeout } }
      windowBytes = count
      windowSince = now
    }
    return undefined
  }

  let isOver = false
  const stop = () => {
    isOver = true
    clearInterval(timer)
  }
  const judge = () => {
    const found = isOver ? undefined : verdict()
    if (!found) return
    stop()
    stalled(found.missed)
  }
  // A timer that is late runs before the bytes are read that have arrived meanwhile
  const timer = setInterval(() => setImmediate(judge), quarter)
  timer.unref()
  message.once('close', stop)
  return stop
}

function isLess(bytes: number, rate: number, milliseconds: number): boolean {
  return bytes < (rate * milliseconds) / 1000
}
