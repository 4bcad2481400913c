/** True in `npm run test:all`, which runs every case. `npm test` runs a sample. */
export const ALL = process.env.TEST_ALL === '1'

/** Returns all cases in `npm run test:all`. In `npm test` returns at most `count`: the first one, and others at equal distances. */
export function sample<T>(cases: readonly T[], count: number): readonly T[] {
  if (ALL) return cases
  return cases.filter(
    (_, at) => Math.floor((at * count) / cases.length) > Math.floor(((at - 1) * count) / cases.length),
  )
}
