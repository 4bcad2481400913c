import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { addressIn, clientIdOf } from '../client-address.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** IP address of the client, without a port. Behind trusted proxies it is the one that they name. */
    readonly clientAddress: string
    /** What one client is told from another by, see `clientIdOf`. */
    readonly clientId: string
  }
}

/** Says who a request is from: the one notion of a client for limits, queues and the log. */
export const clientPlugin = fp(
  async (app) => {
    app.decorateRequest('clientAddress', {
      getter(this: FastifyRequest) {
        return clientAddressOf(this)
      },
    })
    app.decorateRequest('clientId', {
      getter(this: FastifyRequest) {
        return clientIdOf(this.clientAddress)
      },
    })
  },
  { name: 'client' },
)

/** The same for a request that Fastify refuses before it is one: that has nothing of what plugins add. */
export function clientAddressOf({ ip, raw }: FastifyRequest): string {
  // What can't be read in X-Forwarded-For must not make a new client each time
  return addressIn(ip) ?? addressIn(raw.socket.remoteAddress) ?? ''
}
