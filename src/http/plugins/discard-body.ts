import type { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import fp from 'fastify-plugin'
import { closeInStages } from './close-in-stages.ts'

/** Largest body whose rest is discarded without closing the connection. */
const SHORT_BODY_BYTES = 256 * 1024

/**
 * Discards bodies that no route reads, mainly those of refused uploads. The response is sent at once. After a long body it is the last of
 * its connection, which then closes in stages, so that the client gets to read it.
 */
export const discardBodyPlugin = fp(
  async (app) => {
    const { UPLOAD_TIMEOUT } = app.config
    app.server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const { socket, headers } = request
      if (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined) return
      // Node calls this after the last response of a connection, and would close it while the client still sends
      socket.destroySoon = () => {
        if (request.complete || !response.writableFinished) Socket.prototype.destroySoon.call(socket)
        else closeInStages(socket, UPLOAD_TIMEOUT)
      }
    })

    app.addHook('onSend', async ({ raw, headers }, reply, payload) => {
      if (raw.complete) return payload
      raw.unpipe()
      raw.resume()
      // By now a body that arrived together with its headers is complete
      await setImmediate()
      // A client that has stalled will not go on, and one that expects 100 may send its body or not
      const canEnd = reply.statusCode !== 408 && headers.expect === undefined
      const isShort = raw.complete || Number(headers['content-length']) <= SHORT_BODY_BYTES
      if (!canEnd || !isShort) reply.header('connection', 'close')
      return payload
    })
  },
  { name: 'discard-body' },
)
