/** What is in a multipart/form-data body, as a second opinion: written from the RFCs, for whole bodies, without any of the server's code. */
export interface Form {
  /** Whether the last boundary is there. */
  readonly isComplete: boolean
  readonly parts: readonly FormPart[]
}

/** A part is `broken` if it does not say what it is, and `unclear` if it says so against the grammar, which may be read in several ways. */
export interface FormPart {
  readonly kind: 'file' | 'text' | 'unclear' | 'broken'
  readonly name?: string
  readonly body: Buffer
}

/** Takes a body apart (RFC 2046 section 5.1.1, RFC 7578). What stands before the first boundary and after the last one counts for nothing. */
export function readForm(bytes: Buffer, boundary: string): Form {
  const delimiter = `\r\n--${boundary}`
  // The first boundary may stand at the very start
  const body = Buffer.concat([Buffer.from('\r\n'), bytes])
  const parts: FormPart[] = []
  let at = body.indexOf(delimiter, 0, 'latin1')
  while (at >= 0) {
    const from = at + delimiter.length
    if (body.toString('latin1', from, from + 2) === '--') return { isComplete: true, parts }
    at = body.indexOf(delimiter, from, 'latin1')
    if (at >= 0) parts.push(readPart(body.subarray(from + paddingAt(body, from), at)))
  }
  return { isComplete: false, parts }
}

/** The length of what a sender may put after a boundary ("transport-padding"). */
function paddingAt(body: Buffer, at: number): number {
  return /^[ \t]*/.exec(body.toString('latin1', at, at + 2000))?.[0].length ?? 0
}

function readPart(bytes: Buffer): FormPart {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd < 0) return { kind: 'broken', body: bytes }
  const body = bytes.subarray(headEnd + 4)
  const headers = new Map<string, string>()
  // A field may go on in a line that starts with white space
  const lines = bytes
    .toString('latin1', 0, headEnd)
    .replace(/(?<=[^\r\n])\r\n(?=[ \t])/g, '')
    .split('\r\n')
  for (const line of lines) {
    if (line === '') continue
    const [, field, value = ''] = /^([^:\r\n]+):[ \t]?([^\r\n]*)$/.exec(line) ?? []
    // What comes behind a line that is no field can't be relied upon
    if (field === undefined) break
    if (!headers.has(field.toLowerCase())) headers.set(field.toLowerCase(), value)
  }
  const [, type, rest = ''] = /^\s*([^;]*?)\s*(;.*)?$/s.exec(headers.get('content-disposition') ?? '') ?? []
  if (type?.replace(/\s/g, '').toLowerCase() !== 'form-data') return { kind: 'broken', body }
  if (/\s/.test(type) || !PARAMETERS.test(rest)) return { kind: 'unclear', body }
  const parameters = new Map<string, string>()
  for (const [, name = '', quoted, token = ''] of rest.matchAll(PARAMETER)) {
    parameters.set(name.toLowerCase(), quoted?.replace(/\\(["\\])/g, '$1') ?? token)
  }
  const isFile =
    parameters.has('filename') ||
    parameters.has('filename*') ||
    headers.get('content-type')?.split(';')[0]?.trim().toLowerCase() === 'application/octet-stream'
  const name = parameters.get('name')
  return { kind: isFile ? 'file' : 'text', body, ...(name !== undefined && { name }) }
}

/** RFC 2183 section 2: `; name=value`, any number of times. */
const ONE = String.raw`;[ \t]*([\w!#$&+.^|~*-]+)=(?:"((?:[^"\\]|\\.)*)"|([\w!#$&+.^|~*%'-]+))[ \t]*`
const PARAMETER = new RegExp(ONE, 'g')
const PARAMETERS = new RegExp(`^(?:${ONE})*$`)
