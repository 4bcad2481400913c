import type { FastifyPluginAsync } from 'fastify'
import { Type } from 'typebox'
import { checkedBody, parseJsonBodies, wholeNumber } from '../auth/json-body.ts'
import { nowSeconds, timeOf } from '../auth/signing.ts'
import { issueTicket } from '../auth/ticket.ts'
import { jsonSchema } from '../openapi/operations.ts'
import { errors, noStore } from '../schemas.ts'

const MAX_BODY_BYTES = 1024

/** Seconds. Idempotency keys are remembered for a day, and with them that a ticket was used. */
const MAX_SECONDS = 24 * 60 * 60
const DEFAULT_SECONDS = 15 * 60

const Issued = Type.Object(
  {
    upload_url: Type.String({ description: 'URL for the upload, relative to the root of the server' }),
    expires_at: Type.String({ format: 'date-time', description: 'UTC, to the second; the upload must begin before' }),
    files: Type.Integer({ description: 'Most files' }),
    bytes: Type.Integer({ description: 'Most bytes of all files in total' }),
  },
  {
    title: 'Ticket',
    examples: [
      {
        upload_url: '/api/v1/images/upload?ticket=v1.eyJub25jZSI6Ik1C.dGhlIHNpZ25hdHVyZQ',
        expires_at: '2026-11-23T00:08:08Z',
        files: 5,
        bytes: 10_485_760,
      },
    ],
  },
)

/** Issues tickets for uploads from browsers and phones, which cannot keep a key secret. Each ticket allows one story. */
export const ticketRoutes: FastifyPluginAsync = async (app) => {
  const { config, signer } = app
  if (!signer) return
  parseJsonBodies(app, MAX_BODY_BYTES)
  const most = { files: config.MAX_FILES, bytes: config.MAX_FILES * config.MAX_FILE_SIZE }
  const Wanted = Type.Object(
    {
      files: wholeNumber(' of files', most.files, most.files),
      bytes: wholeNumber(' of bytes', most.bytes, most.bytes),
      expires_in: wholeNumber(' of seconds', MAX_SECONDS, DEFAULT_SECONDS),
    },
    { examples: [{ files: 1, bytes: 1_048_576, expires_in: 900 }] },
  )

  app.post(
    '/api/v1/tickets',
    {
      schema: {
        operationId: 'issueTicket',
        summary: 'Make an upload URL that needs no key',
        ...jsonSchema(Wanted, MAX_BODY_BYTES),
        response: {
          201: { ...Issued, headers: { 'Cache-Control': noStore } },
          ...errors(400, 401, 403, 408, 413, 415, 429),
        },
      },
      config: { scope: 'write' },
    },
    async ({ access, body }, reply) => {
      const { files = most.files, bytes = most.bytes, expires_in = DEFAULT_SECONDS } = checkedBody(Wanted, body)
      const expires = nowSeconds() + expires_in
      const ticket = issueTicket(signer, { files, bytes, expires, issuer: access.hasKey ? access.caller : '' })
      reply.code(201).header('cache-control', 'no-store')
      return { upload_url: `/api/v1/images/upload?ticket=${ticket}`, expires_at: timeOf(expires), files, bytes }
    },
  )
}
