import { InternalError, ServiceError } from '../errors.ts'

/** Most causes of an error that are logged. */
const MAX_DEPTH = 5

/** The value of an Authorization header to the store, and query parameters that sign a URL. */
const CREDENTIAL = /AWS4-HMAC-SHA256.*|\b(?:X-Amz-[\w-]+|AWSAccessKeyId|Signature|signature|ticket)=[^\s,;&"']+/gs

/** IPv4 addresses and the hosts of AWS, which may name a bucket. */
const HOST = /\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?|[\w.-]+\.amazonaws\.com(?:\.cn)?(?::\d+)?/g

interface SerializedError {
  readonly type: string
  readonly message: string
  readonly stack: string
  readonly [detail: string]: unknown
}

/**
 * Makes the serializer of errors and their causes for the log. It logs only the fields that it names, because an error of the SDK has
 * the response of the store, which repeats the access key and the signature when it refuses them, and an error of the network has the
 * host.
 *
 * It leaves out the stacks of a `ServiceError` and its causes, which say no more than its name. The causes of an `InternalError` keep
 * theirs.
 *
 * @param endpoint URL of the store, whose host is left out
 */
export function errorSerializer(endpoint?: string): (error: unknown) => SerializedError {
  const { host, hostname } = endpoint === undefined ? {} : new URL(endpoint)

  function clean(text: string): string {
    let cleaned = text.replace(CREDENTIAL, '…').replace(HOST, '…')
    for (const name of [host, hostname]) if (name) cleaned = cleaned.replaceAll(name, '…')
    return cleaned
  }

  function serialize(error: unknown, depth: number, isForeseen: boolean): SerializedError {
    if (!(error instanceof Error)) return { type: typeof error, message: clean(String(error)), stack: '' }
    const { code, syscall, path, keys, errors, $metadata: metadata } = error as ErrorDetails
    const isOurs = error instanceof ServiceError
    const foreseen = isOurs ? !(error instanceof InternalError) : isForeseen
    return {
      type: error.name,
      // Messages of the network end with the address; those of the file system have the path
      message: syscall === undefined ? clean(error.message) : [syscall, code, path].filter(isText).join(' '),
      ...(typeof code === 'string' && { code }),
      ...(metadata && { status: metadata.httpStatusCode, storeRequest: metadata.requestId }),
      ...(keys && { keys }),
      ...(errors && { errors: errors.map((one) => serialize(one, MAX_DEPTH, foreseen)) }),
      ...(error.cause !== undefined && depth < MAX_DEPTH && { cause: serialize(error.cause, depth + 1, foreseen) }),
      stack: foreseen || isOurs ? '' : frames(error),
    }
  }

  return (error) => serialize(error, 0, false)
}

const isText = (value: unknown): value is string => typeof value === 'string'

interface ErrorDetails {
  readonly code?: unknown
  readonly syscall?: string
  readonly path?: unknown
  readonly keys?: readonly string[]
  readonly errors?: readonly unknown[]
  readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string }
}

/** Returns the stack without the message. */
function frames({ stack = '' }: Error): string {
  return stack
    .split('\n')
    .filter((line) => /^ {4}at /.test(line))
    .join('\n')
}
