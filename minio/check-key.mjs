// Attacks the restricted access key that init.sh makes: what the server needs must work, everything else must be
// refused as a question of rights. Run by test/engines/init-check.sh, which sets the environment.
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketPolicyCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  ListPartsCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'

const { MINIO_ENDPOINT, S3_BUCKET: Bucket, S3_PREFIX = '', OTHER_BUCKET } = process.env
const client = (accessKeyId, secretAccessKey) =>
  new S3Client({
    endpoint: MINIO_ENDPOINT,
    region: 'us-east-1',
    forcePathStyle: true,
    maxAttempts: 1,
    credentials: { accessKeyId, secretAccessKey },
  })
const root = client(process.env.MINIO_ROOT_USER, process.env.MINIO_ROOT_PASSWORD)
const key = client(process.env.STORY_IMAGES_ACCESS_KEY, process.env.STORY_IMAGES_SECRET_KEY)

let checks = 0
let holes = 0
const report = (ok, text) => {
  checks++
  if (ok) return
  holes++
  console.log(`HOLE  ${text}`)
}
const name = (command) => `${command.constructor.name.replace('Command', '')} ${JSON.stringify(command.input)}`

async function may(command) {
  try {
    const answer = await key.send(command)
    await answer.Body?.transformToByteArray?.()
    report(true)
    return answer
  } catch (error) {
    report(false, `needed, but answered ${error.name}: ${name(command)}`)
    return {}
  }
}

/** Answers as the store does when the caller is trusted: with a missing key rather than with a refusal. */
async function findsNothing(command) {
  const error = await key.send(command).catch((error) => error)
  report(error.$metadata?.httpStatusCode === 404, `should be 404, was ${error.name}: ${name(command)}`)
}

async function mayNot(command, status = 403) {
  const error = await key.send(command).then(
    () => ({ name: 'success' }),
    (error) => error,
  )
  report(error.$metadata?.httpStatusCode === status, `should be refused, was ${error.name}: ${name(command)}`)
}

const outside = ['check-key.txt', `${S3_PREFIX}check-key.txt`, `${S3_PREFIX}stories-check-key/1.txt`]
if (S3_PREFIX) outside.push('stories/check-key.txt', 'idempotency/check-key.txt', 'variants/check-key.txt')
const inside = [
  `${S3_PREFIX}stories/check-key/1.txt`,
  `${S3_PREFIX}idempotency/check-key`,
  `${S3_PREFIX}variants/check-key/1.txt`,
]
const secrets = [...outside.map((Key) => ({ Bucket, Key })), { Bucket: OTHER_BUCKET, Key: inside[0] }]

