import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  type S3Client,
  UploadPartCommand,
  type UploadPartCommandOutput,
} from '@aws-sdk/client-s3'

/**
 * Stores an object as a multipart upload, reading the next part while one is on its way: two parts are in memory.
 *
 * `Upload` of @aws-sdk/lib-storage holds four to six (it collects more than a part, then copies it): 16 uploads of 45 MiB at once
 * peaked at 817 MB with it, at 419 MB with this.
 *
 * @param object what CreateMultipartUpload takes
 * @param first the first part
 * @param rest the further ones, each of 5 MiB at least but for the last
 * @param bounded gives each call its time
 */
export async function putInParts(
  client: S3Client,
  object: { Bucket: string; Key: string; ContentType: string; Metadata: Record<string, string> },
  first: Buffer,
  rest: AsyncIterator<Buffer, undefined>,
  bounded: () => { abortSignal: AbortSignal },
): Promise<void> {
  const { Bucket, Key } = object
  // A part whose checksum the SDK sends needs an upload that was told so (AWS, "Checking object integrity")
  const withChecksums = (await client.config.requestChecksumCalculation()) === 'WHEN_SUPPORTED'
  const ChecksumAlgorithm = withChecksums ? ('CRC32' as const) : undefined
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ ...object, ChecksumAlgorithm }), bounded())
  const upload = { Bucket, Key, UploadId }
  const Parts: CompletedPart[] = []
  try {
    for (let Body: Buffer | undefined = first; Body; ) {
      const PartNumber: number = Parts.length + 1
      const reading = rest.next()
      reading.catch(() => {})
      const part: UploadPartCommand = new UploadPartCommand({ ...upload, PartNumber, Body, ChecksumAlgorithm })
      const { ETag, ChecksumCRC32 }: UploadPartCommandOutput = await client.send(part, bounded())
      Parts.push({ PartNumber, ETag, ChecksumCRC32 })
      Body = (await reading).value
    }
    await client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } }), bounded())
  } catch (error) {
    // What can't be aborted is for the bucket's rule on incomplete uploads
    await client.send(new AbortMultipartUploadCommand(upload), bounded()).catch(() => {})
    throw error
  }
}
