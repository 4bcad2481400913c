import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import {
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { DeleteFailure, StoreFailure } from '../../errors.ts'
import { onStall } from '../../stall.ts'
import {
  type ByteRange,
  compareKeys,
  type FoundObject,
  type ListedObject,
  type ListOptions,
  type ObjectHead,
  type ObjectStore,
  watchBody,
} from '../object-store.ts'
import { inBlocks } from './blocks.ts'
import { errorName, storeError } from './store-error.ts'

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
}

/** A part of a multipart upload: the smallest that S3 allows (AWS, "Amazon S3 multipart upload limits"), so 48 GiB for a file. */
export const PART_BYTES = 5 * 1024 * 1024

/** Keys that one DeleteObjects call takes (AWS, "DeleteObjects"). */
const DELETE_BATCH = 1000

const ATTEMPTS = 3

/**
 * Keeps objects in an S3 bucket. The SDK gives credentials, endpoint rules, signatures and retries.
 *
 * @throws {StoreFailure} when no region can be found
 */
export async function openS3Store(settings: S3Settings): Promise<ObjectStore> {
  const agent = { keepAlive: true, maxSockets: 256 }
  const client = new S3Client({
    ...(settings.region !== undefined && { region: settings.region }),
    ...(settings.endpoint !== undefined && {
      endpoint: settings.endpoint,
      // Not every server knows the checksum trailers that the SDK sends by default
      ...(!process.env.AWS_REQUEST_CHECKSUM_CALCULATION && { requestChecksumCalculation: 'WHEN_REQUIRED' as const }),
    }),
    // A checked body is a stream around the connection's, which would stay open when the outer one is dropped
    responseChecksumValidation: 'WHEN_REQUIRED',
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
  await client.config.region().catch((error) => {
    throw new StoreFailure().because(error)
  })
  const Bucket = settings.bucket
  const full = (key: string) => settings.prefix + key
  /** A call whose answer is read whole: the time for all its tries, since a body that stalls has no time of its own. */
  const bounded = () => ({ abortSignal: AbortSignal.timeout(settings.timeout * ATTEMPTS) })

  async function headObject(key: string, abortSignal?: AbortSignal): Promise<ObjectHead> {
    try {
      const options = abortSignal ? { abortSignal: AbortSignal.any([abortSignal, bounded().abortSignal]) } : bounded()
      return describe(await client.send(new HeadObjectCommand({ Bucket, Key: full(key) }), options))
    } catch (error) {
      throw storeError(error, key)
    }
  }

  async function listPage(input: { prefix: string; after?: string; token?: string; keys?: number }) {
    try {
      return await client.send(
        new ListObjectsV2Command({
          Bucket,
          Prefix: full(input.prefix),
          // XML 1.0 has no form for some characters that keys can have
          EncodingType: 'url',
          ...(input.token !== undefined && { ContinuationToken: input.token }),
          ...(input.token === undefined && input.after !== undefined && { StartAfter: full(input.after) }),
          ...(input.keys !== undefined && { MaxKeys: input.keys }),
        }),
        bounded(),
      )
    } catch (error) {
      throw storeError(error)
    }
  }

  return {
    async put(key, body, { contentType, metadata }) {
      const source = watchBody(body)
      const object = { Bucket, Key: full(key), ContentType: contentType, Metadata: { ...metadata } }
      let size = 0
      try {
        const blocks = inBlocks(source.bytes, PART_BYTES)
        const first = (await blocks.next()).value ?? Buffer.alloc(0)
        if (first.length < PART_BYTES) {
          await client.send(new PutObjectCommand({ ...object, Body: first }), bounded())
          return
        }
        async function* parts() {
          for (let block: Buffer | undefined = first; block; block = (await blocks.next()).value) {
            size += block.length
            yield block
          }
        }
        // One part on its way and the next one being filled
        const upload = new Upload({
          client,
          params: { ...object, Body: Readable.from(parts(), { objectMode: false }) },
          partSize: PART_BYTES,
          queueSize: 1,
        })
        await upload.done()
      } catch (error) {
        if (source.failed) throw source.error
        // A repeated CompleteMultipartUpload meets its own first try, whose answer was lost
        if (errorName(error) === 'NoSuchUpload' && (await headObject(key)).size === size) return
        throw storeError(error, key)
      }
    },

    async get(key, options) {
      try {
        const answer = await client.send(
          new GetObjectCommand({
            Bucket,
            Key: full(key),
            ...(options?.range && { Range: rangeHeader(options.range) }),
          }),
          options?.signal ? { abortSignal: options.signal } : {},
        )
        const body = answer.Body as IncomingMessage
        onStall(body, settings.timeout, () => body.destroy(new Error('The store stopped sending')))
        const range = options?.range && parseContentRange(answer.ContentRange)
        return {
          ...describe(answer),
          ...(range && { size: range.size }),
          range: range && { start: range.start, end: range.end },
          body,
        } satisfies FoundObject
      } catch (error) {
        throw storeError(error, key)
      }
    },

    head: (key, options) => headObject(key, options?.signal),

    async *list({ prefix, after, before }: ListOptions) {
      let last = after
      let token: string | undefined
      for (;;) {
        const answer = await listPage({
          prefix,
          ...(last !== undefined && { after: last }),
          ...(token !== undefined && { token }),
        })
        const page = listed(answer, settings.prefix.length)
        const first = page[0]
        if (first && last !== undefined && compareKeys(first.key, last) <= 0) {
          throw new StoreFailure().because(new Error('The store does not list keys in order, or repeats itself'))
        }
        const end = before === undefined ? -1 : page.findIndex((object) => compareKeys(object.key, before) >= 0)
        const wanted = end === -1 ? page : page.slice(0, end)
        if (wanted.length > 0) yield wanted
        if (end !== -1 || !answer.IsTruncated) return
        last = page.at(-1)?.key ?? last
        token = answer.NextContinuationToken
        if (token === undefined && page.length === 0) {
          throw new StoreFailure().because(new Error('The store says that there is more, but not where'))
        }
      }
    },

    async delete(keys) {
      const failed: string[] = []
      const causes: unknown[] = []
      for (let at = 0; at < keys.length; at += DELETE_BATCH) {
        const batch = keys.slice(at, at + DELETE_BATCH)
        try {
          const answer = await client.send(
            new DeleteObjectsCommand({
              Bucket,
              Delete: { Objects: batch.map((key) => ({ Key: full(key) })), Quiet: true },
            }),
            bounded(),
          )
          // The answer is a 200 all the same
          for (const { Key, Code, Message } of answer.Errors ?? []) {
            if (Code === 'NoSuchKey') continue
            failed.push(Key?.slice(settings.prefix.length) ?? '')
            causes.push(new Error(`${Code}: ${Message}`))
          }
        } catch (error) {
          throw storeError(error)
        }
      }
      if (failed.length > 0) throw new DeleteFailure(failed).because(causes[0])
    },

    async ready() {
      await listPage({ prefix: 'stories/', keys: 1 })
    },

    async close() {
      client.destroy()
    },
  }
}

function describe(answer: {
  ContentLength?: number | undefined
  ETag?: string | undefined
  LastModified?: Date | undefined
  ContentType?: string | undefined
  Metadata?: Record<string, string> | undefined
}): ObjectHead {
  return {
    size: answer.ContentLength ?? 0,
    etag: answer.ETag ?? '""',
    lastModified: answer.LastModified ?? new Date(0),
    contentType: answer.ContentType,
    metadata: answer.Metadata ?? {},
  }
}

function rangeHeader(range: ByteRange): string {
  return 'suffix' in range ? `bytes=-${range.suffix}` : `bytes=${range.start}-${range.end ?? ''}`
}

/** RFC 9110 section 14.4. A server that ignores ranges sends none, and the whole object. */
function parseContentRange(text: string | undefined): { start: number; end: number; size: number } | undefined {
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(text ?? '')
  return match ? { start: Number(match[1]), end: Number(match[2]), size: Number(match[3]) } : undefined
}

function listed(answer: ListObjectsV2CommandOutput, prefixLength: number): ListedObject[] {
  const decode = answer.EncodingType === 'url' ? decodeKey : (key: string) => key
  return (answer.Contents ?? []).map(({ Key = '', Size = 0, LastModified = new Date(0) }) => ({
    key: decode(Key).slice(prefixLength),
    size: Size,
    lastModified: LastModified,
  }))
}

function decodeKey(key: string): string {
  return key.includes('%') || key.includes('+') ? decodeURIComponent(key.replaceAll('+', ' ')) : key
}
