import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { KeyMissing, KeyUnknown, ScopeMissing, SignatureInvalid, TicketInvalid, TooManyRequests } from '../../errors.ts'
import { type ApiKey, findKey, keyIn, parseApiKeys, type Scope } from './keys.ts'
import { checkSignedUrl } from './signed-url.ts'
import { type Signer, signerOf } from './signing.ts'
import { readTicket, type Ticket } from './ticket.ts'

/** The caller of a request that was admitted. */
export interface Access {
  /** The name of the key, `ticket:` with the name of the key that issued the ticket, `signed-url`, or `anonymous`. */
  readonly caller: string
  readonly hasKey: boolean
  readonly ticket?: Ticket
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Scope that a key must have for the route; undefined if everybody may use it. */
    scope?: Scope
    /** What authorizes a request to the route instead of a key. */
    altAuth?: 'ticket' | 'signature'
    /** Whether `RATE_LIMIT` does not count requests to the route. */
    skipRateLimit?: true
  }
  interface FastifyInstance {
    /** Signs tickets and URLs; undefined without `SIGNING_SECRETS`. */
    readonly signer: Signer | undefined
  }
  interface FastifyRequest {
    access: Access
  }
}

const ANONYMOUS: Access = { caller: 'anonymous', hasKey: false }
const SIGNED: Access = { caller: 'signed-url', hasKey: false }

/** Most wrong keys, tickets and signatures from one client in a minute before it gets 429. */
const MAX_FORGERIES = 30
const MINUTE_MS = 60_000

/** Authorizes each request before anything else is done for it, and applies the rate limit. */
export const accessPlugin = fp(
  async (app) => {
    const { API_KEYS, SIGNING_SECRETS, RATE_LIMIT } = app.config
    const keys = parseApiKeys(API_KEYS)
    const signer = signerOf(SIGNING_SECRETS)
    app.decorate('signer', signer)
    if (keys.length === 0 && !signer && RATE_LIMIT === 0) {
      app.decorateRequest('access', { getter: () => ANONYMOUS })
      return
    }

    const authorize = authorizer(keys, signer)
    const { countRequest, countForgery } = await counters(app, RATE_LIMIT)
    app.decorateRequest('access')
    app.addHook('onRequest', async (request) => {
      let refusal: unknown
      request.access = ANONYMOUS
      try {
        request.access = authorize(request)
      } catch (error) {
        refusal = error
      }
      if (countRequest && !request.routeOptions.config.skipRateLimit) await countRequest(request)
      if (refusal === undefined) return
      if (isForgery(refusal)) await countForgery(request)
      throw refusal
    })
  },
  { name: 'access' },
)

/** Returns a function that finds the caller of a request, or throws the {ServiceError} that refuses it. */
function authorizer(keys: readonly ApiKey[], signer: Signer | undefined): (request: FastifyRequest) => Access {
  const holders = new Map<ApiKey, Access>(keys.map((key) => [key, { caller: key.name, hasKey: true }]))

  /** Tickets are void once the key that issued them is removed or may no longer write. */
  const mayIssue = (issuer: string) =>
    keys.length === 0 || keys.some(({ name, scopes }) => name === issuer && scopes.has('write'))

  function byTicket(signer: Signer, text: unknown): Access {
    const ticket = typeof text === 'string' && readTicket(signer, text)
    if (!ticket || !mayIssue(ticket.issuer)) throw new TicketInvalid()
    return { caller: `ticket:${ticket.issuer || ANONYMOUS.caller}`, hasKey: false, ticket }
  }

  function byKey(text: string, scope: Scope): Access {
    const key = findKey(keys, text)
    const holder = key && holders.get(key)
    if (!holder) throw new KeyUnknown()
    if (!key.scopes.has(scope)) throw new ScopeMissing(scope)
    return holder
  }

  return (request) => {
    const { scope, altAuth } = request.routeOptions.config
    if (scope === undefined) return ANONYMOUS
    const query = request.query as Record<string, unknown>
    if (signer && altAuth === 'ticket' && query.ticket !== undefined) return byTicket(signer, query.ticket)
    // Without keys everybody may do what a key could allow, except what has to be signed
    const isSigned = signer && altAuth === 'signature'
    if (keys.length === 0 && !isSigned) return ANONYMOUS
    const text = keys.length > 0 ? keyIn(request.headers) : undefined
    if (text !== undefined) return byKey(text, scope)
    if (!isSigned) throw new KeyMissing()
    const { expires, signature } = query
    if (keys.length > 0 && expires === undefined && signature === undefined) throw new KeyMissing()
    checkSignedUrl(signer, request.url.split('?', 1)[0] ?? '', expires, signature)
    return SIGNED
  }
}

/**
 * Returns counters for the requests of a key or, without one, of a client, and for the forgeries of a client. A valid key is admitted
 * also from a client with too many forgeries: others may share its address, and nobody finds a key by trying.
 */
async function counters(app: FastifyInstance, most: number) {
  await app.register(rateLimit, { global: false, timeWindow: MINUTE_MS })
  const clientOf = ({ clientId }: FastifyRequest) => clientId
  const counter = (max: number, keyGenerator: (request: FastifyRequest) => string) => {
    const count = app.createRateLimit({ max, keyGenerator })
    return async (request: FastifyRequest) => {
      const result = await count(request)
      if (!result.isAllowed && result.isExceeded) throw new TooManyRequests(result.ttlInSeconds)
    }
  }
  const holderOf = (request: FastifyRequest) =>
    request.access.hasKey ? `key ${request.access.caller}` : clientOf(request)
  return {
    countRequest: most > 0 ? counter(most, holderOf) : undefined,
    countForgery: counter(MAX_FORGERIES, clientOf),
  }
}

/** Returns whether the refusal is for a key, ticket or signature that the server never issued. */
function isForgery(error: unknown): boolean {
  return error instanceof KeyUnknown || error instanceof TicketInvalid || error instanceof SignatureInvalid
}
