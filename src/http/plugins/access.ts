import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { KeyMissing, KeyUnknown, ScopeMissing, SignatureInvalid, TicketInvalid, TooManyRequests } from '../../errors.ts'
import { type ApiKey, findKey, parseApiKeys, type Scope, shownKey } from '../access/keys.ts'
import { checkSignedUrl } from '../access/signed-url.ts'
import { type Signer, signerOf } from '../access/signing.ts'
import { readTicket, type Ticket } from '../access/ticket.ts'

/** Who has sent a request that was let in. */
export interface Access {
  /** The name of the key, `ticket:` and the name of the key that the ticket was made with, `signed-url`, or `anonymous`. */
  readonly caller: string
  /** Whether the caller has shown a key. */
  readonly hasKey: boolean
  /** The limits of the upload. */
  readonly ticket?: Ticket
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a key has to be good for to open the route; none, and everybody may use it. */
    scope?: Scope
    /** What opens the route instead of a key. */
    orBy?: 'ticket' | 'signature'
    /** Requests that no limit counts. */
    unlimited?: true
  }
  interface FastifyInstance {
    /** Signs tickets and URLs; there is none without `SIGNING_SECRETS`. */
    readonly signer: Signer | undefined
  }
  interface FastifyRequest {
    access: Access
  }
}

const ANONYMOUS: Access = { caller: 'anonymous', hasKey: false }
const SIGNED: Access = { caller: 'signed-url', hasKey: false }

/** Wrong keys, tickets and signatures from one address within a minute, before it is told to stop. */
const MOST_FORGERIES = 30
const MINUTE_MS = 60_000

/** Lets in whoever may use a route, before anything else is done for the request, and counts how many requests somebody sends. */
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

    const admit = admission(keys, signer)
    const { countRequest, countForgery } = await counters(app, RATE_LIMIT)
    app.decorateRequest('access')
    app.addHook('onRequest', async (request) => {
      let refusal: unknown
      request.access = ANONYMOUS
      try {
        request.access = admit(request)
      } catch (error) {
        refusal = error
      }
      if (countRequest && !request.routeOptions.config.unlimited) await countRequest(request)
      if (refusal === undefined) return
      if (isForgery(refusal)) await countForgery(request)
      throw refusal
    })
  },
  { name: 'access' },
)

/** @returns who a request is from; throws the {ServiceError} that refuses it */
function admission(keys: readonly ApiKey[], signer: Signer | undefined): (request: FastifyRequest) => Access {
  const holders = new Map<ApiKey, Access>(keys.map((key) => [key, { caller: key.name, hasKey: true }]))

  /** A key that was removed, or may no longer write, takes its tickets with it. */
  const mayIssue = (issuer: string) =>
    keys.length === 0 || keys.some(({ name, scopes }) => name === issuer && scopes.has('write'))

  function byTicket(signer: Signer, text: unknown): Access {
    const ticket = typeof text === 'string' && readTicket(signer, text)
    if (!ticket || !mayIssue(ticket.issuer)) throw new TicketInvalid()
    return { caller: `ticket:${ticket.issuer || ANONYMOUS.caller}`, hasKey: false, ticket }
  }

  function byKey(shown: string, scope: Scope): Access {
    const key = findKey(keys, shown)
    const holder = key && holders.get(key)
    if (!holder) throw new KeyUnknown()
    if (!key.scopes.has(scope)) throw new ScopeMissing(scope)
    return holder
  }

  return (request) => {
    const { scope, orBy } = request.routeOptions.config
    if (scope === undefined) return ANONYMOUS
    const query = request.query as Record<string, unknown>
    if (signer && orBy === 'ticket' && query.ticket !== undefined) return byTicket(signer, query.ticket)
    // Without keys everybody may do what a key could allow, but for what has to be signed
    const isSigned = signer && orBy === 'signature'
    if (keys.length === 0 && !isSigned) return ANONYMOUS
    const shown = keys.length > 0 ? shownKey(request.headers) : undefined
    if (shown !== undefined) return byKey(shown, scope)
    if (!isSigned) throw new KeyMissing()
    const { expires, signature } = query
    if (keys.length > 0 && expires === undefined && signature === undefined) throw new KeyMissing()
    checkSignedUrl(signer, request.url.split('?', 1)[0] ?? '', expires, signature)
    return SIGNED
  }
}

/**
 * Counts requests of a key or, without one, of an address, and forgeries of an address. A right key is let in also from an address
 * with too many wrong ones: whoever sends those may share it with others, and finds no key by trying.
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
    countForgery: counter(MOST_FORGERIES, clientOf),
  }
}

/** Whether somebody has shown what was never theirs, or altered it. */
function isForgery(error: unknown): boolean {
  return error instanceof KeyUnknown || error instanceof TicketInvalid || error instanceof SignatureInvalid
}
