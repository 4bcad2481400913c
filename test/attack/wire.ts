import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { PATIENCE } from '../support/patience.ts'

export interface WireAnswer {
  readonly status: number
  /** Start line and fields as they came. */
  readonly head: string
  readonly body: string
}

/**
 * A connection that sends bytes as they are and takes answers apart as they come, without polling: the attacks send thousands of
 * requests a second. Answers have a Content-Length, are chunked, or end with the connection.
 */
export class Wire {
  readonly socket: Socket
  #received: Buffer = Buffer.alloc(0)
  #ended = false
  #wake: () => void = () => {}

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
      this.#wake()
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      this.#ended = true
      this.#wake()
    })
  }

  static async open(port: number): Promise<Wire> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    return new Wire(socket)
  }

  /** Whether the connection is closed, by either side. */
  get ended(): boolean {
    return this.#ended || this.socket.destroyed
  }

  /** Bytes that came and belong to no answer that was asked for. */
  get rest(): Buffer {
    return this.#received
  }

  /** Never rejects: a server that has answered may have closed. */
  write(bytes: string | Uint8Array): void {
    if (this.socket.writable) this.socket.write(bytes)
  }

  /** The next final answer (1xx is passed over); undefined when the connection ends before there is one. */
  async answer(timeout = PATIENCE): Promise<WireAnswer | undefined> {
    const end = Date.now() + timeout
    for (;;) {
      const found = takeAnswer(this.#received, this.ended)
      if (found) {
        this.#received = this.#received.subarray(found.length)
        if (found.answer.status >= 200) return found.answer
        continue
      }
      if (this.ended) return undefined
      await this.#change(end, timeout)
    }
  }

  /** Waits until the server has closed the connection. */
  async end(timeout = PATIENCE): Promise<void> {
    const end = Date.now() + timeout
    while (!this.ended) await this.#change(end, timeout)
  }

  async #change(end: number, timeout: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = await new Promise<boolean>((resolve) => {
      this.#wake = () => resolve(false)
      timer = setTimeout(() => resolve(true), Math.max(0, end - Date.now()))
    })
    clearTimeout(timer)
    if (late) throw new Error(`Nothing within ${timeout} ms; so far: ${JSON.stringify(preview(this.#received))}`)
  }

  close(): void {
    this.socket.destroy()
  }
}

const preview = (bytes: Buffer) => bytes.toString('latin1', 0, 200)

function takeAnswer(bytes: Buffer, ended: boolean): { answer: WireAnswer; length: number } | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd < 0) return undefined
  const head = bytes.toString('latin1', 0, headEnd)
  const status = Number(head.slice(9, 12))
  const start = headEnd + 4
  const answer = (body: string, length: number) => ({ answer: { status, head, body }, length })
  if (status < 200 || status === 204 || status === 304) return answer('', start)
  const [, length] = /^content-length: (\d+)\r?$/im.exec(head) ?? []
  if (length !== undefined) {
    const end = start + Number(length)
    return bytes.length < end ? undefined : answer(bytes.toString('utf8', start, end), end)
  }
  if (!/^transfer-encoding: chunked\r?$/im.test(head)) {
    return ended ? answer(bytes.toString('utf8', start), bytes.length) : undefined
  }
  for (let at = start, body = ''; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at)
    if (lineEnd < 0) return undefined
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16)
    at = lineEnd + 4 + size
    if (bytes.length < at) return undefined
    if (size === 0) return answer(body, at)
    body += bytes.toString('utf8', lineEnd + 2, at - 2)
  }
}
