import type { IncomingMessage, ServerResponse } from 'node:http'
import fp from 'fastify-plugin'

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
        if (connections.get(socket)?.size === 0) socket.destroySoon()
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
        if (responses.size === 0) socket.destroySoon()
        for (const response of responses) closeAfter(response.req, response)
      }
    })
  },
  { name: 'graceful-close', dependencies: ['connections'] },
)
