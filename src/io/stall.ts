import type { IncomingMessage } from 'node:http'

/** The least that a sender has to send. */
export interface MinRate {
  /** Bytes per second. */
  readonly rate: number
  /** Time over which they are counted. */
  readonly milliseconds: number
}

/** Looks at a message in each timeout. With few of them a look could find a reader that has only just caught up. */
const LOOKS = 16

/**
 * Watches an HTTP message for a sender that stops sending, or sends too slowly. Only time in which the sender alone was waited for
 * counts: a timeout on the socket could not tell it from a message whose own reader is slow.
 *
 * @param timeout milliseconds without a byte; found with a sixteenth of them to spare
 * @param stalled gets the rate that the sender has missed, or undefined if no byte came at all
 * @param minRate asked at each look. Its time must be much longer than a sixteenth of the timeout: a sender is too slow when each look
 *   of that time has found it waited for
 * @returns a function that ends the watch; it ends by itself when the message closes
 */
export function onStall(
  message: IncomingMessage,
  timeout: number,
  stalled: (missed?: MinRate) => void,
  minRate = (): MinRate => ({ rate: 0, milliseconds: timeout }),
): () => void {
  const { socket } = message
  let seen = socket.bytesRead
  let since = performance.now()
  let windowBytes = seen
  let windowSince = since
  let isOver = false

  function stop(): void {
    isOver = true
    clearInterval(timer)
  }

  function judge(): void {
    if (isOver) return
    const now = performance.now()
    const count = socket.bytesRead
    // With bytes in its buffer the reader is slow. With none, Node reads on from the socket even if it is paused
    const isWaiting = message.readableLength === 0 && !message.complete
    if (!isWaiting || count !== seen) {
      seen = count
      since = now
    }
    const least = minRate()
    const isSilent = now - since >= timeout
    const isMeasured = !isWaiting || now - windowSince >= least.milliseconds
    const isSlow = isWaiting && isMeasured && count - windowBytes < (least.rate * least.milliseconds) / 1000
    if (isSilent || isSlow) {
      stop()
      stalled(isSilent ? undefined : least)
    } else if (isMeasured) {
      windowBytes = count
      windowSince = now
    }
  }

  // A timer that is late comes before the bytes that have arrived meanwhile
  const timer = setInterval(() => setImmediate(judge), timeout / LOOKS)
  timer.unref()
  message.once('close', stop)
  return stop
}
