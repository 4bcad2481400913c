import t, { type Test } from 'tap'

/** When tests with a clock of their own begin, in milliseconds since 1970. */
export const START = Date.UTC(2026, 0, 1)

/** The clock of tests that `byOwnClock` runs. */
export const clock = {
  /** In milliseconds since 1970. It stands still until a test moves it. */
  now: START,
}

/** Runs a test by `clock`. Afterwards this process has its own clock again, for the test files that follow. */
export function byOwnClock(name: string, promise: (t: Test) => Promise<void>): void {
  t.test(name, async (t) => {
    const { now } = Date
    t.teardown(() => {
      Date.now = now
    })
    clock.now = START
    // t.intercept would keep the stack of each call
    Date.now = () => clock.now
    await promise(t)
  })
}
