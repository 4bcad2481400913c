import { createHash, randomUUID } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import {
  type Answer,
  answer,
  elements,
  encodeName,
  failure,
  failures,
  readPayload,
  root,
  tag,
  unescapeXml,
  xmlAnswer,
} from './s3-wire.ts'

/** An object at rest. Tests may change its fields, `lastModified` above all. */
export interface StoredObject {
  body: Buffer
  contentType: string
  /** without `x-amz-meta-`, names in lower case */
  metadata: Record<string, string>
  cacheControl?: string | undefined
  lastModified: Date
  /** with its quotes */
  etag: string
}

export interface MultipartUpload {
  readonly key: string
  readonly contentType: string
  readonly metadata: Record<string, string>
  readonly cacheControl?: string | undefined
  readonly parts: Map<number, { body: Buffer; etag: string }>
}

/** What real engines do otherwise than AWS; by default nothing. */
export interface Dialect {
  /** Names prefixes of deleted objects as MinIO does: https://github.com/minio/minio/blob/master/cmd/metacache-walk.go */
  readonly versioning?: 'Enabled' | 'Suspended'
  /** `If-None-Match: *` of a put: `ignored` as by Garage, `refused` with 501 as by Backblaze B2 */
  readonly ifNoneMatch?: 'ignored' | 'refused'
  /** `md5`: wants Content-MD5, as MinIO before 2025 and Oracle OCI do; `missing`: 501 */
  readonly deleteObjects?: 'md5' | 'missing'
}

export interface Bucket {
  readonly name: string
  readonly dialect: Dialect
  /** upper bound of `max-keys`; 1,000 on every known engine */
  readonly pageSize: number
  readonly objects: Map<string, StoredObject>
  /** Keys with a delete marker, and the version below it. Of each key the last deletion is kept. */
  readonly deleted: Map<string, { readonly time: Date; readonly object: StoredObject | undefined }>
  /** upload id → upload that was neither completed nor aborted */
  readonly multipartUploads: Map<string, MultipartUpload>
  /** LifecycleConfiguration in XML, as it was put. */
  lifecycle: string | undefined
}

export interface Request {
  /** decoded; empty for a call on the bucket */
  readonly key: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  /** as it came over the wire */
  readonly body: Buffer
  /** keys that DeleteObjects reports as failed and keeps */
  readonly undeletable?: RegExp | undefined
}

type Handler = (bucket: Bucket, request: Request) => Answer

