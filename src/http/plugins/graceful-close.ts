import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import fp from 'fastify-plugin'

/** How long a client may take to close its side of a connection when the server closes, in milliseconds. */
const LAST_MS = 2000

declare module 'fastify' {
  interface FastifyInstance {
    /** From the first sign of a shutdown on the server is not ready, though it still serves. */
    readonly shutdown: { begun: boolean }
  }
}

/**
 * When the server closes, a connection closes with its running answer, and at once when it has none: Node alone closes those that
 * are idle at that very moment, but neither those that become idle later nor those that have not been used yet, and would wait for
 * both. What is under way gets its answer.
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

/** Closes a connection without a running request. One that closes in stages gets less time than usual. */
function closeSoon(socket: Socket): void {
  socket.destroySoon()
  if (!socket.destroyed) setTimeout(() => socket.destroy(), LAST_MS).unref()
}
