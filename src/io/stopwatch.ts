/**
 * Starts to measure time.
 *
 * @returns a function that returns the milliseconds since then, by the clock that says more: the system's clock may be set back, and the
 *   steady one stands still while the machine is suspended
 */
export function stopwatch(): () => number {
  const wall = Date.now()
  const steady = performance.now()
  return () => Math.max(Date.now() - wall, performance.now() - steady)
}
