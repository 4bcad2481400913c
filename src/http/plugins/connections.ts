import { setMaxListeners } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import fp from 'fastify-plugin'
import { ClientGone } from '../../errors.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The responses of each open connection that are not over yet. */
    readonly connections: ReadonlyMap<Socket, ReadonlySet<ServerResponse>>
  }
}

/**
 * Makes each response emit `close` when it was sent or its connection is gone, whichever is first. Node.js 24 does so by itself.
 * Node.js 20 tells only the response whose turn it is, and none of those that are queued after it on the connection (RFC 9112
 * section 9.3.2): a place, a body or a gauge that waits for their `close` would never be free.
 */
export const connectionsPlugin = fp(
  async (app) => {
    const connections = new Map<Socket, Set<ServerResponse>>()
    app.decorate('connections', connections)

    app.server.on('connection', (socket: Socket) => {
      // Node.js remembers the address from now on. After a reset the system no longer tells it, and nobody waits for an answer
      if (socket.remoteAddress === undefined) socket.destroy()
      const responses = new Set<ServerResponse>()
      connections.set(socket, responses)
      socket.once('close', () => {
        connections.delete(socket)
        // What has a socket had its turn, and is told by Node.js
        for (const response of responses) if (!response.socket) close(response)
      })
    })
    app.server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
      const responses = connections.get(socket)
      responses?.add(response)
      response.on('close', () => responses?.delete(response))
    })

    // Fastify would wait for a `close` that has been emitted already
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
  // Node.js emits it again when somebody ends a response that came before on the connection
  response.removeAllListeners('close')
}

const signals = new WeakMap<Socket, AbortSignal>()

/**
 * A signal that aborts with `ClientGone` when the connection of a request is gone, so that work which nobody waits for ends. One for
 * all requests of a connection: it costs more to make than to use.
 */
export function goneSignal({ socket }: IncomingMessage): AbortSignal {
  const known = signals.get(socket)
  if (known) return known
  const controller = new AbortController()
  const { signal } = controller
  // Requests that come together are many listeners, and no leak
  setMaxListeners(0, signal)
  if (socket.destroyed) controller.abort(new ClientGone())
  else socket.once('close', () => controller.abort(new ClientGone()))
  signals.set(socket, signal)
  return signal
}
