import t from 'tap'
import { parseRetryAfter } from '../../packages/client/src/retry.ts'

t.test('Retry-After is a number of seconds or an HTTP-date of any form, and nothing else', async (t) => {
  const now = Date.UTC(2026, 10, 29, 12, 0, 0)
  for (const [header, seconds] of [
    ['0', 0],
    ['120', 120],
    [' 5 ', 5],
    ['Sun, 29 Nov 2026 12:00:30 GMT', 30],
    ['Sunday, 29-Nov-26 12:01:00 GMT', 60],
    ['Sun, 29 Nov 2026 11:00:00 GMT', 0],
    ['-1', undefined],
    ['1.5', undefined],
    ['', undefined],
    ['soon', undefined],
    [null, undefined],
  ] as const)
    t.equal(parseRetryAfter(header, now), seconds, String(header))
})