for (const at of secrets) await root.send(new PutObjectCommand({ ...at, Body: 'outside' }))
try {
  for (const Key of inside) {
    const at = { Bucket, Key }
    await findsNothing(new HeadObjectCommand(at))
    await findsNothing(new GetObjectCommand(at))
    await may(new PutObjectCommand({ ...at, Body: 'inside', IfNoneMatch: '*', Metadata: { sha256: 'x' } }))
    await may(new HeadObjectCommand(at))
    await may(new GetObjectCommand({ ...at, Range: 'bytes=0-1' }))

    for (const last of ['complete', 'abort']) {
      const { UploadId } = await may(new CreateMultipartUploadCommand(at))
      const { ETag } = await may(new UploadPartCommand({ ...at, UploadId, PartNumber: 1, Body: 'part' }))
      await mayNot(new ListPartsCommand({ ...at, UploadId }))
      const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] }
      if (last === 'complete') await may(new CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload }))
      else await may(new AbortMultipartUploadCommand({ ...at, UploadId }))
    }

    const Prefix = `${Key.slice(S3_PREFIX.length).split('/')[0]}/`
    for (const more of [{}, { MaxKeys: 1 }, { Delimiter: '/' }, { StartAfter: `${S3_PREFIX}${Prefix}a` }]) {
      await may(new ListObjectsV2Command({ Bucket, Prefix: S3_PREFIX + Prefix, ...more }))
    }
    await may(new ListObjectsV2Command({ Bucket, Prefix: Key }))
    await may(new DeleteObjectCommand(at))
    const { Errors = [] } = await may(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key }] } }))
    report(Errors.length === 0, `DeleteObjects could not delete ${Key}`)
  }

  await may(new GetBucketVersioningCommand({ Bucket }))
  await may(new ListObjectVersionsCommand({ Bucket, Prefix: `${S3_PREFIX}stories/` }))
  await mayNot(new ListObjectVersionsCommand({ Bucket: OTHER_BUCKET, Prefix: `${S3_PREFIX}stories/` }))
  await mayNot(new GetBucketVersioningCommand({ Bucket: OTHER_BUCKET }))

  const { Buckets = [] } = await key.send(new ListBucketsCommand({})).catch(() => ({}))
  report(!Buckets.some((b) => b.Name !== Bucket), 'ListBuckets shows other buckets')

  for (const at of secrets) {
    await mayNot(new GetObjectCommand(at))
    await mayNot(new HeadObjectCommand(at))
    await mayNot(new PutObjectCommand({ ...at, Body: 'overwritten' }))
    await mayNot(new CreateMultipartUploadCommand(at))
    await mayNot(new CopyObjectCommand({ Bucket, Key: inside[0], CopySource: `${at.Bucket}/${at.Key}` }))
    await mayNot(new DeleteObjectCommand(at))
    // Answers 200 whatever happened: only the list of errors tells.
    await key
      .send(new DeleteObjectsCommand({ Bucket: at.Bucket, Delete: { Objects: [{ Key: at.Key }] } }))
      .catch(() => {})
    const { Body } = await root.send(new GetObjectCommand(at)).catch(() => ({}))
    report((await Body?.transformToString()) === 'outside', `${at.Bucket}/${at.Key} was changed or deleted`)
  }

  const lists = ['', undefined, '/', 's', 'stories', 'stories-check-key/', 'variants', 'check-key']
  for (const Prefix of lists) {
    const full = Prefix === undefined ? undefined : S3_PREFIX + Prefix
    await mayNot(new ListObjectsV2Command({ Bucket, Prefix: full }))
    await mayNot(new ListObjectVersionsCommand({ Bucket, Prefix: full }))
  }
  // Matches the pattern of the policy; MinIO refuses such names before it looks at rights.
  await mayNot(new ListObjectsV2Command({ Bucket, Prefix: `${S3_PREFIX}stories/../` }), 400)
  if (S3_PREFIX) await mayNot(new ListObjectsV2Command({ Bucket, Prefix: 'stories/' }))
  await mayNot(new ListObjectsV2Command({ Bucket: OTHER_BUCKET, Prefix: `${S3_PREFIX}stories/` }))
  await mayNot(new ListMultipartUploadsCommand({ Bucket }))
  await mayNot(new CreateBucketCommand({ Bucket: `${OTHER_BUCKET}-new` }))
  await mayNot(new DeleteBucketCommand({ Bucket }))
  await mayNot(new DeleteBucketCommand({ Bucket: OTHER_BUCKET }))
  await mayNot(new GetBucketPolicyCommand({ Bucket }))
  const open = { Effect: 'Allow', Principal: '*', Action: 's3:GetObject', Resource: `arn:aws:s3:::${Bucket}/*` }
  const Policy = JSON.stringify({ Version: '2012-10-17', Statement: [open] })
  await mayNot(new PutBucketPolicyCommand({ Bucket, Policy }))
  await mayNot(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Enabled' } }))
} finally {
  for (const at of secrets) await root.send(new DeleteObjectCommand(at))
}
console.log(`${checks} checks of the S3 API, ${holes} holes`)
process.exitCode = holes === 0 ? 0 : 1
