import { createHash, randomUUID } from 'node:crypto'
import { Signer } from '../store/s3/signer.ts'
import { type PurgeTarget, refusalOf } from './purger.ts'

/** CloudFront is one service for all regions (AWS, "Amazon CloudFront endpoints and quotas"). */
const REGION = 'us-east-1'
const ENDPOINT = 'https://cloudfront.amazonaws.com'
const VERSION = '2020-05-31'

/**
 * Most stories that are invalidated one by one; above that, one path covers all. Each path and each tag is counted on the bill, and only 15
 * paths with a wildcard may be in progress at once (AWS, "Quotas on invalidations").
 */
const MAX_BATCH = { tags: 100, paths: 15 }

/**
 * Purges by invalidations of CloudFront (AWS, "CreateInvalidation"), with the credentials that the AWS SDK finds.
 *
 * @param by `tags` needs `CacheTagConfig` in the distribution
 * @param root path of the CDN's URL, before that of an image
 */
export function cloudfront(distribution: string, by: 'tags' | 'paths', root: string): PurgeTarget {
  const url = new URL(
    `/${VERSION}/distribution/${distribution}/invalidation`,
    process.env.AWS_ENDPOINT_URL_CLOUDFRONT || ENDPOINT,
  )
  const { host, hostname, protocol, pathname } = url
  let opening: Promise<Signer> | undefined

  function open(): Promise<Signer> {
    opening ??= openSigner().catch((error) => {
      opening = undefined
      throw error
    })
    return opening
  }

  async function invalidate(items: readonly string[], signal: AbortSignal): Promise<void> {
    const body = invalidation(items)
    const headers = await (await open()).sign(
      {
        method: 'POST',
        protocol,
        hostname,
        path: pathname,
        query: {},
        headers: {
          host,
          'content-type': 'application/xml',
          'x-amz-content-sha256': createHash('sha256').update(body).digest('hex'),
        },
      },
      Date.now(),
    )
    const response = await fetch(url, { method: 'POST', headers, body, redirect: 'manual', signal })
    const text = await response.text()
    if (!response.ok) throw refusalOf(response, /<Code>(\w+)<\/Code>/.exec(text)?.[1])
  }

  return {
    maxBatch: MAX_BATCH[by],
    send: (ids, signal) =>
      invalidate(
        ids.map((id) => (by === 'tags' ? `#${id}` : `${root}/images/stories/${id}/*`)),
        signal,
      ),
    sendAll: (signal) => invalidate([`${root}/images/stories/*`], signal),
  }
}

/** Loaded with the first purge, since the SDK takes a third of a second. */
async function openSigner(): Promise<Signer> {
  const { S3Client } = await import('@aws-sdk/client-s3')
  const { credentials, sha256 } = new S3Client({ region: REGION }).config
  return new Signer({
    service: 'cloudfront',
    region: REGION,
    credentials,
    sha256,
    uriEscapePath: true,
    applyChecksum: false,
  })
}

/** Items are ASCII without a character that XML escapes. */
function invalidation(items: readonly string[]): string {
  const paths = items.map((item) => `<Path>${item}</Path>`).join('')
  return `<InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/${VERSION}/"><Paths><Quantity>${items.length}</Quantity><Items>${paths}</Items></Paths><CallerReference>${randomUUID()}</CallerReference></InvalidationBatch>`
}
