import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import fp from 'fastify-plugin'

/** How much of a refused body is read and thrown away before the connection is closed. */
const DRAIN_BYTES = 16 * 1024 * 1024
const DRAIN_MS = 5000

/**
 * Before an answer goes out, reads and discards what the client still sends. Many clients read no answer before they have sent
 * all, and a connection closed under their hands is an error of the network to them: Node's `fetch` reported EPIPE each time when
 * nothing was drained, and never when it was.
 */
export const drainPlugin = fp(
  async (app) => {
    app.addHook('onSend', async (request, reply, payload) => {
      // A stream holds a connection of the store meanwhile, and a client that has stopped sending will not go on
      const canWait = !(payload instanceof Readable) && reply.statusCode !== 408
      const isDrained = request.raw.complete || (canWait && (await drained(request.raw)))
      if (!isDrained) reply.header('connection', 'close')
      return payload
    })
  },
  { name: 'drain' },
)

/** Whether the body came to its end within the bounds. */
function drained(body: IncomingMessage): Promise<boolean> {
  return new Promise((resolve) => {
    let count = 0
    const timer = setTimeout(() => done(false), DRAIN_MS)
    const done = (complete: boolean) => {
      clearTimeout(timer)
      body.off('data', onData)
      body.off('close', onClose)
      if (!complete) body.pause()
      resolve(complete)
    }
    const onData = (chunk: Buffer) => {
      count += chunk.length
      if (count > DRAIN_BYTES) done(false)
    }
    const onClose = () => done(body.complete)
    if (body.destroyed) return done(false)
    body.unpipe()
    body.on('data', onData)
    body.once('end', onClose)
    body.once('close', onClose)
    body.resume()
  })
}
