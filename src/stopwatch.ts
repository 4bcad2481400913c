/**
 * Starts to measure time.
 *
 * @returns milliseconds since then, by the clock that says more: the system's own may be set back, and the steady one stands still
 *   while the machine is suspended
 */
export function stopwatch(): () => number {
  const wall = Date.now()
  const steady = performance.now()
  return () => Math.max(Date.now() - wall, performance.now() - steady)
}
