import { InternalError, ServiceError } from './errors.ts'

/** How many causes of an error are told. */
const MAX_DEPTH = 5

/** The value of an Authorization header of the store, and what signs a URL. */
const CREDENTIAL = /AWS4-HMAC-SHA256.*|\b(?:X-Amz-[\w-]+|AWSAccessKeyId|Signature|signature|ticket)=[^\s,;&"']+/gs

/** IPv4 addresses and what AWS calls its hosts, a bucket's own among them. */
const HOST = /\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?|[\w.-]+\.amazonaws\.com(?:\.cn)?(?::\d+)?/g

interface LoggedError {
  readonly type: string
  readonly message: string
  readonly stack: string
  readonly [detail: string]: unknown
}

/**
 * What the log says of an error, and of what led to it: what is named here and nothing else. The errors of the SDK carry the answer of
 * the store, which repeats the access key and the signature when it refuses them, and those of the network name the host.
 *
 * Frames of the stack are told of errors that nobody foresaw; those of a `ServiceError` say no more than its name.
 *
 * @param endpoint URL of the store, whose host is left out
 */
export function errorForLog(endpoint?: string): (error: unknown) => LoggedError {
  const { host, hostname } = endpoint === undefined ? {} : new URL(endpoint)

  function clean(text: string): string {
    let cleaned = text.replace(CREDENTIAL, '…').replace(HOST, '…')
    for (const name of [host, hostname]) if (name) cleaned = cleaned.replaceAll(name, '…')
    return cleaned
  }

  function described(error: unknown, depth: number, isForeseen: boolean): LoggedError {
    if (!(error instanceof Error)) return { type: typeof error, message: clean(String(error)), stack: '' }
    const { code, syscall, path, keys, errors, $metadata: metadata } = error as ErrorDetails
    const isOurs = error instanceof ServiceError
    const foreseen = isOurs ? !(error instanceof InternalError) : isForeseen
    return {
      type: error.name,
      // A message of the network's ends with the address; one of the file system's has the path
      message: syscall === undefined ? clean(error.message) : [syscall, code, path].filter(isText).join(' '),
      ...(typeof code === 'string' && { code }),
      ...(metadata && { status: metadata.httpStatusCode, storeRequest: metadata.requestId }),
      ...(keys && { keys }),
      ...(errors && { errors: errors.map((one) => described(one, MAX_DEPTH, foreseen)) }),
      ...(error.cause !== undefined && depth < MAX_DEPTH && { cause: described(error.cause, depth + 1, foreseen) }),
      stack: foreseen || isOurs ? '' : frames(error),
    }
  }

  return (error) => described(error, 0, false)
}

const isText = (value: unknown): value is string => typeof value === 'string'

interface ErrorDetails {
  readonly code?: unknown
  readonly syscall?: string
  /** Of a file or folder. */
  readonly path?: unknown
  readonly keys?: readonly string[]
  readonly errors?: readonly unknown[]
  readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string }
}

/** Without the message, which comes first. */
function frames({ stack = '' }: Error): string {
  return stack
    .split('\n')
    .filter((line) => /^ {4}at /.test(line))
    .join('\n')
}
