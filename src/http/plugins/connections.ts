import { setMaxListeners } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import fp from 'fastify-plugin'
import { ClientGone } from '../../errors.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The open connections, each with its responses that are not over. */
    readonly connections: ReadonlyMap<Socket, ReadonlySet<ServerResponse>>
  }
}

/**
 * Makes each response emit `close` when it was sent or its connection is gone, whichever is first, as Node.js 24 does. Node.js 20 emits
 * `close` only for the response whose turn it is, and not for those queued after it on the connection (RFC 9112 section 9.3.2): their
 * places in queues, bodies and gauges would never be released.
 */
export const connectionsPlugin = fp(
  async (app) => {
    const connections = new Map<Socket, Set<ServerResponse>>()
    app.decorate('connections', connections)

    app.server.on('connection', (socket: Socket) => {
      // Reading the address makes Node.js remember it. There is none after a reset, when nobody waits for a response
      if (socket.remoteAddress === undefined) socket.destroy()
      const responses = new Set<ServerResponse>()
      connections.set(socket, responses)
      socket.once('close', () => {
        connections.delete(socket)
        // Node.js emits `close` for a response that has a socket
        for (const response of responses) if (!response.socket) close(response)
      })
    })
    app.server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
      const responses = connections.get(socket)
      responses?.add(response)
      response.on('close', () => responses?.delete(response))
    })

    // Fastify would wait for a `close` that was already emitted
    app.addHook('onSend', async (_request, { raw }, payload) => {
      if (raw.destroyed && payload instanceof Readable) payload.destroy()
      return payload
    })
  },
  { name: 'connections' },
)

function close(response: ServerResponse): void {
  response.destroy()
  response.emit('close')
  // Node.js emits `close` again when an earlier response of the connection ends
  response.removeAllListeners('close')
}

const signals = new WeakMap<Socket, AbortSignal>()

/**
 * Returns a signal that aborts with `ClientGone` when the connection of a request is gone, to end work that nobody waits for. All requests
 * of a connection share it, because a signal is expensive to make.
 */
export function goneSignal({ socket }: IncomingMessage): AbortSignal {
  const known = signals.get(socket)
  if (known) return known
  const controller = new AbortController()
  const { signal } = controller
  // Many requests at once have many listeners, which is not a leak
  setMaxListeners(0, signal)
  if (socket.destroyed) controller.abort(new ClientGone())
  else socket.once('close', () => controller.abort(new ClientGone()))
  signals.set(socket, signal)
  return signal
}
