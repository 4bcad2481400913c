import { S3Client } from '@aws-sdk/client-s3'
import { ServiceError, StoreFailure } from '../../errors.ts'
import { type FastPath, openFastPath, SOCKETS } from './fast-path.ts'

export interface S3Settings {
  readonly bucket: string
  /** Goes before every key; empty or ending with "/". */
  readonly prefix: string
  /** Only for servers other than AWS. */
  readonly endpoint: string | undefined
  readonly region: string | undefined
  readonly forcePathStyle: boolean
  /** Milliseconds without an answer, or without the next bytes of one, after which a call is given up. */
  readonly timeout: number
  /** Prefix that `ready` lists: one that the credentials may list. By default everything. */
  readonly probe?: string
  /** Names a new object for a probe, where the credentials may put and delete; by default below no prefix. */
  readonly scratch?: () => { readonly key: string; readonly metadata: Readonly<Record<string, string>> }
  /** Most calls that run at once for lists with a key space; by default 1, page after page. */
  readonly listConcurrency?: number
  /** Whether the hot calls take the fast path. By default they do. */
  readonly fastPath?: boolean
  /** Is told of each call that the SDK has to make again, and why. */
  readonly onFallback?: (operation: string, reason: unknown) => void
  /** Is told, when it is noticed and perhaps more than once, what the store does not do. */
  readonly onLimit?: (limit: StoreLimit) => void
}

/**
 * What a store does not do, though the server works without it:
 *
 * - `conditional_put`: `If-None-Match: *` is refused or ignored, so the server looks before it puts
 * - `delete_many`: DeleteObjects is not implemented, so keys are deleted one by one
 * - `versioning`: the key may not read the bucket's versioning (s3:GetBucketVersioning), so lists of prefixes are read from keys
 */
export type StoreLimit = 'conditional_put' | 'delete_many' | 'versioning'

/** A bucket and the ways to it. */
export interface S3Bucket {
  readonly settings: S3Settings
  readonly client: S3Client
  /** With connections of its own: readers that are slow, or have stopped, must not keep uploads and lists waiting. */
  readonly downloads: S3Client
  /** The key with the store's prefix. */
  full(key: string): string
  /**
   * For a call of the SDK whose answer is read whole: the time for all its tries, since a body that stalls has no time of its own.
   *
   * @param signal ends it earlier
   */
  bounded(signal?: AbortSignal): { abortSignal: AbortSignal }
  /**
   * Tries a call on the fast path.
   *
   * @param attempt resolves with nothing for an answer that is not its own to judge
   * @param signal that the call has got, too: after it there is no other try
   * @returns nothing when the call is to be made by the SDK
   */
  fast<T>(operation: string, attempt: Attempt<T>, signal?: AbortSignal): Promise<T | undefined>
  /** The same over the connections for downloads. */
  fastDownload<T>(operation: string, attempt: Attempt<T>, signal?: AbortSignal): Promise<T | undefined>
  close(): Promise<void>
}

type Attempt<T> = (path: FastPath) => Promise<T | undefined>

const ATTEMPTS = 3

/** @throws {StoreFailure} when no region can be found */
export async function openBucket(settings: S3Settings): Promise<S3Bucket> {
  const client = newClient(settings)
  const downloads = newClient(settings)
  await client.config.region().catch((error) => {
    throw new StoreFailure({ cause: error })
  })
  const open = () => openFastPath(client, settings.bucket, settings.timeout)
  const [path, downloadPath] = settings.fastPath === false ? [] : await Promise.all([open(), open()])

  async function attempted<T>(
    operation: string,
    path: FastPath | undefined,
    attempt: Attempt<T>,
    signal: AbortSignal | undefined,
  ): Promise<T | undefined> {
    signal?.throwIfAborted()
    if (!path) return undefined
    let reason: unknown
    try {
      const answer = await attempt(path)
      if (answer !== undefined) return answer
    } catch (error) {
      signal?.throwIfAborted()
      if (error instanceof ServiceError) throw error
      reason = error
    }
    settings.onFallback?.(operation, reason)
    return undefined
  }

  return {
    settings,
    client,
    downloads,
    full: (key) => settings.prefix + key,
    bounded(signal) {
      const timeout = AbortSignal.timeout(settings.timeout * ATTEMPTS)
      if (!signal) return { abortSignal: timeout }
      // Without a listener of its own it may be collected as garbage, and never end anything
      timeout.addEventListener('abort', () => {})
      return { abortSignal: AbortSignal.any([signal, timeout]) }
    },
    fast: (operation, attempt, signal) => attempted(operation, path, attempt, signal),
    fastDownload: (operation, attempt, signal) => attempted(operation, downloadPath, attempt, signal),
    async close() {
      client.destroy()
      downloads.destroy()
      await Promise.all([path?.close(), downloadPath?.close()])
    },
  }
}

function newClient(settings: S3Settings): S3Client {
  const agent = { keepAlive: true, maxSockets: SOCKETS }
  return new S3Client({
    ...(settings.region !== undefined && { region: settings.region }),
    ...(settings.endpoint !== undefined && {
      endpoint: settings.endpoint,
      // Not every server knows the checksum trailers that the SDK sends by default
      ...(!process.env.AWS_REQUEST_CHECKSUM_CALCULATION && { requestChecksumCalculation: 'WHEN_REQUIRED' as const }),
    }),
    // A checked body is a stream around the connection's, which would stay open when the outer one is dropped
    responseChecksumValidation: 'WHEN_REQUIRED',
    // From 2 MiB on the SDK would wait for a 100, on a new connection for each call; some servers never send it
    expectContinueHeader: false,
    forcePathStyle: settings.forcePathStyle,
    maxAttempts: ATTEMPTS,
    requestHandler: {
      connectionTimeout: Math.min(5000, settings.timeout),
      requestTimeout: settings.timeout,
      throwOnRequestTimeout: true,
      httpAgent: agent,
      httpsAgent: agent,
    },
  })
}
