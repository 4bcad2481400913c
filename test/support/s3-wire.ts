import { createHash, randomUUID } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { crc32 } from 'node:zlib'

export interface Answer {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: Buffer
}

/** Codes, statuses and sentences: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
export const failures = {
  AccessDenied: [403, 'Access Denied'],
  BadDigest: [400, 'The checksum you specified did not match what we received.'],
  EntityTooSmall: [400, 'Your proposed upload is smaller than the minimum allowed object size.'],
  IncompleteBody: [400, 'You did not provide the number of bytes specified by the Content-Length HTTP header.'],
  InternalError: [500, 'We encountered an internal error. Please try again.'],
  InvalidArgument: [400, 'Invalid argument'],
  InvalidPart: [400, 'One or more of the specified parts could not be found.'],
  InvalidPartOrder: [400, 'The list of parts was not in ascending order.'],
  InvalidRange: [416, 'The requested range is not satisfiable'],
  MalformedXML: [
    400,
    'The XML that you provided was not well formed or did not validate against our published schema.',
  ],
  MissingContentMD5: [400, 'Missing required header for this request: Content-Md5.'],
  MissingContentLength: [411, 'You must provide the Content-Length HTTP header.'],
  NoSuchBucket: [404, 'The specified bucket does not exist'],
  NoSuchLifecycleConfiguration: [404, 'The lifecycle configuration does not exist'],
  NoSuchKey: [404, 'The specified key does not exist.'],
  NoSuchUpload: [404, 'The specified multipart upload does not exist.'],
  NotImplemented: [501, 'The stand-in has no such operation.'],
  PreconditionFailed: [412, 'At least one of the preconditions you specified did not hold.'],
  SignatureDoesNotMatch: [403, 'The signature that was calculated does not match the one that was provided.'],
  SlowDown: [503, 'Please reduce your request rate.'],
  XAmzContentSHA256Mismatch: [400, "The provided 'x-amz-content-sha256' header does not match what was computed."],
  /** MinIO's own: https://github.com/minio/minio/blob/master/cmd/api-errors.go */
  XMinioStorageFull: [507, 'Storage backend has reached its minimum free drive threshold.'],
} as const satisfies Record<string, readonly [number, string]>

export function failure(code: keyof typeof failures, details: Record<string, string> = {}): Answer {
  const [status, message] = failures[code]
  return errorAnswer(status, code, message, details)
}

export function errorAnswer(status: number, code: string, message: string, details = {}): Answer {
  const members = { Code: code, Message: message, ...details, RequestId: randomUUID() }
  const xml = Object.entries<string>(members).map(([name, text]) => tag(name, text))
  return xmlAnswer(`<Error>${xml.join('')}</Error>`, status)
}

export const answer = (headers: Record<string, string> = {}): Answer => ({
  status: 200,
  headers,
  body: Buffer.alloc(0),
})

export const xmlAnswer = (xml: string, status = 200): Answer => ({
  status,
  headers: { 'content-type': 'application/xml' },
  body: Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>\n${xml}`),
})

/**
 * The bytes that a PutObject or UploadPart means: aws-chunked is taken off, length, CRC32 and SHA-256 are checked where
 * they were sent. https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
 */
export function readPayload(headers: IncomingHttpHeaders, raw: Buffer): Buffer | Answer {
  const sha256 = headers['x-amz-content-sha256']
  const chunked = typeof sha256 === 'string' && sha256.startsWith('STREAMING-')
  const length = headers[chunked ? 'x-amz-decoded-content-length' : 'content-length']
  if (length === undefined) return failure('MissingContentLength')
  const decoded = chunked ? decodeChunks(raw) : { content: raw, trailers: '' }
  if (decoded === undefined || decoded.content.length !== Number(length)) return failure('IncompleteBody')
  const { content, trailers } = decoded
  const crc = headers['x-amz-checksum-crc32'] ?? /^x-amz-checksum-crc32:\s*(\S+)/im.exec(trailers)?.[1]
  if (crc !== undefined) {
    const expected = Buffer.alloc(4)
    expected.writeUInt32BE(crc32(content))
    if (crc !== expected.toString('base64')) return failure('BadDigest')
  }
  if (typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256)) {
    if (createHash('sha256').update(content).digest('hex') !== sha256) return failure('XAmzContentSHA256Mismatch')
  }
  return content
}

/** `<hex size>[;chunk-signature=…]CRLF <bytes> CRLF … 0 CRLF <trailers>`; undefined when it breaks off. */
function decodeChunks(raw: Buffer): { content: Buffer; trailers: string } | undefined {
  const chunks: Buffer[] = []
  for (let at = 0; ; ) {
    const lineEnd = raw.indexOf('\r\n', at)
    const size = Number.parseInt(raw.toString('latin1', at, lineEnd), 16)
    if (lineEnd < 0 || Number.isNaN(size)) return undefined
    const start = lineEnd + 2
    if (size === 0) return { content: Buffer.concat(chunks), trailers: raw.toString('latin1', start) }
    chunks.push(raw.subarray(start, start + size))
    at = start + size + 2
  }
}

export const encodeName = (text: string) => encodeURIComponent(text).replaceAll('%20', '+').replaceAll('%2F', '/')

export const root = (name: string, inner: string) =>
  `<${name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${inner}</${name}>`

export const tag = (name: string, text: string) => `<${name}>${escapeXml(text)}</${name}>`

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

// A bare CR would reach the reader as LF (XML 1.0, 2.11).
const escapeXml = (text: string) =>
  text.replace(/[&<>"'\r\n\t]/g, (char) => escapes[char] ?? `&#x${char.charCodeAt(0).toString(16)};`)

export const unescapeXml = (text: string) =>
  text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(amp|lt|gt|quot|apos));/gi, (_, hex, decimal, name) => {
    if (name !== undefined) return { amp: '&', lt: '<', gt: '>', quot: '"' }[String(name)] ?? "'"
    return String.fromCodePoint(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16))
  })

/** The text of each `<name>` element; enough for the two documents that clients send. */
export const elements = (xml: string, name: string) =>
  [...xml.matchAll(new RegExp(`<${name}>([\\s\\S]*?)</${name}>`, 'g'))].map(([, text]) => text ?? '')
