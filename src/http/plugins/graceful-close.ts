import type { Socket } from 'node:net'
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
    const running = new Map<Socket, number>()
    let closing = false
    app.decorate('shutdown', { begun: false })

    app.server.on('connection', (socket: Socket) => {
      running.set(socket, 0)
      socket.once('close', () => running.delete(socket))
    })
    app.server.on('request', ({ socket }, response) => {
      running.set(socket, (running.get(socket) ?? 0) + 1)
      response.on('close', () => {
        const left = (running.get(socket) ?? 1) - 1
        if (running.has(socket)) running.set(socket, left)
        if (closing && left === 0) socket.destroySoon()
      })
    })
    app.addHook('onSend', async (_request, reply, payload) => {
      if (closing) reply.header('connection', 'close')
      return payload
    })
    app.addHook('preClose', async () => {
      app.shutdown.begun = true
      closing = true
      for (const [socket, count] of running) if (count === 0) socket.destroySoon()
    })
  },
  { name: 'graceful-close' },
)
