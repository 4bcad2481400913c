import t from 'tap'
import { BrokenMultipart, UnusablePart } from '../../src/errors.ts'
import { Delimiters } from '../../src/http/delimiters.ts'

const LIMITS = { maxBytes: 200, maxFields: 4 }
const HEAD = 'Content-Disposition: form-data; name="files"; filename="a"'
const part = (headers: string, body: string) => `--XX\r\n${headers}\r\n\r\n${body}\r\n`
const END = '--XX--\r\n'

/** Reads a body in chunks of a size; returns how many parts it has. */
function count(body: string, size = body.length): number {
  const bytes = Buffer.from(body, 'latin1')
  const delimiters = new Delimiters('XX', LIMITS)
  for (let at = 0; at < bytes.length; at += size) delimiters.read(bytes.subarray(at, at + size))
  return delimiters.count
}

t.test('parts are counted wherever the body is cut into chunks', async (t) => {
  const body = `preamble\r\n${part(HEAD, 'a\r\n--X\r\n-')}${part(`X: y\r\n${HEAD}`, '')}${part(HEAD, '\r\n\r\n-')}${END}`
  for (let size = 1; size <= body.length; size++) t.equal(count(body, size), 3, `chunks of ${size} bytes`)
})

t.test('what comes after the last delimiter counts for nothing', async (t) => {
  const body = `${part(HEAD, 'a')}${END}${part('nonsense', 'b')}`
  for (const size of [1, 7, body.length]) t.equal(count(body, size), 1)
})

t.test('a part that begins right after the headers of the one before is seen', async (t) => {
  t.equal(count(`--XX\r\n${HEAD}\r\n\r\n--XX\r\n${HEAD}\r\n\r\na\r\n${END}`), 2)
})

for (const [what, body] of [
  ['no headers', part('', 'a')],
  ['headers that a delimiter cuts off', `--XX\r\n${HEAD}\r\n--XX\r\n\r\n`],
  ['no Content-Disposition', part('Content-Type: image/png', 'a')],
  ['another disposition', part('Content-Disposition: attachment; name="files"', 'a')],
  ['no parameters', part('Content-Disposition: form-data', 'a')],
  ['a line without a colon', part(`nonsense\r\n${HEAD}`, 'a')],
  ['a space before the colon', part('Content-Disposition : form-data; name="files"', 'a')],
  ['a bare line feed', part(`X: y\n${HEAD}`, 'a')],
  ['a bare carriage return', part(`${HEAD.slice(0, -1)}\r"`, 'a')],
  ['Content-Disposition after too many fields', part(`${'X: y\r\n'.repeat(4)}${HEAD}`, 'a')],
  ['too many bytes', part(`${HEAD}\r\nX: ${'y'.repeat(200)}`, 'a')],
  ['text after the delimiter', `--XX \r\n${HEAD}\r\n\r\na`],
] as const) {
  t.test(`a part with ${what} is unusable`, async (t) => {
    for (const size of [1, 3, body.length + 500]) {
      const good = part(HEAD, 'a')
      t.throws(() => count(good + body, size), new UnusablePart(2, LIMITS.maxBytes), `chunks of ${size} bytes`)
    }
  })
}

t.test('headers of just the size that is allowed are read', async (t) => {
  const padding = 'y'.repeat(LIMITS.maxBytes - `${HEAD}\r\nX: `.length)
  t.equal(count(part(`${HEAD}\r\nX: ${padding}`, 'a')), 1)
  t.throws(() => count(part(`${HEAD}\r\nX: ${padding}y`, 'a')), UnusablePart)
})

t.test('headers that never end are refused before they fill the memory', async (t) => {
  const delimiters = new Delimiters('XX', LIMITS)
  t.throws(() => {
    delimiters.read(Buffer.from('--XX\r\n'))
    for (let bytes = 0; bytes < 2 * LIMITS.maxBytes; bytes++) delimiters.read(Buffer.from('x'))
  }, UnusablePart)
})

t.test('a delimiter with one dash after it is neither a delimiter nor the last one', async (t) => {
  for (const size of [1, 100]) t.throws(() => count(`${part(HEAD, 'a')}--XX-\r\n--XX-\r\n`, size), BrokenMultipart)
})
