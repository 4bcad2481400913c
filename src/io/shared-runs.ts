/**
 * Returns a function that runs `work`, one run at a time. Calls during a run share the next one, because the run may be past what they
 * are about.
 *
 * @param onIdle is called after a run that no other follows
 */
export function sharedRuns<T>(work: () => Promise<T>, onIdle = () => {}): () => Promise<T> {
  let running: Promise<T> | undefined
  let next: Promise<T> | undefined
  function start(): Promise<T> {
    next = undefined
    running = work().finally(() => {
      if (next) return
      running = undefined
      onIdle()
    })
    return running
  }
  return () => {
    if (!running) return start()
    next ??= running.then(start, start)
    return next
  }
}
