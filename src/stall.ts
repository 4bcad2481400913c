import type { IncomingMessage } from 'node:http'

/** How fast a sender has to be, in bytes per second. */
export interface LeastRate {
  /** In each stretch of the timeout. */
  readonly usual: number
  /** In each quarter of it, from now on. */
  readonly now?: () => number
}

/** What a sender has missed. */
export interface TooSlow {
  /** Bytes per second. */
  readonly rate: number
  readonly milliseconds: number
}

/**
 * Watches an HTTP message for a sender that stops sending, or sends too slowly. A message that waits because its own reader is slow
 * is neither, which a timeout on the socket could not tell apart.
 *
 * @param timeout milliseconds without a byte, found with a quarter of them to spare
 * @param stalled is told what the sender has missed; nothing when no byte came at all
 * @returns ends the watch; it ends by itself when the message closes
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

  /** Nothing while all is well. */
  function verdict(): { readonly missed?: TooSlow } | undefined {
    const now = performance.now()
    const count = socket.bytesRead
    // With bytes in its buffer it is the reader who is slow; with none, Node reads on from the socket also while it is paused
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
  // A timer that is late comes before the bytes that have arrived meanwhile
  const timer = setInterval(() => setImmediate(judge), quarter)
  timer.unref()
  message.once('close', stop)
  return stop
}

function isLess(bytes: number, rate: number, milliseconds: number): boolean {
  return bytes < (rate * milliseconds) / 1000
}
