import {
  ExpectationFailed,
  HeadersTooLarge,
  InternalError,
  KeyMissing,
  KeyUnknown,
  MissingHost,
  ScopeMissing,
  ServerBusy,
  type ServiceError,
  StoreFailure,
  StoreUnavailable,
  TooManyRequests,
  UnknownHost,
} from '../../errors.ts'
import { header, noStore } from '../schemas.ts'

/** A response in the OpenAPI document. The schema of its body, or its `content`, is among the other keywords. */
export interface DescribedResponse {
  readonly description?: string
  readonly headers?: Readonly<Record<string, unknown>>
  readonly [keyword: string]: unknown
}

/** Error statuses of every route. */
export const OF_EVERY_ROUTE = [400, 417, 431, 500]
/** Error statuses of every route of a server without keys, which refuses unknown host names. */
export const OF_EVERY_OPEN_ROUTE = [...OF_EVERY_ROUTE, 421]

const MEANINGS: Readonly<Record<number, string>> = {
  400: 'The request is not as described, or is not valid HTTP',
  401: 'The API key is missing or wrong',
  403: 'The key, the ticket or the signature does not allow this',
  404: 'There is no such story or image',
  408: 'The body stalled or took too long',
  409: 'The first upload with this Idempotency-Key is still running',
  412: 'The image is not the one that If-Match or If-Unmodified-Since asks for',
  413: 'The body, or a part of it, exceeds its limit',
  415: 'The body is not of the right type, or a file is not one of the image types',
  416: 'The range is outside the image; Content-Range has the size of the image',
  417: 'An expectation other than 100-continue',
  421: 'A host name that the server does not answer to',
  422: 'The image has no variants, or the Idempotency-Key was used with other images',
  429: 'Too many requests',
  431: 'The headers of the request are too large',
  500: 'The server or its store failed',
  503: 'The store cannot be reached, or the server is busy, or the outcome is unknown',
  507: 'The store is full',
}

const failuresOfEveryRoute = () => [
  new MissingHost(),
  new KeyMissing(),
  new KeyUnknown(),
  new ScopeMissing('read'),
  new ExpectationFailed(),
  new UnknownHost('images.example.org'),
  new TooManyRequests(12),
  new HeadersTooLarge(),
  new InternalError(),
  new StoreFailure(),
  new StoreUnavailable(),
  new ServerBusy(),
]

/** Headers of every response. */
export const HEADERS_OF_ALL = {
  'X-Request-Id': header('Id of the request in the log', '0b3c8a5e-6a30-4a4f-9f3e-3f1c3a6f7c55'),
  'X-Content-Type-Options': header('Browsers do not guess the media type', 'nosniff', '^nosniff$'),
}
const challenge = header('How to send a key (RFC 6750)', 'Bearer realm="story-images"')
const retryAfter = header('Seconds before the next try', '5', '^[0-9]+$')
const TRY_AGAIN = new Set([409, 429, 503, 507])

/**
 * Completes the responses of a route: each gets a description, the headers that all responses with its status have, and examples. The
 * examples of errors are the sentences of src/errors.ts.
 *
 * @param failures errors that this route can return besides those of every route
 */
export function describedResponses(
  responses: Readonly<Record<string, DescribedResponse>>,
  failures: readonly ServiceError[],
): Record<string, DescribedResponse> {
  const all = [...failures, ...failuresOfEveryRoute()]
  return Object.fromEntries(
    Object.entries(responses).map(([code, { description, headers, ...body }]) => {
      const status = Number(code)
      const examples = all
        .filter((error) => error.status === status)
        .map((error) => [error.name, { value: { detail: error.message } }])
      return [
        code,
        {
          ...body,
          'x-response-description': description ?? MEANINGS[status] ?? 'Success',
          ...(examples.length > 0 && { 'x-examples': Object.fromEntries(examples) }),
          headers: {
            ...HEADERS_OF_ALL,
            ...(status >= 400 && { 'Cache-Control': noStore }),
            ...((status === 401 || status === 403) && { 'WWW-Authenticate': challenge }),
            ...(TRY_AGAIN.has(status) && { 'Retry-After': retryAfter }),
            ...headers,
          },
        },
      ]
    }),
  )
}
