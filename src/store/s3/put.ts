import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { LongDigest, sha256 } from '../../digest.ts'
import { ObjectExists, ObjectNotFound, StoreFailure } from '../../errors.ts'
import type { Body, PutOptions, PutResult } from '../object-store.ts'
import type { S3Bucket } from './bucket.ts'
import { headObject } from './get.ts'
import { inParts, Part } from './parts.ts'
import type { ShortCall } from './short-path.ts'
import { errorName, storeError } from './store-error.ts'

/** A part of a multipart upload: the smallest that S3 allows (AWS, "Amazon S3 multipart upload limits"), so 48 GiB for a file. */
export const PART_BYTES = 5 * 1024 * 1024

/** Parts of one upload that are in memory at once, if it may read ahead. */
const PARTS_ON_THE_WAY = 2

/** What the SDK's commands that begin an object take. */
interface NewObject {
  readonly Bucket: string
  readonly Key: string
  readonly ContentType: string
  readonly Metadata: Record<string, string>
}

/** `ObjectStore.put`: less than a part in one call, more in a multipart upload. */
export async function putObject(bucket: S3Bucket, key: string, body: Body, options: PutOptions): Promise<PutResult> {
  const parts = inParts(body, PART_BYTES)
  let bodyFailed = false
  let bodyError: unknown
  const next = async () => {
    try {
      return (await parts.next()).value
    } catch (error) {
      bodyFailed = true
      bodyError = error
      throw error
    }
  }
  const { contentType: ContentType, metadata, ifNoneMatch } = options
  const object = { Bucket: bucket.settings.bucket, Key: bucket.full(key), ContentType, Metadata: { ...metadata } }
  try {
    const first = (await next()) ?? new Part()
    if (first.size < PART_BYTES) return await putWhole(bucket, object, first, ifNoneMatch)
    // Ceph RGW would complete such an upload in any case
    if (ifNoneMatch) throw new StoreFailure()
    return await putInParts(bucket, key, object, first, next, options.readAhead === false ? 1 : PARTS_ON_THE_WAY)
  } catch (error) {
    if (bodyFailed) throw bodyError
    const failure = storeError(error, key)
    // Of a put it says that there is no bucket
    throw failure instanceof ObjectNotFound ? new StoreFailure().because(error) : failure
  } finally {
    // Not awaited: with a read under way it ends only with the sender's next bytes
    parts.return(undefined).catch(() => {})
  }
}

async function putWhole(
  bucket: S3Bucket,
  object: NewObject,
  part: Part,
  ifNoneMatch: '*' | undefined,
): Promise<PutResult> {
  const result = { size: part.size, sha256: await sha256(part.bytes) }
  const headers: Record<string, string> = { 'content-type': object.ContentType }
  for (const [name, value] of Object.entries(object.Metadata)) headers[`x-amz-meta-${name}`] = value
  if (ifNoneMatch) headers['if-none-match'] = ifNoneMatch
  const tag = await send(bucket, 'PutObject', { method: 'PUT', key: object.Key, headers, body: part }, result.sha256)
  if (tag === undefined) {
    const command = new PutObjectCommand({ ...object, IfNoneMatch: ifNoneMatch, Body: Buffer.concat(part.bytes) })
    await bucket.client.send(command, bucket.bounded())
  }
  return result
}

/**
 * A multipart upload with `atOnce` parts in memory: on their way, or the last one of them being read.
 *
 * `Upload` of @aws-sdk/lib-storage holds four to six (it collects more than a part, then copies it): 16 uploads of 45 MiB at once
 * peaked at 817 MB with it, at 419 MB with two.
 */
async function putInParts(
  bucket: S3Bucket,
  key: string,
  object: NewObject,
  first: Part,
  next: () => Promise<Part | undefined>,
  atOnce: number,
): Promise<PutResult> {
  const { client } = bucket
  const { Bucket, Key } = object
  // A part whose checksum the SDK sends needs an upload that was told so (AWS, "Checking object integrity")
  const withChecksums = (await client.config.requestChecksumCalculation()) === 'WHEN_SUPPORTED'
  const ChecksumAlgorithm = withChecksums ? ('CRC32' as const) : undefined
  const created = await client.send(
    new CreateMultipartUploadCommand({ ...object, ChecksumAlgorithm }),
    bucket.bounded(),
  )
  const { UploadId = '' } = created
  const upload = { Bucket, Key, UploadId }
  const Parts: CompletedPart[] = []
  const onTheWay: Promise<CompletedPart>[] = []
  const whole = new LongDigest()
  let size = 0
  let fail: (error: unknown) => void = () => {}
  const failure = new Promise<never>((_resolve, reject) => {
    fail = reject
  })
  failure.catch(() => {})

  async function sendPart(part: Part, PartNumber: number): Promise<CompletedPart> {
    const query = { partNumber: String(PartNumber), uploadId: UploadId }
    const call = { method: 'PUT', key: Key, query, body: part } as const
    const digest = await sha256(part.bytes, whole)
    const tag = withChecksums ? undefined : await send(bucket, 'UploadPart', call, digest)
    if (tag !== undefined) return { PartNumber, ETag: tag }
    const Body = Buffer.concat(part.bytes)
    const command = new UploadPartCommand({ ...upload, PartNumber, Body, ChecksumAlgorithm })
    const { ETag, ChecksumCRC32 } = await client.send(command, bucket.bounded())
    return { PartNumber, ETag, ChecksumCRC32 }
  }

  try {
    let number = 0
    for (let part: Part | undefined = first; part; ) {
      size += part.size
      const sent = sendPart(part, ++number)
      sent.catch(fail)
      onTheWay.push(sent)
      if (onTheWay.length === atOnce) Parts.push(await (onTheWay.shift() as Promise<CompletedPart>))
      // A part that fails ends the wait for a client that sends nothing
      part = await Promise.race([next(), failure])
    }
    Parts.push(...(await Promise.all(onTheWay)))
    const digest = await whole.end()
    const complete = new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } })
    await client.send(complete, bucket.bounded()).catch(async (error) => {
      // A repetition meets its own first try, whose answer was lost
      if (errorName(error) !== 'NoSuchUpload' || !(await isStored(bucket, key, size))) throw error
    })
    return { size, sha256: digest }
  } catch (error) {
    // A part that lands after the abortion would stay
    await Promise.allSettled([...onTheWay, whole.end()])
    // What can't be aborted is for the bucket's rule on incomplete uploads
    await client.send(new AbortMultipartUploadCommand(upload), bucket.bounded()).catch(() => {})
    throw error
  }
}

/**
 * Sends a part on the short path. The store checks the bytes against their signed digest.
 *
 * @returns the entity tag, or nothing when the call is for the SDK
 */
async function send(bucket: S3Bucket, operation: string, call: ShortCall & { body: Part }, sha256: string) {
  const tag = await bucket.short(operation, async (path) => {
    const { status, headers } = await path.request({ ...call, sha256 })
    if (status === 412) throw new ObjectExists()
    return status === 200 && typeof headers.etag === 'string' ? headers.etag : undefined
  })
  // Only now is it certain that the connection has let go of them
  if (tag !== undefined) call.body.release()
  return tag
}

async function isStored(bucket: S3Bucket, key: string, size: number): Promise<boolean> {
  try {
    return (await headObject(bucket, key)).size === size
  } catch (error) {
    if (error instanceof ObjectNotFound) return false
    throw error
  }
}
