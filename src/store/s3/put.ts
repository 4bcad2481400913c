import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { ObjectNotFound, StoreFailure } from '../../errors.ts'
import { bufferPool } from '../../io/buffer-pool.ts'
import { hash } from '../../io/hash.ts'
import { type Body, ifThere, type PutOptions, type PutResult } from '../object-store.ts'
import { watch } from '../watched-body.ts'
import type { S3Bucket } from './bucket.ts'
import { describedFor } from './calls.ts'
import { errorName, storeError } from './store-error.ts'

/**
 * Size of a part of a multipart upload, the smallest that S3 allows. With at most 10,000 parts (AWS, "Amazon S3 multipart upload limits") a
 * file can have 48 GiB, more than `MAX_FILE_SIZE` can be.
 */
const PART_BYTES = 5 * 1024 * 1024

/** Parts of one upload that are sent at the same time, if it may read ahead. */
const PARTS_AT_ONCE = 2

/**
 * What `Upload` holds of a body: the chunks of the part that it reads, their copy, the copy before, and each part that is being sent.
 * Measured with files of 45 MiB, after garbage collection: 21.3 MiB while it sends two parts, and 16.0 with one.
 */
export const PUT_MEMORY = { minBytes: 16 * 1024 * 1024, maxBytes: 21.5 * 1024 * 1024 }

/** Implements `ObjectStore.put`: in one call if the body has the size of a part at most, and as a multipart upload otherwise. */
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
    // A put is told so if there is no bucket
    throw failure instanceof ObjectNotFound ? new StoreFailure({ cause: error }) : failure
  } finally {
    // Not awaited, since it may wait for the sender's next bytes
    source.return?.().catch(() => {})
  }
}

/**
 * Puts an object by the SDK's `Upload`, which cuts the bytes into parts and aborts if one of them, or the body, fails (docs/adr/0004).
 *
 * @param next returns the next bytes, and undefined at the end
 */
async function putInParts(
  bucket: S3Bucket,
  key: string,
  next: () => Promise<Uint8Array | undefined>,
  options: PutOptions,
): Promise<PutResult> {
  // Not in the hash worker: a message for each chunk costs more than its hash
  const whole = createHash('sha256')
  /** Chunks that were read and are not in a part yet. */
  const chunks: Uint8Array[] = []
  let size = 0
  /** Bytes of the first chunk that are in a part. */
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
  // `Upload` gets the error, too. Without a listener it would be an uncaught exception
  stream.on('error', () => {})

  /** Releases the chunks that a part has copied. A part may also be the memory of a chunk, which is still in use. */
  function release(part: Uint8Array): void {
    copied += part.length
    while (chunks[0] && chunks[0].length <= copied) {
      const chunk = chunks.shift() as Uint8Array
      copied -= chunk.length
      if (chunk.buffer !== part.buffer) bufferPool.release([chunk])
    }
  }

  /** Sends a call of `Upload`. The first failure ends the body, so that nobody waits for a silent sender, and is the error of the put. */
  async function send(...[command]: Parameters<S3Client['send']>): Promise<unknown> {
    if (command instanceof UploadPartCommand) release(command.input.Body as Uint8Array)
    try {
      return await sent(command)
    } catch (error) {
      // An abort follows another failure, which is the one to report
      if (!(command instanceof AbortMultipartUploadCommand)) failure ??= { error }
      stream.destroy()
      throw error
    }
  }

  async function sent(command: Parameters<S3Client['send']>[0]): Promise<unknown> {
    try {
      const response = await bucket.client.send(command, bucket.bounded())
      // `Upload` would notice too late to end the body
      if (command instanceof UploadPartCommand && !('ETag' in response && response.ETag)) throw new StoreFailure()
      return response
    } catch (error) {
      // The second try finds the upload completed if the response to the first was lost
      const isRepeated = command instanceof CompleteMultipartUploadCommand && errorName(error) === 'NoSuchUpload'
      if (isRepeated && (await ifThere(bucket.calls.head(key)))?.size === size) return {}
      throw error
    }
  }

  const client: S3Client = Object.create(bucket.client, { send: { value: send } })
  try {
    const params = {
      Bucket: bucket.settings.bucket,
      Key: bucket.full(key),
      ...describedFor(options),
      Body: stream,
    }
    const queueSize = options.readAhead === false ? 1 : PARTS_AT_ONCE
    await new Upload({ client, params, partSize: PART_BYTES, queueSize }).done()
    return { size, sha256: whole.digest('hex') }
  } catch (error) {
    throw failure ? failure.error : error
  } finally {
    stream.destroy()
  }
}