/** Every part but the last: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const MIN_PART_SIZE = 5 * 1024 * 1024
const MAX_KEYS = 1000

const operations = {
  PutObject(bucket, { key, headers, body }) {
    const { ifNoneMatch = 'honoured' } = bucket.dialect
    const isConditional = headers['if-none-match'] === '*'
    if (isConditional && ifNoneMatch === 'refused') return failure('NotImplemented')
    if (isConditional && ifNoneMatch === 'honoured' && bucket.objects.has(key)) return failure('PreconditionFailed')
    const content = readPayload(headers, body)
    if (!Buffer.isBuffer(content)) return content
    const object = newObject(content, described(headers))
    bucket.objects.set(key, object)
    return answer({ etag: object.etag })
  },

  GetObject: getObject,

  /** The caller leaves out the body, as HTTP wants it. */
  HeadObject: getObject,

  DeleteObject(bucket, { key, query, undeletable }) {
    if (undeletable !== undefined) return failure('AccessDenied')
    remove(bucket, key, query.get('versionId') ?? undefined)
    return { ...answer(), status: 204 }
  },

  DeleteObjects(bucket, request) {
    const { undeletable, body, headers } = request
    const { deleteObjects } = bucket.dialect
    if (deleteObjects === 'missing') return failure('NotImplemented')
    const sent = headers['content-md5']
    if (deleteObjects === 'md5' && sent === undefined) return failure('MissingContentMD5')
    if (sent !== undefined && sent !== md5(body).toString('base64')) return failure('BadDigest')
    const keys = keysToDelete(request)
    if (keys.length === 0 || keys.length > MAX_KEYS) return failure('MalformedXML')
    const quiet = /<Quiet>\s*true\s*<\/Quiet>/.test(body.toString())
    const versions = new Map(
      elements(body.toString(), 'Object').map((object) => [
        elements(object, 'Key').map(unescapeXml)[0],
        elements(object, 'VersionId')[0],
      ]),
    )
    const results = keys.map((key) => {
      if (undeletable !== undefined && key.search(undeletable) >= 0) {
        return `<Error>${tag('Key', key)}${tag('Code', 'InternalError')}${tag('Message', failures.InternalError[1])}</Error>`
      }
      remove(bucket, key, versions.get(key))
      return quiet ? '' : `<Deleted>${tag('Key', key)}</Deleted>`
    })
    return xmlAnswer(root('DeleteResult', results.join('')))
  },

  CreateMultipartUpload(bucket, { key, headers }) {
    const id = randomUUID()
    bucket.multipartUploads.set(id, { key, ...described(headers), parts: new Map() })
    const members = tag('Bucket', bucket.name) + tag('Key', key) + tag('UploadId', id)
    return xmlAnswer(root('InitiateMultipartUploadResult', members))
  },

  UploadPart(bucket, { key, query, headers, body }) {
    const upload = bucket.multipartUploads.get(query.get('uploadId') ?? '')
    if (upload?.key !== key) return failure('NoSuchUpload')
    const number = Number(query.get('partNumber'))
    if (!Number.isInteger(number) || number < 1 || number > 10_000) return failure('InvalidArgument')
    const content = readPayload(headers, body)
    if (!Buffer.isBuffer(content)) return content
    const etag = `"${md5(content).toString('hex')}"`
    upload.parts.set(number, { body: content, etag })
    return answer({ etag })
  },

  CompleteMultipartUpload(bucket, { key, query, headers, body }) {
    const id = query.get('uploadId') ?? ''
    const upload = bucket.multipartUploads.get(id)
    if (upload?.key !== key) return failure('NoSuchUpload')
    if (headers['if-none-match'] === '*' && bucket.objects.has(key)) return failure('PreconditionFailed')
    const listed = elements(body.toString(), 'Part').map((part) => ({
      number: Number(elements(part, 'PartNumber')[0]),
      etag: elements(part, 'ETag').map(unescapeXml)[0]?.replaceAll('"', ''),
    }))
    if (listed.length === 0) return failure('MalformedXML')
    if (listed.some(({ number }, i) => i > 0 && number <= (listed[i - 1]?.number ?? 0)))
      return failure('InvalidPartOrder')
    const bodies: Buffer[] = []
    for (const { number, etag } of listed) {
      const part = upload.parts.get(number)
      if (part === undefined || part.etag !== `"${etag}"`) return failure('InvalidPart')
      bodies.push(part.body)
    }
    if (bodies.slice(0, -1).some((part) => part.length < MIN_PART_SIZE)) return failure('EntityTooSmall')
    const etag = `"${md5(Buffer.concat(bodies.map(md5))).toString('hex')}-${bodies.length}"`
    bucket.objects.set(key, { ...newObject(Buffer.concat(bodies), upload), etag })
    bucket.multipartUploads.delete(id)
    const members = tag('Bucket', bucket.name) + tag('Key', key) + tag('ETag', etag)
    return xmlAnswer(root('CompleteMultipartUploadResult', members))
  },

  AbortMultipartUpload(bucket, { key, query }) {
    const id = query.get('uploadId') ?? ''
    if (bucket.multipartUploads.get(id)?.key !== key) return failure('NoSuchUpload')
    bucket.multipartUploads.delete(id)
    return { ...answer(), status: 204 }
  },

  /** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html */
  ListObjectsV2(bucket, { query }) {
    const prefix = query.get('prefix') ?? ''
    const delimiter = query.get('delimiter') ?? ''
    const startAfter = query.get('start-after') ?? ''
    const token = query.get('continuation-token')
    const maxKeys = Number(query.get('max-keys') || MAX_KEYS)
    if (!Number.isInteger(maxKeys) || maxKeys < 0) return failure('InvalidArgument')
    const limit = Math.min(maxKeys, bucket.pageSize)

    const entries: string[] = []
    let truncated = false
    const last = token === null ? undefined : Buffer.from(token, 'base64url').toString()
    const keys = new Set([...bucket.objects.keys(), ...bucket.deleted.keys()])
    for (const key of [...keys].filter((key) => key.startsWith(prefix)).sort(inUtf8Order)) {
      const cut = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
      if (cut < 0 && !bucket.objects.has(key)) continue
      const entry = cut < 0 ? key : key.slice(0, cut + delimiter.length)
      // A token continues behind a whole entry, a key or a common prefix. What start-after does inside a common prefix is
      // not agreed on: by the API page it is compared with keys, as here, so the prefix is listed again; MinIO and Ceph RGW
      // skip the prefix. A client must be ready for both.
      if (last === undefined ? inUtf8Order(key, startAfter) <= 0 : inUtf8Order(entry, last) <= 0) continue
      if (entry === entries.at(-1)) continue
      truncated = limit > 0 && entries.length === limit
      if (entries.length === limit) break
      entries.push(entry)
    }

    const url = query.get('encoding-type') === 'url'
    const name = (element: string, text: string) => tag(element, url ? encodeName(text) : text)
    const found = entries.map((entry) => {
      const object = bucket.objects.get(entry)
      // An object whose key ends in the delimiter is rolled up too.
      if (object === undefined || (delimiter !== '' && entry.indexOf(delimiter, prefix.length) >= 0)) {
        return `<CommonPrefixes>${name('Prefix', entry)}</CommonPrefixes>`
      }
      const { lastModified, etag, body } = object
      const facts = tag('LastModified', lastModified.toISOString()) + tag('ETag', etag) + tag('Size', `${body.length}`)
      return `<Contents>${name('Key', entry)}${facts}${tag('StorageClass', 'STANDARD')}</Contents>`
    })
    const members = [
      tag('Name', bucket.name),
      name('Prefix', prefix),
      tag('MaxKeys', `${maxKeys}`),
      tag('KeyCount', `${entries.length}`),
      tag('IsTruncated', `${truncated}`),
      delimiter === '' ? '' : name('Delimiter', delimiter),
      startAfter === '' ? '' : name('StartAfter', startAfter),
      url ? tag('EncodingType', 'url') : '',
      token === null ? '' : tag('ContinuationToken', token),
      truncated ? tag('NextContinuationToken', Buffer.from(entries.at(-1) ?? '').toString('base64url')) : '',
    ]
    return xmlAnswer(root('ListBucketResult', members.join('') + found.join('')))
  },

  /** https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketVersioning.html */
  GetBucketVersioning({ dialect: { versioning } }) {
    return xmlAnswer(root('VersioningConfiguration', versioning === undefined ? '' : tag('Status', versioning)))
  },

  /** Nothing expires here: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html */
  PutBucketLifecycleConfiguration(bucket, { body }) {
    bucket.lifecycle = body.toString()
    return answer()
  },

  /** https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLifecycleConfiguration.html */
  GetBucketLifecycleConfiguration({ lifecycle }) {
    return lifecycle === undefined ? failure('NoSuchLifecycleConfiguration') : xmlAnswer(lifecycle)
  },

  /** On one page: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html */
  ListObjectVersions(bucket, { query }) {
    const prefix = query.get('prefix') ?? ''
    const keys = new Set([...bucket.objects.keys(), ...bucket.deleted.keys()])
    const found = [...keys]
      .filter((key) => key.startsWith(prefix))
      .sort(inUtf8Order)
      .map((key) => {
        const [current, deleted] = [bucket.objects.get(key), bucket.deleted.get(key)]
        const entry = (element: string, id: string, isLatest: boolean, time: Date, size?: number) => {
          const members = `${tag('Key', encodeName(key))}${tag('VersionId', id)}${tag('IsLatest', `${isLatest}`)}`
          const facts = `${tag('LastModified', time.toISOString())}${size === undefined ? '' : tag('Size', `${size}`)}`
          return `<${element}>${members}${facts}</${element}>`
        }
        return [
          current ? entry('Version', 'current', true, current.lastModified, current.body.length) : '',
          deleted ? entry('DeleteMarker', 'marker', !current, deleted.time) : '',
          deleted?.object
            ? entry('Version', 'old', false, deleted.object.lastModified, deleted.object.body.length)
            : '',
        ].join('')
      })
    return xmlAnswer(
      root('ListVersionsResult', `${tag('EncodingType', 'url')}${tag('IsTruncated', 'false')}${found.join('')}`),
    )
  },

  Unsupported: () => failure('NotImplemented'),
} satisfies Record<string, Handler>

