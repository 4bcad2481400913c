import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fresh from 'fresh'

/** A file of a page, in memory: a slow reader holds nothing but its position in it. */
export interface CachedAsset {
  readonly headers: Readonly<Record<string, string>>
  readonly etag: string
  readonly plain: Buffer
  /** Compressed bodies by content coding; none for a file that compression does not make smaller. */
  readonly coded: Readonly<Record<string, Buffer>>
}

/** Sends the file in a coding that the client accepts, or 304 if the client's copy is current. */
export function sendAsset(
  { headers, etag, plain, coded }: CachedAsset,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const accepted = String(request.headers['accept-encoding'] ?? '')
  const coding = Object.keys(coded).find((name) =>
    new RegExp(`\\b${name}\\b(?!\\s*;\\s*q=0(\\.0*)?\\s*(,|$))`).test(accepted),
  )
  const body = (coding && coded[coding]) || plain
  // Each coding has an ETag of its own, because its bytes differ (RFC 9110 section 8.8.3.3)
  const tag = coding ? `${etag.slice(0, -1)}-${coding}"` : etag
  reply.headers({ ...headers, etag: tag })
  if (Object.keys(coded).length > 0) reply.header('vary', 'accept-encoding')
  if (fresh(request.headers, { etag: tag })) return reply.code(304).send()
  if (coding) reply.header('content-encoding', coding)
  reply.header('content-length', body.length)
  return reply.send(request.method === 'HEAD' ? undefined : body)
}

/**
 * Returns the headers of a page that may load scripts, styles and images from this server only, and no inline script
 * (https://www.w3.org/TR/CSP3/).
 *
 * @param images further sources of images
 * @param imageUrl `PUBLIC_IMAGE_URL`, whose origin the page may load images and their headers from
 */
export function pageHeaders(images: readonly string[], imageUrl: string | undefined): Record<string, string> {
  const others = imageUrl === undefined ? [] : [new URL(imageUrl).origin]
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "font-src 'self'",
    `img-src ${["'self'", ...others, ...images].join(' ')}`,
    `connect-src ${["'self'", ...others].join(' ')}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
  return {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-cache',
    'content-security-policy': policy,
    'cross-origin-opener-policy': 'same-origin',
  }
}

export function etagOf(body: Buffer): string {
  return `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`
}
