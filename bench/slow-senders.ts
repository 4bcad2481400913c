/**
 * Uploads at a bounded speed, all at once. Started as a process, with URL, SENDERS, BYTES (of each) and SPEED (bytes per second);
 * prints `{"statuses": {"200": n}, "seconds": n}` at the end.
 */
import { connect } from 'node:net'
import { BODY_END, MULTIPART, makeJpeg, partHead } from './load.ts'

const TICK_MS = 50
const { hostname, port } = new URL(process.env.URL ?? '')
const bytes = Number(process.env.BYTES)
const step = (Number(process.env.SPEED) * TICK_MS) / 1000
const content = makeJpeg(bytes)
const length = Buffer.byteLength(partHead(1)) + bytes + Buffer.byteLength(BODY_END)

/** Resolves with the status of the response; 0 when the connection broke. */
function send(): Promise<number> {
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname)
    let sent = 0
    let response = ''
    const timer = setInterval(() => {
      if (socket.writableNeedDrain || sent === bytes) return
      for (let left = Math.min(step, bytes - sent); left > 0; ) {
        const chunk = content.subarray(sent, sent + left)
        socket.write(chunk)
        sent += chunk.length
        left -= chunk.length
      }
      if (sent === bytes) socket.write(BODY_END)
    }, TICK_MS)
    socket.setEncoding('latin1').on('data', (text: string) => {
      response += text
      if (response.includes('}')) socket.end()
    })
    socket.on('error', () => socket.destroy())
    socket.once('close', () => {
      clearInterval(timer)
      resolve(Number(/^HTTP\/1.1 (\d+)/.exec(response)?.[1] ?? 0))
    })
    socket.write(
      `POST /api/v1/images/upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${MULTIPART}\r\nContent-Length: ${length}\r\n\r\n${partHead(1)}`,
    )
  })
}

const begin = performance.now()
const statuses: Record<string, number> = {}
for (const status of await Promise.all(Array.from({ length: Number(process.env.SENDERS) }, send))) {
  statuses[status] = (statuses[status] ?? 0) + 1
}
console.log(JSON.stringify({ statuses, seconds: (performance.now() - begin) / 1000 }))