export type Operation = keyof typeof operations

export const carryOut = (operation: Operation, bucket: Bucket, request: Request): Answer =>
  operations[operation](bucket, request)

/** Which operation a request is, by method and query: the SDK's `x-id` is a hint that not every client sends. */
export function operationOf(method: string, key: string, query: URLSearchParams): Operation {
  const on = (names: Partial<Record<string, Operation>>) => names[method] ?? 'Unsupported'
  if (key === '') {
    if (query.has('versions')) return on({ GET: 'ListObjectVersions' })
    if (query.has('lifecycle'))
      return on({ GET: 'GetBucketLifecycleConfiguration', PUT: 'PutBucketLifecycleConfiguration' })
    if (query.has('versioning')) return on({ GET: 'GetBucketVersioning' })
    if (query.get('list-type') === '2') return on({ GET: 'ListObjectsV2' })
    return query.has('delete') ? on({ POST: 'DeleteObjects' }) : 'Unsupported'
  }
  if (query.has('uploads')) return on({ POST: 'CreateMultipartUpload' })
  if (query.has('uploadId')) {
    return on({ PUT: 'UploadPart', POST: 'CompleteMultipartUpload', DELETE: 'AbortMultipartUpload' })
  }
  return on({ PUT: 'PutObject', GET: 'GetObject', HEAD: 'HeadObject', DELETE: 'DeleteObject' })
}

