import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { addressIn, clientIdOf } from '../limits/client-address.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** IP address of the client, without a port. Behind trusted proxies it is the address that they name. */
    readonly clientAddress: string
    readonly clientId: string
  }
}

/** Identifies the client of a request, for limits, queues and the log. */
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

/** Returns the address of the client, also for a request that Fastify refuses before plugins see it. */
export function clientAddressOf({ ip, raw }: FastifyRequest): string {
  // An entry of X-Forwarded-For that is not an address must not make a new client each time
  return addressIn(ip) ?? addressIn(raw.socket.remoteAddress) ?? ''
}
