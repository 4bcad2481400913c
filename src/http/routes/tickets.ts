import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { checkedBody, takeJson, wholeNumber } from '../access/json-body.ts'
import { nowSeconds, timeOf } from '../access/signing.ts'
import { issueTicket } from '../access/ticket.ts'
import { errors } from '../schemas.ts'

const MOST_BODY_BYTES = 1024

/** Seconds. A day, for which idempotency keys are remembered, and with them that a ticket was used. */
const LONGEST = 24 * 60 * 60
const USUAL = 15 * 60

const Issued = Type.Object({
  upload_url: Type.String({ description: 'Where the story is uploaded, relative to the root of the server' }),
  expires_at: Type.String({ format: 'date-time', description: 'UTC, to the second; the upload has to begin before' }),
  files: Type.Integer({ description: 'Most files' }),
  bytes: Type.Integer({ description: 'Most bytes of all files together' }),
})

/** Tickets for uploads from browsers and phones, which can keep no key. Each is good for one story. */
export const ticketRoutes: FastifyPluginAsync = async (app) => {
  const { config, signer } = app
  if (!signer) return
  takeJson(app, MOST_BODY_BYTES)
  const most = { files: config.MAX_FILES, bytes: config.MAX_FILES * config.MAX_FILE_SIZE }
  const Wanted = Type.Object({
    files: wholeNumber(' of files', most.files, most.files),
    bytes: wholeNumber(' of bytes', most.bytes, most.bytes),
    expires_in: wholeNumber(' of seconds', LONGEST, USUAL),
  })

  app.post(
    '/api/v1/tickets',
    {
      schema: {
        operationId: 'issueTicket',
        summary: 'Make an upload URL that needs no key',
        consumes: ['application/json'],
        document: { body: Wanted },
        response: { 201: Issued, ...errors(400, 401, 403, 408, 413, 415, 429) },
      },
      config: { scope: 'write' },
    },
    async ({ access, body }, reply) => {
      const { files = most.files, bytes = most.bytes, expires_in = USUAL } = checkedBody(Wanted, body)
      const expires = nowSeconds() + expires_in
      const ticket = issueTicket(signer, { files, bytes, expires, issuer: access.hasKey ? access.caller : '' })
      reply.code(201).header('cache-control', 'no-store')
      return { upload_url: `/api/v1/images/upload?ticket=${ticket}`, expires_at: timeOf(expires), files, bytes }
    },
  )
}