export const keysToDelete = ({ body }: Pick<Request, 'body'>): string[] =>
  elements(body.toString(), 'Key').map(unescapeXml)

function getObject(bucket: Bucket, { key, headers }: Request): Answer {
  const object = bucket.objects.get(key)
  if (object === undefined) return failure('NoSuchKey', { Key: key })
  const { body, etag, contentType, lastModified, metadata, cacheControl } = object
  const validators = { etag, 'last-modified': lastModified.toUTCString() }
  const unmet = unmetCondition(headers, object)
  if (unmet === 304) return { ...answer(validators), status: 304 }
  if (unmet === 412) return failure('PreconditionFailed')
  const range = readRange(headers.range, body.length)
  if (range === 'unsatisfiable') {
    return failure('InvalidRange', { RangeRequested: headers.range ?? '', ActualObjectSize: `${body.length}` })
  }
  const described = {
    ...validators,
    'content-type': contentType,
    'accept-ranges': 'bytes',
    ...(cacheControl !== undefined && { 'cache-control': cacheControl }),
    ...prefixed(metadata),
  }
  if (range === undefined) return { status: 200, headers: described, body }
  const contentRange = { 'content-range': `bytes ${range.first}-${range.last}/${body.length}` }
  return { status: 206, headers: { ...described, ...contentRange }, body: body.subarray(range.first, range.last + 1) }
}

export function newObject(
  body: Buffer,
  {
    contentType = 'binary/octet-stream',
    metadata = {},
    cacheControl,
    lastModified = new Date(),
  }: Partial<StoredObject> = {},
): StoredObject {
  return { body, contentType, metadata, cacheControl, lastModified, etag: `"${md5(body).toString('hex')}"` }
}

/** A version stays where there is versioning, and a delete marker on it. Without the marker the version is the object again. */
function remove({ objects, deleted, dialect }: Bucket, key: string, version?: string): void {
  const earlier = deleted.get(key)
  if (version === 'marker') {
    if (earlier?.object && !objects.has(key)) objects.set(key, earlier.object)
    deleted.delete(key)
  } else if (version === 'old') {
    if (earlier) deleted.set(key, { ...earlier, object: undefined })
  } else {
    const object = objects.get(key)
    objects.delete(key)
    const isKept = dialect.versioning === 'Enabled'
    if (object && dialect.versioning !== undefined)
      deleted.set(key, { time: new Date(), object: isKept ? object : undefined })
  }
}

const md5 = (bytes: Buffer) => createHash('md5').update(bytes).digest()

const META = 'x-amz-meta-'

function described(headers: IncomingHttpHeaders): Pick<StoredObject, 'contentType' | 'metadata' | 'cacheControl'> {
  const metadata = Object.entries(headers).filter(([name]) => name.startsWith(META))
  return {
    contentType: headers['content-type'] ?? 'binary/octet-stream',
    metadata: Object.fromEntries(metadata.map(([name, value]) => [name.slice(META.length), String(value)])),
    cacheControl: headers['cache-control'],
  }
}

const prefixed = (metadata: Record<string, string>) =>
  Object.fromEntries(Object.entries(metadata).map(([name, value]) => [META + name, value]))

/** S3 sorts keys by their UTF-8 bytes, JavaScript by UTF-16 units: they differ above U+FFFF. */
const inUtf8Order = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))

/** RFC 9110, 13.2.2: an ETag condition makes its date condition void. An invalid date is NaN: no condition. */
function unmetCondition(headers: IncomingHttpHeaders, { etag, lastModified }: StoredObject): 304 | 412 | undefined {
  const modified = Math.floor(lastModified.getTime() / 1000) * 1000
  const names = (list: string) =>
    list.split(',').some((item) => ['*', etag.slice(1, -1)].includes(item.trim().replace(/^(W\/)?"|"$/g, '')))
  const { 'if-match': match, 'if-none-match': noneMatch } = headers
  if (match === undefined ? modified > Date.parse(headers['if-unmodified-since'] ?? '') : !names(match)) return 412
  if (noneMatch === undefined ? modified <= Date.parse(headers['if-modified-since'] ?? '') : names(noneMatch))
    return 304
  return undefined
}

/** RFC 9110, 14.1.2. What is no single byte range is ignored, as S3 does with several ranges. */
function readRange(
  header: string | undefined,
  size: number,
): { first: number; last: number } | 'unsatisfiable' | undefined {
  const [, from, to] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? []
  if (from === undefined || to === undefined || (from === '' && to === '')) return undefined
  if (from !== '' && to !== '' && Number(to) < Number(from)) return undefined
  const first = from === '' ? Math.max(0, size - Number(to)) : Number(from)
  const last = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1)
  return first > last ? 'unsatisfiable' : { first, last }
}
