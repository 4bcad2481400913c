/** Whether this is `npm run test:all`: everything, and not each promise once, as `npm test` shows it. */
export const ALL = process.env.TEST_ALL === '1'

/** All of these; with `npm test` at most `count`, the first one and others at equal distances. */
export function sample<T>(cases: readonly T[], count: number): readonly T[] {
  if (ALL) return cases
  return cases.filter(
    (_, at) => Math.floor((at * count) / cases.length) > Math.floor(((at - 1) * count) / cases.length),
  )
}
