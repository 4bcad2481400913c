import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import fp from 'fastify-plugin'

/** How long a client may take to close its side of a connection when the server closes, in milliseconds. */
const CLIENT_CLOSE_MS = 2000

declare module 'fastify' {
  interface FastifyInstance {
    /** Once a shutdown has begun, the server is not ready, though it still serves. */
    readonly shutdown: { begun: boolean }
  }
}

/**
 * Closes each connection after its running responses when the server closes, and at once if it has none. Node closes only connections that
 * are idle at that moment. It would wait for those that become idle later and those without a request yet.
 */
export const gracefulClosePlugin = fp(
  async (app) => {
    const { connections } = app
    let closing = false
    app.decorate('shutdown', { begun: false })

    /** Closes the connection of a request after the response, unless there are more to come. */
    function closeAfter({ socket }: IncomingMessage, response: ServerResponse): void {
      response.once('close', () => {
        if (connections.get(socket)?.size === 0) closeSoon(socket)
      })
    }

    app.addHook('onSend', async (_request, reply, payload) => {
      if (closing) reply.header('connection', 'close')
      return payload
    })
    app.addHook('preClose', async () => {
      app.shutdown.begun = true
      closing = true
      app.server.on('request', closeAfter)
      for (const [socket, responses] of connections) {
        if (responses.size === 0) closeSoon(socket)
        for (const response of responses) closeAfter(response.req, response)
      }
    })
  },
  { name: 'graceful-close', dependencies: ['connections'] },
)

/** Closes a connection without a running request. A connection that closes in stages gets less time than usual. */
function closeSoon(socket: Socket): void {
  socket.destroySoon()
  if (!socket.destroyed) setTimeout(() => socket.destroy(), CLIENT_CLOSE_MS).unref()
}
