const callbacks = new WeakMap<AbortSignal, Set<() => void>>()

/**
 * What is called when a signal aborts, for signals that many calls share: a listener for each of them would cost more than the call
 * itself. Of a signal that has aborted nothing is called any more.
 */
export function callbacksOf(signal: AbortSignal): Set<() => void> {
  const known = callbacks.get(signal)
  if (known) return known
  const own = new Set<() => void>()
  signal.addEventListener('abort', () => {
    for (const callback of own) callback()
  })
  callbacks.set(signal, own)
  return own
}
