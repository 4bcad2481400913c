/**
 * An S3 server that reads and acknowledges: uploads cost it next to nothing, so it is never what a benchmark measures.
 *
 * Started as a process, with PORT. `--verify` keeps the SHA-256 of every object. `GET /_objects` responds with what was stored,
 * `{[key]: {size, sha256?}}` without the bucket, and forgets it.
 */
import { createHash } from 'node:crypto'
import { createServer, type Socket } from 'node:net'

const verify = process.argv.includes('--verify')
const HEAD_END = Buffer.from('\r\n\r\n')

interface Stored {
  size: number
  sha256?: string
}
const objects = new Map<string, Stored>()
/** Parts of unfinished multipart uploads, by upload id and number; bytes only to verify them. */
const uploads = new Map<string, Map<number, { size: number; bytes: Buffer[] }>>()
let nextUpload = 1

interface Request {
  readonly method: string
  readonly key: string
  readonly query: URLSearchParams
  readonly chunked: boolean
  /** `aws-chunked`: the body is chunks with a trailer (AWS, "Signature calculations: trailing headers"), inside of its length. */
  readonly signedChunks: boolean
}

createServer({ noDelay: true }, serve).listen(Number(process.env.PORT), '127.0.0.1')

function serve(socket: Socket): void {
  let pending: Buffer = Buffer.alloc(0)
  let request: Request | undefined
  let left = 0
  let size = 0
  let kept: Buffer[] = []
  socket.on('error', () => socket.destroy())
  socket.on('data', (data) => {
    let rest: Buffer = pending.length > 0 ? Buffer.concat([pending, data]) : data
    pending = Buffer.alloc(0)
    while (rest.length > 0 || request) {
      if (!request) {
        const end = rest.indexOf(HEAD_END)
        if (end === -1) break
        const head = rest.toString('latin1', 0, end)
        rest = rest.subarray(end + 4)
        request = parse(head)
        left = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0)
        size = Number(/\r\nx-amz-decoded-content-length: *(\d+)/i.exec(head)?.[1] ?? left)
        kept = []
        if (/\r\nexpect: *100-continue/i.test(head)) socket.write('HTTP/1.1 100 Continue\r\n\r\n')
      }
      if (request.chunked) {
        const body = dechunk(rest)
        if (!body) break
        kept = body.chunks
        size = body.chunks.reduce((sum, chunk) => sum + chunk.length, 0)
        rest = rest.subarray(body.end)
        left = 0
      } else {
        const part = rest.subarray(0, left)
        left -= part.length
        rest = rest.subarray(part.length)
        // A copy, since the chunk is a window of a larger buffer
        if (part.length > 0 && (verify || request.method === 'POST')) kept.push(Buffer.from(part))
        if (left > 0) break
      }
      const bytes = request.signedChunks ? (dechunk(Buffer.concat(kept))?.chunks ?? []) : kept
      socket.write(respond(request, size, bytes))
      request = undefined
    }
    pending = rest
  })
}

function parse(head: string): Request {
  const [method = '', target = ''] = head.split(' ', 2)
  const url = new URL(target, 'http://store')
  return {
    method,
    // `/bucket/key`, or `/_objects`
    key: decodeURIComponent(url.pathname.slice(url.pathname.indexOf('/', 1) + 1)),
    query: url.searchParams,
    chunked: /\r\ntransfer-encoding: *chunked/i.test(head),
    signedChunks: /\r\ncontent-encoding: *aws-chunked/i.test(head),
  }
}

/** The chunks of a body that is complete, and where it ends, trailer included (RFC 9112 section 7.1; aws-chunked is the same). */
function dechunk(body: Buffer): { chunks: Buffer[]; end: number } | undefined {
  const chunks: Buffer[] = []
  for (let at = 0; ; ) {
    const line = body.indexOf('\r\n', at)
    if (line === -1) return undefined
    const length = Number.parseInt(body.toString('latin1', at, line), 16)
    if (length === 0) {
      const end = body.indexOf(HEAD_END, line)
      return end === -1 ? undefined : { chunks, end: end + 4 }
    }
    if (line + 2 + length + 2 > body.length) return undefined
    chunks.push(body.subarray(line + 2, line + 2 + length))
    at = line + 2 + length + 2
  }
}

function respond({ method, key, query }: Request, size: number, bytes: Buffer[]): string {
  if (method === 'PUT' && query.has('uploadId')) {
    uploads.get(query.get('uploadId') ?? '')?.set(Number(query.get('partNumber')), { size, bytes })
    return reply(200, '', 'ETag: "0"\r\n')
  }
  if (method === 'PUT') {
    remember(key, size, bytes)
    return reply(200, '', 'ETag: "0"\r\n')
  }
  if (method === 'POST' && query.has('uploads')) {
    const id = String(nextUpload++)
    uploads.set(id, new Map())
    return xml('InitiateMultipartUploadResult', `<UploadId>${id}</UploadId>`)
  }
  if (method === 'POST' && query.has('uploadId')) {
    const id = query.get('uploadId') ?? ''
    const parts = [...(uploads.get(id) ?? [])].sort(([a], [b]) => a - b).map(([, part]) => part)
    uploads.delete(id)
    const whole = parts.reduce((sum, part) => sum + part.size, 0)
    remember(
      key,
      whole,
      parts.flatMap((part) => part.bytes),
    )
    return xml('CompleteMultipartUploadResult', `<Key>${key}</Key><ETag>"0-1"</ETag>`)
  }
  if (method === 'POST') return xml('DeleteResult', '')
  if (method === 'DELETE') {
    uploads.delete(query.get('uploadId') ?? '')
    return reply(204, '')
  }
  if (key === '/_objects') {
    const stored = JSON.stringify(Object.fromEntries(objects))
    objects.clear()
    return reply(200, stored)
  }
  if (method === 'GET') return xml('ListBucketResult', '<KeyCount>0</KeyCount><IsTruncated>false</IsTruncated>')
  const found = objects.get(key)
  return found ? `HTTP/1.1 200 OK\r\nETag: "0"\r\nContent-Length: ${found.size}\r\n\r\n` : reply(404, '')
}

function remember(key: string, size: number, bytes: Buffer[]): void {
  const sha256 = () => bytes.reduce((hash, chunk) => hash.update(chunk), createHash('sha256')).digest('hex')
  objects.set(key, verify ? { size, sha256: sha256() } : { size })
}

function xml(root: string, content: string): string {
  return reply(
    200,
    `<?xml version="1.0" encoding="UTF-8"?><${root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${content}</${root}>`,
    'Content-Type: application/xml\r\n',
  )
}

function reply(status: number, body: string, headers = ''): string {
  return `HTTP/1.1 ${status} OK\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}
