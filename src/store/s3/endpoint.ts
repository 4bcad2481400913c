import { HeadBucketCommand, type S3Client } from '@aws-sdk/client-s3'

/**
 * Finds where the SDK sends calls about a bucket, and how it signs them. Asks the SDK by a call that ends before it is sent.
 *
 * @returns undefined if there is no endpoint, or if it wants another kind of signature than SigV4
 */
export async function findEndpoint(client: S3Client, bucket: string) {
  const command = new HeadBucketCommand({ Bucket: bucket })
  let found: { url: URL; service: string; region: string } | undefined
  command.middlewareStack.add(
    (_next, context) => async () => {
      const { endpointV2 } = context
      const schemes = endpointV2?.properties?.authSchemes as readonly AuthScheme[] | undefined
      const scheme = schemes?.find(({ name }) => name === 'sigv4')
      const region = scheme?.signingRegion ?? (await client.config.region())
      if (endpointV2 && scheme) found = { url: endpointV2.url, service: scheme.signingName ?? 's3', region }
      return { output: { $metadata: {} }, response: undefined }
    },
    { step: 'build' },
  )
  // The first real call fails with the same error
  await client.send(command).catch(() => {})
  return found
}

interface AuthScheme {
  readonly name: string
  readonly signingName?: string
  readonly signingRegion?: string
}
