import type { IncomingMessage } from 'node:http'
import {
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { DeleteFailure, ObjectNotFound, RangeNotSatisfiable, StoreFailure } from '../../errors.ts'
import { onStall } from '../../stall.ts'
import {
  compareKeys,
  type FoundObject,
  type ListOptions,
  type ObjectHead,
  type ObjectStore,
  watchBody,
} from '../object-store.ts'
import { describe, listed, parseContentRange, rangeHeader } from './answers.ts'
import { inBlocks } from './blocks.ts'
import { putInParts } from './put-in-parts.ts'
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
  /** Prefix that `ready` lists: one that the credentials may list. By default everything. */
  readonly probe?: string
}

/** A part of a multipart upload: the smallest that S3 allows (AWS, "Amazon S3 multipart upload limits"), so 48 GiB for a file. */
export const PART_BYTES = 5 * 1024 * 1024

/** Keys that one DeleteObjects call takes (AWS, "DeleteObjects"). */
const DELETE_BATCH = 1000

const ATTEMPTS = 3

/** Most connections to the store, for downloads and for all else. */
const SOCKETS = 256

/**
 * Keeps objects in an S3 bucket. The SDK gives credentials, endpoint rules, signatures and retries.
 *
 * @throws {StoreFailure} when no region can be found
 */
export async function openS3Store(settings: S3Settings): Promise<ObjectStore> {
  const client = newClient(settings)
  // Connections of their own: readers that are slow, or have stopped, hold them, and must not keep uploads and lists waiting
  const downloads = newClient(settings)
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

  async function isStored(key: string, size: number): Promise<boolean> {
    try {
      return (await headObject(key)).size === size
    } catch (error) {
      if (error instanceof ObjectNotFound) return false
      throw error
    }
  }

  async function listPage(input: { prefix: string; after?: string; token?: string; keys?: number }) {
    try {
      const answer = await client.send(
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
      if (answer.IsTruncated === undefined) throw new StoreFailure().because(new Error('The answer is no list'))
      return answer
    } catch (error) {
      throw storeError(error)
    }
  }

  return {
    async put(key, body, { contentType, metadata }) {
      const source = watchBody(body)
      const object = { Bucket, Key: full(key), ContentType: contentType, Metadata: { ...metadata } }
      const blocks = inBlocks(source.bytes, PART_BYTES)
      try {
        const first = (await blocks.next()).value ?? Buffer.alloc(0)
        if (first.length < PART_BYTES) await client.send(new PutObjectCommand({ ...object, Body: first }), bounded())
        else await putInParts(client, object, first, blocks, bounded)
      } catch (error) {
        if (source.failed) throw source.error
        // A repeated CompleteMultipartUpload meets its own first try, whose answer was lost
        if (errorName(error) === 'NoSuchUpload' && (await isStored(key, source.size))) return
        throw storeError(error, key)
      } finally {
        // Not awaited: with a read under way it ends only with the sender's next bytes
        blocks.return(undefined).catch(() => {})
      }
    },

    async get(key, options) {
      // Ceph RGW answers it with the whole object; RFC 9110 section 14.1.2 calls it unsatisfiable
      if (options?.range && 'suffix' in options.range && options.range.suffix === 0) throw new RangeNotSatisfiable()
      try {
        const answer = await downloads.send(
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
        for (const { key } of page) {
          if (last !== undefined && compareKeys(key, last) <= 0) {
            throw new StoreFailure().because(new Error('The store does not list keys in order, or repeats itself'))
          }
          last = key
        }
        const end = before === undefined ? -1 : page.findIndex((object) => compareKeys(object.key, before) >= 0)
        const wanted = end === -1 ? page : page.slice(0, end)
        if (wanted.length > 0) yield wanted
        if (end !== -1 || !answer.IsTruncated) return
        if (page.length === 0 && (answer.NextContinuationToken ?? token) === token) {
          throw new StoreFailure().because(new Error('The store says that there is more, but not where'))
        }
        token = answer.NextContinuationToken
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
      await listPage({ prefix: settings.probe ?? '', keys: 1 })
    },

    async close() {
      client.destroy()
      downloads.destroy()
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
