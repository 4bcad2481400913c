import t, { type Test } from 'tap'

/**
 * When tests with a clock of their own begin, in milliseconds since 1970. Years ago, since ids by uuid never go back in a process: after
 * a clock that was ahead, those of all later tests would be from the future.
 */
export const START = Date.UTC(2020, 0, 1)

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
