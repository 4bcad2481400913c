import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { type Readable, Transform, type TransformCallback } from 'node:stream'
import { BrokenMultipart, ClientGone } from '../errors.ts'

/** Most bytes of padding after a boundary. */
const MAX_PADDING = 1024

const SPACE = 0x20
const TAB = 0x09
const isPadding = (byte: number | undefined) => byte === SPACE || byte === TAB

/**
 * Returns the bytes of a multipart body without the spaces and tabs that may follow a boundary ("transport-padding", RFC 2046 section
 * 5.1.1), which the parser does not know. A body whose first boundary has none is returned as it is: a sender pads all of them or none.
 *
 * @throws {BrokenMultipart} if the body ends before its first boundary does
 * @throws {ClientGone}
 * @throws the reason of the signal, which ends the wait for the first boundary
 */
export async function withoutPadding(raw: IncomingMessage, boundary: string, signal: AbortSignal): Promise<Readable> {
  const start = Buffer.from(`--${boundary}`, 'latin1')
  const first = await peek(raw, start.length + 1, signal)
  if (!first.subarray(0, start.length).equals(start) || !isPadding(first[start.length])) return raw
  const unpadded = new PaddingRemover(start, raw.headers)
  unpadded.on('error', () => {})
  raw.once('close', () => {
    if (!raw.readableEnded) unpadded.destroy()
  })
  return raw.pipe(unpadded)
}

/** Resolves with the first bytes of a body, at least `length` of them unless it is empty. They can be read again. */
function peek(raw: IncomingMessage, length: number, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    const stop = () => {
      raw.pause()
      raw.off('data', onData).off('end', onEnd).off('close', onClose)
      signal.removeEventListener('abort', onAbort)
    }
    const onData = (chunk: Buffer) => {
      chunks.push(chunk)
      size += chunk.length
      if (size < length) return
      stop()
      const bytes = Buffer.concat(chunks)
      raw.unshift(bytes)
      resolve(bytes)
    }
    const onEnd = () => {
      stop()
      if (size > 0) reject(new BrokenMultipart())
      else resolve(Buffer.alloc(0))
    }
    const onClose = () => {
      stop()
      reject(new ClientGone())
    }
    const onAbort = () => {
      stop()
      reject(signal.reason)
    }
    if (signal.aborted) return reject(signal.reason)
    // An empty body may have ended while the upload waited for memory
    if (raw.readableEnded) return resolve(Buffer.alloc(0))
    if (raw.destroyed) return reject(new ClientGone())
    signal.addEventListener('abort', onAbort)
    raw.on('data', onData).on('end', onEnd).on('close', onClose)
  })
}

/** Removes the padding after each boundary. */
class PaddingRemover extends Transform {
  readonly #delimiter: Buffer
  /** The end of what was read, if a delimiter or its padding may go on in the next chunk. */
  #rest = Buffer.from('\r\n')
  /** Bytes at the start of `#rest` that are not of the body: its first delimiter has no line end before it. */
  #extra = 2

  /** @param headers of the request, which the parser reads too */
  constructor(
    start: Buffer,
    readonly headers: IncomingHttpHeaders,
  ) {
    super()
    this.#delimiter = Buffer.concat([this.#rest, start])
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const bytes = Buffer.concat([this.#rest, chunk])
    const { length } = this.#delimiter
    let at = 0
    let kept = bytes.length - length + 1
    for (let found = bytes.indexOf(this.#delimiter); found >= 0; found = bytes.indexOf(this.#delimiter, at)) {
      const end = found + length
      let after = end
      while (isPadding(bytes[after])) after += 1
      if (after === bytes.length && after - end <= MAX_PADDING) {
        kept = found
        break
      }
      this.#push(bytes.subarray(at, end))
      at = after
    }
    kept = Math.max(at, kept)
    this.#push(bytes.subarray(at, kept))
    this.#rest = Buffer.from(bytes.subarray(kept))
    done()
  }

  override _flush(done: TransformCallback): void {
    this.#push(this.#rest)
    done()
  }

  #push(bytes: Buffer): void {
    const skipped = Math.min(this.#extra, bytes.length)
    this.#extra -= skipped
    if (bytes.length > skipped) this.push(bytes.subarray(skipped))
  }
}
