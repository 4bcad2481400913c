import { once } from 'node:events'
import { request as httpRequest, type IncomingHttpHeaders, type RequestOptions } from 'node:http'
import { connect } from 'node:net'
import type { Test } from 'tap'
import { type ImageOptions, makeImage } from '../support/images.ts'
import { PATIENCE } from '../support/patience.ts'

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** The body as JSON. */
  json<T = unknown>(): T
}

export interface ListedImage {
  readonly id: string
  readonly story_id: string
  readonly path: string
  readonly created_at: string
}

export interface Uploaded {
  readonly story_id: string
  readonly image_paths: string[]
  readonly image_count: number
}

export interface Part {
  /** Of the form field; `files` unless given. */
  readonly name?: string
  /** `null`: none, which makes a text field of it. */
  readonly filename?: string | null
  readonly type?: string
  readonly body: string | Uint8Array
}

/** Where a server is: a ServerProcess, or anything else with a port. */
export interface At {
  readonly port: number
}

/**
 * A request as it is given, and the whole answer. Not `fetch`, which adds Cache-Control to conditional requests (Fetch Standard,
 * "HTTP-network-or-cache fetch") and shows no interrupted answers.
 */
export async function send(
  at: At,
  method: string,
  path: string,
  options: { headers?: RequestOptions['headers']; body?: string | Uint8Array } = {},
): Promise<Answer> {
  const { headers = {}, body } = options
  const request = httpRequest({ host: '127.0.0.1', port: at.port, method, path, headers })
  request.end(body)
  const [response] = await once(request, 'response')
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk)
  return answerOf(response.statusCode, response.headers, Buffer.concat(chunks))
}

export const get = (at: At, path: string, headers?: RequestOptions['headers']) =>
  send(at, 'GET', path, headers ? { headers } : {})

export const remove = (at: At, path: string) => send(at, 'DELETE', path)

function answerOf(status: number, headers: IncomingHttpHeaders, body: Buffer): Answer {
  return { status, headers, body, json: <T>() => JSON.parse(body.toString()) as T }
}

export const BOUNDARY = 'a-boundary-of-the-tests'

/** A multipart/form-data body (RFC 7578), written by hand so that it can be wrong. */
export function multipart(parts: readonly Part[]): Buffer {
  const pieces: (string | Uint8Array)[] = []
  for (const { name = 'files', filename = 'a.jpg', type = 'image/jpeg', body } of parts) {
    const file = filename === null ? '' : `; filename="${filename}"\r\nContent-Type: ${type}`
    pieces.push(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n`, body, '\r\n')
  }
  pieces.push(`--${BOUNDARY}--\r\n`)
  return Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece) : piece)))
}

export const MULTIPART = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` }
export const UPLOAD = '/api/v1/images/upload'
export const IMAGES = '/api/v1/images'
export const STORY_IDS = '/api/v1/images/story-ids'

export function post(at: At, parts: readonly Part[], headers: Record<string, string> = {}): Promise<Answer> {
  return send(at, 'POST', UPLOAD, { headers: { ...MULTIPART, ...headers }, body: multipart(parts) })
}

/** Uploads images and answers with the server's answer, which has to be a 200. */
export async function upload(
  at: At,
  bodies: readonly Uint8Array[],
  headers: Record<string, string> = {},
): Promise<Uploaded> {
  const parts = bodies.map((body) => ({ body }))
  const answer = await post(at, parts, headers)
  if (answer.status !== 200) throw new Error(`The upload was answered ${answer.status} ${answer.body}`)
  return answer.json<Uploaded>()
}

export async function listImages(at: At, path = IMAGES): Promise<ListedImage[]> {
  const answer = await get(at, path)
  if (answer.status !== 200) throw new Error(`${path} was answered ${answer.status} ${answer.body}`)
  return answer.json<ListedImage[]>()
}

/** Different images of the types in turn. */
export function someImages(count: number, types: readonly ImageOptions['type'][] = ['jpg', 'png']): Promise<Buffer[]> {
  return Promise.all(
    Array.from({ length: count }, (_, index) =>
      makeImage({ type: types[index % types.length] ?? 'jpg', width: 8 + index, height: 9 }),
    ),
  )
}

/**
 * Sends bytes over a connection of its own, half of which stays open, and returns what comes back until the server closes. For
 * what no HTTP client would send.
 *
 * @param pieces what to send; a number is a pause in milliseconds
 */
export async function exchange(at: At, ...pieces: readonly (string | Uint8Array | number)[]): Promise<Answer> {
  const socket = connect(at.port, '127.0.0.1')
  // What was answered counts, not what could not be sent any more
  socket.on('error', () => {})
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  const closed = new Promise((resolve) => socket.once('close', resolve))
  for (const piece of pieces) {
    if (typeof piece === 'number') await new Promise((resolve) => setTimeout(resolve, piece))
    else if (!socket.destroyed) socket.write(piece)
  }
  await closed
  const text = Buffer.concat(chunks)
  const end = text.indexOf('\r\n\r\n')
  const [line = '', ...fields] = text.toString('latin1', 0, end).split('\r\n')
  const headers = Object.fromEntries(fields.map((field) => field.split(/: */, 2))) as Record<string, string>
  const lower = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
  const body = text.subarray(end + 4)
  const isChunked = lower['transfer-encoding'] === 'chunked'
  return answerOf(Number(line.split(' ')[1]), lower, isChunked ? withoutChunks(body) : body)
}

/** RFC 9112 section 7.1. */
function withoutChunks(body: Buffer): Buffer {
  const chunks: Buffer[] = []
  for (let at = 0; ; ) {
    const end = body.indexOf('\r\n', at)
    const size = Number.parseInt(body.toString('latin1', at, end), 16)
    if (end === -1 || !(size > 0)) return Buffer.concat(chunks)
    chunks.push(body.subarray(end + 2, end + 2 + size))
    at = end + 2 + size + 2
  }
}

/** An error's answer is `{"detail": "…"}` as JSON, and nothing else. */
export function isError(t: Test, answer: Answer, status: number, sentence: RegExp, what = 'the answer'): void {
  t.equal(answer.status, status, `${what}: status ${answer.status} ${answer.body.toString().slice(0, 200)}`)
  t.match(answer.headers['content-type'], /^application\/json(; charset=utf-8)?$/, `${what}: is JSON`)
  const body = answer.json<{ detail: string }>()
  t.same(Object.keys(body), ['detail'], `${what}: has one member`)
  t.match(body.detail, sentence, `${what}: says why`)
}

/** Returns the gauges of running and queued requests that are not 0, without the request for the metrics itself. */
export async function usedCapacity(at: At): Promise<string[]> {
  const { body } = await get(at, '/metrics')
  return body
    .toString()
    .split('\n')
    .filter((line) => /^story_images_(capacity_used|queue_length|http_requests_running)/.test(line))
    .filter((line) => !/ 0$/.test(line) && line !== 'story_images_http_requests_running{operation="getMetrics"} 1')
}

/** Waits for something to become true. */
export async function until(what: string, isTrue: () => boolean | Promise<boolean>, milliseconds = PATIENCE) {
  const deadline = Date.now() + milliseconds
  while (!(await isTrue())) {
    if (Date.now() > deadline) throw new Error(`Did not happen in ${milliseconds} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
