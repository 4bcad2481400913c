import { chance, oneOf } from '../support/random.ts'

export interface Upload {
  readonly body: Buffer
  readonly boundary: string
}

type Random = () => number
type Mutation = (upload: Upload, random: Random, others: readonly Upload[]) => Buffer

const under = (limit: number, random: Random) => Math.floor(random() * limit)
const bytes = (...pieces: (string | Uint8Array)[]) =>
  Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)))

/** Puts something in the place of the bytes from one place to another. */
const replaced = (body: Buffer, from: number, to: number, by: string | Uint8Array = '') =>
  bytes(body.subarray(0, from), by, body.subarray(to))

/** Where a text begins in a body, one of all the places. */
function somewhere(body: Buffer, text: string, random: Random): number {
  const places: number[] = []
  for (let at = body.indexOf(text); at >= 0; at = body.indexOf(text, at + 1)) places.push(at)
  return places.length === 0 ? under(body.length + 1, random) : oneOf(places, random)
}

const HEADERS = ['Content-Disposition', 'Content-Type', 'form-data', 'name="', 'filename="', 'files']

/** From the first byte of a header line to behind its end. */
function headerLine(body: Buffer, random: Random): [from: number, to: number] {
  const from = somewhere(body, 'Content-', random)
  const end = body.indexOf('\r\n', from)
  return [from, end < 0 ? body.length : end + 2]
}

/** What parsers stumble over. */
const tokens = (boundary: string) => [
  '\r\n',
  '\n',
  '\r',
  '\0',
  '\r\n\r\n',
  '-',
  '--',
  '"',
  ';',
  ':',
  '\\',
  '%00',
  `--${boundary}`,
  `\r\n--${boundary}\r\n`,
  `\r\n--${boundary}--\r\n`,
  `\r\n--${boundary}`,
  `\n--${boundary}\n`,
  boundary,
  '\r\nContent-Disposition: form-data; name="files"; filename="x.png"\r\n',
  'Content-Disposition: form-data; name="__proto__"\r\n\r\n',
  'Content-Type: multipart/mixed; boundary=inner\r\n',
  'Content-Transfer-Encoding: base64\r\n',
  "; filename*=UTF-8''%ff%00",
  '; name*=x',
  'X: '.padEnd(9000, 'x'),
  'X: y\r\n'.repeat(40),
]

