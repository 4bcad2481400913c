import { connect } from 'node:net'
import type { Library } from './library.ts'

const CONNECTIONS = 32
const OK = 'HTTP/1.1 200'

/** Puts every object of a library, of one byte each, into a bucket that anyone may write. */
export async function fillBucket(bucketUrl: string, { ids, names }: Library): Promise<void> {
  const { host, hostname, port, pathname } = new URL(bucketUrl)
  const keys = ids.flatMap((id) => names.map((name) => `stories/${id}/${name}`)).values()
  const fill = () =>
    new Promise<void>((resolve, reject) => {
      const socket = connect(Number(port), hostname)
      const next = () => {
        const { value, done } = keys.next()
        if (done) socket.end()
        else socket.write(`PUT ${pathname}/${value} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 1\r\n\r\n.`)
      }
      socket
        .setNoDelay()
        .once('connect', next)
        .once('close', () => resolve())
        .once('error', reject)
        // A response without a body comes in one piece
        .on('data', (data) => {
          if (data.toString('latin1', 0, OK.length) === OK) next()
          else reject(new Error(`The bucket can't be filled: ${data}`))
        })
    })
  await Promise.all(Array.from({ length: CONNECTIONS }, fill))
}
