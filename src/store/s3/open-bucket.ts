import { S3Client } from '@aws-sdk/client-s3'
import { StoreFailure } from '../../errors.ts'
import type { S3Bucket, S3Settings } from './bucket.ts'
import { fastPath } from './fast-path.ts'
import { sdkCalls } from './sdk-calls.ts'
import { openTransport, SOCKETS } from './transport.ts'
import { withFallback } from './with-fallback.ts'

const ATTEMPTS = 3

/** @throws {StoreFailure} if no region can be found */
export async function openBucket(settings: S3Settings): Promise<S3Bucket> {
  const { bucket, prefix, timeout } = settings
  const client = newClient(settings)
  const downloads = newClient(settings)
  await client.config.region().catch((error) => {
    throw new StoreFailure({ cause: error })
  })
  const open = () => (settings.fastPath === false ? undefined : openTransport(client, bucket, timeout))
  const [transport, downloadTransport] = await Promise.all([open(), open()])

  const base = {
    settings,
    client,
    full: (key: string) => prefix + key,
    own: (key: string) => key.slice(prefix.length),
    bounded(signal?: AbortSignal) {
      const timer = AbortSignal.timeout(timeout * ATTEMPTS)
      if (!signal) return { abortSignal: timer }
      // Without a listener of its own it may be collected as garbage, and never abort
      timer.addEventListener('abort', () => {})
      return { abortSignal: AbortSignal.any([signal, timer]) }
    },
  }
  const sdk = sdkCalls(base, downloads)
  const calls =
    transport && downloadTransport
      ? withFallback(fastPath(base, transport, downloadTransport), sdk, settings.onFallback)
      : sdk
  return {
    ...base,
    calls,
    async close() {
      client.destroy()
      downloads.destroy()
      await Promise.all([transport?.close(), downloadTransport?.close()])
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
    // A checked body is a stream around the connection's, which would stay open if the outer one is destroyed
    responseChecksumValidation: 'WHEN_REQUIRED',
    // From 2 MiB on the SDK would wait for a 100, which some servers never send, on a new connection for each call
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