const MUTATIONS: readonly Mutation[] = [
  function flipped({ body }, random) {
    const copy = Buffer.from(body)
    for (let left = 1 + under(8, random); left > 0; left--) {
      const at = under(copy.length, random)
      copy[at] = (copy[at] ?? 0) ^ (1 << under(8, random))
    }
    return copy
  },
  function overwritten({ body }, random) {
    const from = under(body.length, random)
    const noise = Buffer.from(Array.from({ length: 1 + under(16, random) }, () => under(256, random)))
    return replaced(body, from, from + noise.length, noise)
  },
  function withToken({ body, boundary }, random) {
    const at = under(body.length + 1, random)
    return replaced(body, at, at, oneOf(tokens(boundary), random))
  },
  function shortened({ body }, random) {
    const from = under(body.length, random)
    return replaced(body, from, from + 1 + under(chance(0.5, random) ? 8 : 400, random))
  },
  function doubled({ body }, random) {
    const from = under(body.length, random)
    const piece = body.subarray(from, from + 1 + under(600, random))
    const at = chance(0.5, random) ? from : under(body.length + 1, random)
    return replaced(body, at, at, Buffer.concat(Array(1 + under(4, random)).fill(piece)))
  },
  function spliced({ body, boundary }, random, others) {
    const other = oneOf(others, random)
    const from = under(other.body.length, random)
    const piece = other.body.subarray(from, from + 1 + under(other.body.length, random))
    const text = piece.toString('latin1').replaceAll(other.boundary, boundary)
    const at = under(body.length + 1, random)
    return replaced(body, at, chance(0.5, random) ? at : body.length, text)
  },
  function truncated({ body }, random) {
    return body.subarray(0, under(body.length, random))
  },
  function beheaded({ body }, random) {
    return body.subarray(under(Math.min(body.length, 200), random))
  },
  function damagedBoundary({ body, boundary }, random) {
    const from = somewhere(body, `--${boundary}`, random)
    const to = from + boundary.length + 2
    const line = `--${boundary}`
    const at = under(line.length, random)
    return replaced(
      body,
      from,
      to,
      oneOf(
        [
          '',
          line.slice(1),
          `-${line}`,
          `${line}-`,
          `${line}--`,
          `${line} `,
          `${line}\t`,
          ` ${line}`,
          `${line}x`,
          line.toUpperCase(),
          line.slice(0, at) + line.slice(at + 1),
          `${line.slice(0, at)}\r\n${line.slice(at)}`,
          `${line}\r\n${line}`,
        ],
        random,
      ),
    )
  },
  function damagedHeader({ body }, random) {
    const word = oneOf(HEADERS, random)
    const from = somewhere(body, word, random)
    const to = from + word.length
    const at = under(word.length, random)
    return replaced(
      body,
      from,
      to,
      oneOf(
        [
          '',
          word.toLowerCase(),
          word.toUpperCase(),
          word.slice(1),
          word.slice(0, at),
          `${word.slice(0, at)}\0${word.slice(at)}`,
          `${word.slice(0, at)}\r\n ${word.slice(at)}`,
          `${word.slice(0, at)}\n${word.slice(at)}`,
          `${word}${word}`,
          `${word} `,
          word.replace('"', ''),
          word.replace('"', "'"),
          `x${word}`,
          'name="',
          'filename=',
        ],
        random,
      ),
    )
  },
  function lostHeader({ body }, random) {
    const [from, to] = headerLine(body, random)
    return replaced(body, from, to)
  },
  function doubledHeader({ body }, random) {
    const [from, to] = headerLine(body, random)
    return replaced(body, to, to, body.subarray(from, to))
  },
  function movedHeader({ body }, random) {
    const [from, to] = headerLine(body, random)
    const at = somewhere(body, 'Content-', random)
    return replaced(body, at, at, body.subarray(from, to))
  },
  function hugeHeader({ body }, random) {
    const at = somewhere(body, 'Content-', random)
    return replaced(body, at, at, `X-Huge: ${'h'.repeat(under(20_000, random))}\r\n`)
  },
  function bareLines({ body }, random) {
    if (chance(0.5, random)) return Buffer.from(body.toString('latin1').replaceAll('\r\n', '\n'), 'latin1')
    const at = somewhere(body, '\r\n', random)
    return replaced(body, at, at + 2, oneOf(['\n', '\r', '\n\r', '\r\r\n', ''], random))
  },
  function nested({ body, boundary }, random) {
    const inner = chance(0.5, random) ? boundary : 'inner'
    const head = `Content-Disposition: form-data; name="files"\r\nContent-Type: multipart/mixed; boundary=${inner}\r\n\r\n`
    return bytes(`--${boundary}\r\n`, head, body, `\r\n--${boundary}--\r\n`)
  },
  function manyParts({ body, boundary }, random) {
    const from = somewhere(body, `--${boundary}`, random)
    const next = body.indexOf(`--${boundary}`, from + 1)
    const part = chance(0.5, random) ? `--${boundary}\r\n\r\n\r\n` : body.subarray(from, next < 0 ? body.length : next)
    return replaced(body, from, from, Buffer.concat(Array(1 + under(130, random)).fill(bytes(part))))
  },
  function grown({ body }, random) {
    const at = under(body.length, random)
    return replaced(body, at, at, Buffer.alloc(under(chance(0.1, random) ? 200_000 : 3000, random), 'grow\r\n--'))
  },
]

/** A body that differs from a real one in one to three ways, and the names of these. */
export function mutate(upload: Upload, random: Random, others: readonly Upload[]): { body: Buffer; how: string } {
  let { body } = upload
  const how: string[] = []
  for (let left = oneOf([1, 1, 1, 2, 3], random); left > 0 && body.length > 0; left--) {
    const mutation = oneOf(MUTATIONS, random)
    how.push(mutation.name)
    body = mutation({ ...upload, body }, random, others)
  }
  return { body, how: how.join(', ') }
}
