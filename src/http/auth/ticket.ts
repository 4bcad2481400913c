import { randomBytes } from 'node:crypto'
import { TicketExpired, TicketInvalid, TicketTooManyBytes, TicketTooManyFiles } from '../../errors.ts'
import type { Body } from '../../store/object-store.ts'
import { nowSeconds, type Signer } from './signing.ts'

/** Permission to upload one story. A ticket is signed, so the server stores nothing about it. */
export interface Ticket {
  /** Random. It is the idempotency key of the upload, so that one ticket makes one story. */
  readonly nonce: string
  /** Most files. */
  readonly files: number
  /** Most bytes of all files together. */
  readonly bytes: number
  /** The name of the key that issued the ticket; empty if the server has no keys. */
  readonly issuer: string
  /** Unix time in seconds. */
  readonly expires: number
}

const VERSION = 'v1'

/** Makes a ticket, as text that needs no escaping in a URL. */
export function issueTicket(signer: Signer, limits: Omit<Ticket, 'nonce'>): string {
  const ticket: Ticket = { nonce: randomBytes(16).toString('base64url'), ...limits }
  const signed = `${VERSION}.${Buffer.from(JSON.stringify(ticket)).toString('base64url')}`
  return `${signed}.${signer.sign(signed)}`
}

/**
 * Reads a ticket.
 *
 * @throws {TicketInvalid} if none of the secrets signed it
 * @throws {TicketExpired}
 */
export function readTicket(signer: Signer, text: string): Ticket {
  const end = text.lastIndexOf('.')
  const signed = text.slice(0, Math.max(0, end))
  if (!signed.startsWith(`${VERSION}.`) || !signer.verify(signed, text.slice(end + 1))) throw new TicketInvalid()
  const ticket = JSON.parse(Buffer.from(signed.slice(VERSION.length + 1), 'base64url').toString()) as Ticket
  if (ticket.expires <= nowSeconds()) throw new TicketExpired()
  return ticket
}

/**
 * Passes on the images of an upload while they are within the ticket's limits.
 *
 * @throws {TicketTooManyFiles} @throws {TicketTooManyBytes} while the bytes arrive
 */
export async function* withinTicket(
  images: AsyncIterable<Body>,
  { files, bytes }: Pick<Ticket, 'files' | 'bytes'>,
): AsyncGenerator<Body> {
  let number = 0
  let count = 0
  async function* counted(image: Body) {
    for await (const chunk of image) {
      count += chunk.length
      if (count > bytes) throw new TicketTooManyBytes(bytes)
      yield chunk
    }
  }
  for await (const image of images) {
    if (++number > files) throw new TicketTooManyFiles(files)
    yield counted(image)
  }
}
