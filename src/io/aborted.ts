const callbacks = new WeakMap<AbortSignal, Set<() => void>>()

/**
 * Returns the callbacks that are called when a signal aborts, for signals that many calls share: a listener for each call would cost more
 * than the call itself. What is added after the signal has aborted is never called.
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
