import type { FastifyInstance } from 'fastify'
import { type Static, type TObject, Type } from 'typebox'
import { Check } from 'typebox/schema'
import { BadMember, BrokenJson, ClientGone, JsonTimeout, JsonTooLarge, NotJson, UnknownMember } from '../../errors.ts'
import { askForBody } from '../plugins/expect-continue.ts'

/** How long a body of JSON may take to arrive, in milliseconds. */
const ARRIVAL_MS = 10_000

/**
 * Makes the routes of this instance parse JSON bodies.
 *
 * @param limit most bytes
 */
export function parseJsonBodies(app: FastifyInstance, limit: number): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(new NotJson()))
  app.addContentTypeParser('application/json', ({ raw, headers }, body, done) => {
    if (Number(headers['content-length']) > limit) return done(new JsonTooLarge(limit))
    askForBody(raw)
    // Chunks are copied into one buffer that grows: in a list, each chunk of one byte would take some 180 bytes
    let bytes = Buffer.alloc(0)
    let count = 0
    const timer = setTimeout(() => end(new JsonTimeout(ARRIVAL_MS)), ARRIVAL_MS)
    const end = (error: Error | null, value?: unknown) => {
      clearTimeout(timer)
      body.off('data', onData).off('end', onEnd).off('close', onClose)
      done(error, value)
    }
    const onData = (chunk: Buffer) => {
      const size = count + chunk.length
      if (size > limit) return end(new JsonTooLarge(limit))
      if (size > bytes.length) bytes = Buffer.concat([bytes], Math.min(2 * size, limit))
      chunk.copy(bytes, count)
      count = size
    }
    const onEnd = () => {
      let value: unknown
      try {
        if (count > 0) value = JSON.parse(bytes.toString('utf8', 0, count))
      } catch {
        return end(new BrokenJson())
      }
      end(null, value)
    }
    const onClose = () => end(new ClientGone())
    body.on('data', onData).once('end', onEnd).once('close', onClose)
  })
}

/** Makes the schema of a number in a body. Its description ends the sentence 'The member "files" of the body must be …'. */
export const wholeNumber = (what: string, maximum: number, byDefault: number) =>
  Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum,
      default: byDefault,
      description: `a whole number${what} from 1 to ${maximum}`,
    }),
  )

/**
 * Checks a body, adds the defaults, and returns it. Unlike Fastify it refuses unknown members, and its errors name the member.
 *
 * @param schema each member has a description of what is allowed, and a default if it is optional
 * @throws {BrokenJson} @throws {UnknownMember} @throws {BadMember}
 */
export function checkedBody<Schema extends TObject>(schema: Schema, body: unknown = {}): Static<Schema> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new BrokenJson()
  const members = schema.properties as Record<string, { default?: unknown; description?: string }>
  const known = Object.keys(members)
  const unknown = Object.keys(body).find((name) => !known.includes(name))
  if (unknown !== undefined) throw new UnknownMember(unknown, known)
  const values: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(members)) {
    values[name] = Object.hasOwn(body, name) ? (body as Record<string, unknown>)[name] : member.default
    if (!Check(member as Schema, values[name])) throw new BadMember(name, member.description ?? 'of another form')
  }
  return values as Static<Schema>
}
