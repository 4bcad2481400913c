import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { bufferPool } from '../../buffer-pool.ts'
import { ObjectNotFound, StoreFailure } from '../../errors.ts'
import { hash } from '../../hash.ts'
import type { Body, PutOptions, PutResult } from '../object-store.ts'
import { watch } from '../watched-body.ts'
import type { S3Bucket } from './bucket.ts'
import { findHead } from './calls.ts'
import { errorName, storeError } from './store-error.ts'

/**
 * A part of a multipart upload: the smallest that S3 allows. With 10,000 parts at most (AWS, "Amazon S3 multipart upload limits") that is
 * 48 GiB for a file, more than `MAX_FILE_SIZE` can be.
 */
const PART_BYTES = 5 * 1024 * 1024

/** Parts of one upload that are on their way at once, if it may read ahead. */
const PARTS_AT_ONCE = 2

/**
 * What `Upload` holds of a body: the chunks of the part that it reads, their copy, the copy before that one, and each part that is on its
 * way. Measured with files of 45 MiB, after garbage collection: 21.3 MiB with two parts on their way, and 16.0 with one.
 */
export const PUT_MEMORY = { minBytes: 16 * 1024 * 1024, maxBytes: 21.5 * 1024 * 1024 }

/** `ObjectStore.put`: at most a part in one call, more in a multipart upload. */
export async function putObject(bucket: S3Bucket, key: string, body: Body, options: PutOptions): Promise<PutResult> {
  const watched = watch(body)
  const source = watched[Symbol.asyncIterator]()
  const next = async () => {
    const { done, value } = await source.next()
    return done ? undefined : value
  }
  try {
    const first: Uint8Array[] = []
    for (let size = 0; size <= PART_BYTES; ) {
      const chunk = await next()
      if (!chunk) {
        const { digest: sha256, chunks } = await hash(first)
        await bucket.calls.put(key, chunks, sha256, options)
        return { size, sha256 }
      }
      first.push(chunk)
      size += chunk.length
    }
    // Ceph RGW would complete such an upload in any case
    if (options.ifNoneMatch) throw new StoreFailure()
    return await putInParts(bucket, key, async () => first.shift() ?? (await next()), options)
  } catch (error) {
    if (watched.failure) throw watched.failure.error
    const failure = storeError(error, key)
    // Of a put it says that there is no bucket
    throw failure instanceof ObjectNotFound ? new StoreFailure({ cause: error }) : failure
  } finally {
    // Not awaited: with a read under way it ends only with the sender's next bytes
    source.return?.().catch(() => {})
  }
}

/**
 * A multipart upload by the SDK's `Upload`, which cuts the bytes into parts, sends `atOnce` of them at a time, and aborts when one of them,
 * or the body, fails (docs/adr/0004).
 *
 * @param next the bytes in their order, and nothing at their end
 */
async function putInParts(
  bucket: S3Bucket,
  key: string,
  next: () => Promise<Uint8Array | undefined>,
  { contentType, metadata, readAhead }: PutOptions,
): Promise<PutResult> {
  // Not in the hash worker: a message for each chunk costs more than its hash
  const whole = createHash('sha256')
  /** What was read, until it is in a part. */
  const chunks: Uint8Array[] = []
  let size = 0
  /** How many bytes of the chunks are in parts. */
  let copied = 0
  let failure: { readonly error: unknown } | undefined

  const stream = new Readable({
    objectMode: true,
    highWaterMark: 1,
    read() {
      next().then(
        (chunk) => {
          if (!chunk || this.destroyed) return this.push(null)
          size += chunk.length
          whole.update(chunk)
          chunks.push(chunk)
          this.push(chunk)
        },
        (error) => this.destroy(error),
      )
    },
  })
  // `Upload` gets the error too; this keeps it from being an uncaught exception
  stream.on('error', () => {})

  /** A part is either a copy of the chunks in it, whose memory may be used again, or of that very memory. */
  function release(part: Uint8Array): void {
    copied += part.length
    while (chunks[0] && chunks[0].length <= copied) {
      const chunk = chunks.shift() as Uint8Array
      copied -= chunk.length
      if (chunk.buffer !== part.buffer) bufferPool.release([chunk])
    }
  }

  /** Bounds the time of each call. The first failure ends the body, so that no call waits for a silent sender, and is the error of the put. */
  async function send(...[command]: Parameters<S3Client['send']>): Promise<unknown> {
    if (command instanceof UploadPartCommand) release(command.input.Body as Uint8Array)
    try {
      return await sent(command)
    } catch (error) {
      // The put is aborted after an earlier failure, and that one is reported
      if (!(command instanceof AbortMultipartUploadCommand)) failure ??= { error }
      stream.destroy()
      throw error
    }
  }

  async function sent(command: Parameters<S3Client['send']>[0]): Promise<unknown> {
    try {
      const response = await bucket.client.send(command, bucket.bounded())
      // `Upload` would notice it too late to end the body
      if (command instanceof UploadPartCommand && !('ETag' in response && response.ETag)) throw new StoreFailure()
      return response
    } catch (error) {
      // A repetition meets its own first try, whose response was lost
      const isRepeated = command instanceof CompleteMultipartUploadCommand && errorName(error) === 'NoSuchUpload'
      if (isRepeated && (await findHead(bucket.calls, key))?.size === size) return {}
      throw error
    }
  }

  const client: S3Client = Object.create(bucket.client, { send: { value: send } })
  try {
    const params = {
      Bucket: bucket.settings.bucket,
      Key: bucket.full(key),
      ContentType: contentType,
      Metadata: { ...metadata },
      Body: stream,
    }
    const queueSize = readAhead === false ? 1 : PARTS_AT_ONCE
    await new Upload({ client, params, partSize: PART_BYTES, queueSize }).done()
    return { size, sha256: whole.digest('hex') }
  } catch (error) {
    throw failure ? failure.error : error
  } finally {
    stream.destroy()
  }
}
