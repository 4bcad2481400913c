import type { IncomingMessage } from 'node:http'
import {
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { StoreFailure } from '../../errors.ts'
import { onStall } from '../../io/stall.ts'
import type { ObjectHead } from '../object-store.ts'
import type { S3Bucket } from './bucket.ts'
import { describedFor, parseContentRange, rangeHeader, type S3Calls, STALLED } from './calls.ts'
import { decodeName } from './list-xml.ts'
import { storeError } from './store-error.ts'

/**
 * Makes calls by the SDK.
 *
 * @param downloads a client with connections of its own for `get`: slow readers must not hold up uploads and lists
 */
export function sdkCalls(
  { client, settings, full, own, bounded }: Omit<S3Bucket, 'calls' | 'close'>,
  downloads: S3Client,
): S3Calls {
  const { bucket: Bucket, timeout } = settings
  return {
    /** Rejects with errors of the SDK. */
    async put(key, chunks, _sha256, options) {
      const command = new PutObjectCommand({
        Bucket,
        Key: full(key),
        ...describedFor(options),
        IfNoneMatch: options.ifNoneMatch,
        Body: Buffer.concat(chunks),
      })
      await client.send(command, bounded())
    },

    async get(key, { range, signal } = {}) {
      const Range = rangeHeader(range)
      const command = new GetObjectCommand({ Bucket, Key: full(key), ...(Range && { Range }) })
      try {
        const response = await downloads.send(command, signal ? { abortSignal: signal } : {})
        const body = response.Body as IncomingMessage
        body.on('error', () => {})
        try {
          const found = { ...describe(response), ...parseContentRange(response.ContentRange), body }
          onStall(body, timeout, () => body.destroy(new Error(STALLED)))
          return found
        } catch (error) {
          body.destroy()
          throw error
        }
      } catch (error) {
        throw storeError(error, key, signal)
      }
    },

    async head(key, { signal } = {}) {
      try {
        return describe(await client.send(new HeadObjectCommand({ Bucket, Key: full(key) }), bounded(signal)))
      } catch (error) {
        throw storeError(error, key, signal)
      }
    },

    async list({ prefix, after, token, delimiter, keys, signal }) {
      const command = new ListObjectsV2Command({
        Bucket,
        Prefix: full(prefix),
        EncodingType: 'url',
        ContinuationToken: token,
        StartAfter: token === undefined && after !== undefined ? full(after) : undefined,
        Delimiter: delimiter,
        MaxKeys: keys,
      })
      try {
        const response = await client.send(command, bounded(signal))
        const { Contents = [], CommonPrefixes = [], EncodingType, IsTruncated, NextContinuationToken } = response
        if (IsTruncated === undefined) throw new StoreFailure({ cause: new Error('The response is not a list') })
        const read = (name = '') => own(EncodingType === 'url' ? decodeName(name) : name)
        return {
          objects: Contents.map(({ Key, Size = 0, LastModified = new Date(0) }) => ({
            key: read(Key),
            size: Size,
            modified: LastModified.toISOString(),
          })),
          prefixes: CommonPrefixes.map(({ Prefix }) => read(Prefix)),
          truncated: IsTruncated,
          token: NextContinuationToken,
        }
      } catch (error) {
        throw storeError(error, '', signal)
      }
    },
  }
}

/**
 * Reads the output of GetObject and HeadObject.
 *
 * @throws {StoreFailure} when something other than the store has responded
 */
function describe(output: GetObjectCommandOutput | HeadObjectCommandOutput): ObjectHead {
  const { ContentLength: size, ETag: etag, LastModified: lastModified, ContentType: contentType } = output
  if (size === undefined || !etag || !lastModified) throw new StoreFailure()
  return { size, etag, lastModified, contentType, metadata: output.Metadata ?? {} }
}
