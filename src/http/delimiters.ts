import { BrokenMultipart, UnusablePart } from '../errors.ts'

/** Bounds of the headers of a part. */
export interface PartLimits {
  /** Bytes of all headers, with the line ends between them. */
  readonly maxBytes: number
  /** Header fields that are read. Content-Disposition must be one of them. */
  readonly maxFields: number
}

const CRLF = '\r\n'
const HEADERS_END = Buffer.from('\r\n\r\n')

/**
 * Reads the delimiters and part headers of a multipart body (RFC 2046 section 5.1.1, RFC 7578 section 4.2) a second time, besides the
 * parser. The parser silently skips parts and headers that it can't use, and no part of an upload may be lost that way.
 */
export class Delimiters {
  /** Number of parts so far. */
  count = 0
  readonly #delimiter: Buffer
  readonly #limits: PartLimits
  /** Where the reader is: in a body, in headers, or after the last delimiter. */
  #state: 'body' | 'headers' | 'ended' = 'body'
  /** The last bytes, in which a delimiter may begin, or the headers so far. Starts with a line end, since the first delimiter needs none. */
  #rest = Buffer.from(CRLF)

  /** @param boundary as the Content-Type header names it, without quotes */
  constructor(boundary: string, limits: PartLimits) {
    this.#delimiter = Buffer.from(`${CRLF}--${boundary}`, 'latin1')
    this.#limits = limits
  }

  /**
   * Reads the next bytes.
   *
   * @throws {UnusablePart} for headers that don't say what a part is, or exceed the limits
   * @throws {BrokenMultipart} for a delimiter with a single dash after it
   */
  read(chunk: Buffer): void {
    let at = 0
    while (this.#state !== 'ended' && at < chunk.length) {
      at = this.#state === 'body' ? this.#skipBody(chunk, at) : this.#readHeaders(chunk, at)
    }
  }

  /** Looks for the next delimiter. Returns where to continue. */
  #skipBody(chunk: Buffer, from: number): number {
    const { length } = this.#delimiter
    const kept = length - 1
    if (this.#rest.length > 0) {
      // It may begin in the last bytes before
      const seam = Buffer.concat([this.#rest, chunk.subarray(from, from + kept)])
      const found = seam.indexOf(this.#delimiter)
      if (found >= 0) return this.#begin(from + found + length - this.#rest.length)
      this.#rest = seam.subarray(-kept)
      // A short chunk has no further bytes
      if (chunk.length - from <= kept) return chunk.length
    }
    const found = chunk.indexOf(this.#delimiter, from)
    if (found >= 0) return this.#begin(found + length)
    this.#rest = Buffer.from(chunk.subarray(Math.max(from, chunk.length - kept)))
    return chunk.length
  }

  #begin(at: number): number {
    this.#state = 'headers'
    this.#rest = Buffer.alloc(0)
    return at
  }

  #readHeaders(chunk: Buffer, from: number): number {
    const before = this.#rest.length
    // The most bytes that a part needs here: a line end, headers up to the limit, and their end
    const most = this.#limits.maxBytes + CRLF.length + HEADERS_END.length
    const text = Buffer.concat([this.#rest, chunk.subarray(from, from + most - before)])
    if (text.length < CRLF.length) {
      this.#rest = text
      return chunk.length
    }
    const start = text.toString('latin1', 0, 2)
    if (start === '--') {
      this.#state = 'ended'
      return chunk.length
    }
    if (start[0] === '-') throw new BrokenMultipart()
    const part = this.count + 1
    const unusable = () => new UnusablePart(part, this.#limits.maxBytes)
    const end = text.indexOf(HEADERS_END)
    const delimiter = text.indexOf(this.#delimiter)
    if (start !== CRLF || (delimiter >= 0 && (end < 0 || delimiter < end))) throw unusable()
    if (end < 0) {
      if (text.length >= most) throw unusable()
      this.#rest = text
      return chunk.length
    }
    if (!this.#isUsable(text.toString('latin1', CRLF.length, end))) throw unusable()
    this.count = part
    this.#state = 'body'
    // The line end before the body belongs to the next delimiter if the part is empty
    this.#rest = Buffer.from(CRLF)
    return from + end + HEADERS_END.length - before
  }

  #isUsable(headers: string): boolean {
    const { maxBytes, maxFields } = this.#limits
    if (headers.length > maxBytes) return false
    // A line that begins with white space continues the field before it
    const fields = headers.replace(/\r\n(?=[ \t])/g, '').split(CRLF)
    if (fields.some((field) => /[\r\n]/.test(field))) return false
    for (const field of fields.slice(0, maxFields)) {
      const [, name, value = ''] = /^([^:]+):(.*)$/.exec(field) ?? []
      if (name === undefined) return false
      if (name.toLowerCase() === 'content-disposition') return /^\s*form-data\s*;.*name\*?\s*=/i.test(value)
    }
    return false
  }
}
