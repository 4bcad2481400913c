/**
 * An error with an HTTP status. Its message is the sentence that the client reads: it says what was wrong and what is allowed, and never
 * names a key, bucket or host of the store, or a file of the client.
 */
export abstract class ServiceError extends Error {
  abstract readonly status: number
  /** Seconds after which it makes sense to try again, sent as `Retry-After` (RFC 9110 section 10.2.3). */
  readonly retryAfter: number | undefined
  /** Further headers of the response. */
  headers: Readonly<Record<string, string>> = {}
}

/**
 * Defines the class of an error.
 *
 * @param detail makes the message from the constructor's arguments. The last argument may be `{ cause }`, which only the log shows
 * @param retryAfter seconds
 */
function defineError<Args extends unknown[]>(
  name: string,
  status: number,
  detail: (...args: Args) => string,
  retryAfter?: number,
) {
  return class extends ServiceError {
    override readonly status = status
    override readonly retryAfter = retryAfter
    constructor(...args: [...Args, ErrorOptions?]) {
      super(detail(...(args.slice(0, detail.length) as Args)), args[detail.length] as ErrorOptions | undefined)
      // The class itself has no name, and a subclass has its own
      this.name = new.target.name || name
    }
  }
}

// Refused uploads
export const NotMultipart = defineError(
  'NotMultipart',
  415,
  () => 'Send the images as multipart/form-data, with one file part named "files" for each image',
)
export class CompressedBody extends defineError(
  'CompressedBody',
  415,
  () => 'The body has a Content-Encoding; send it uncompressed',
) {
  // RFC 9110 section 15.5.16
  override headers = { 'accept-encoding': 'identity' }
}
export const NoBoundary = defineError('NoBoundary', 400, () => 'The Content-Type header has no multipart boundary')
export const NoFiles = defineError('NoFiles', 400, () => 'No files provided')
export const WrongPartName = defineError(
  'WrongPartName',
  400,
  (number: number) => `File part ${number} is not named "files"; send each image as a file part of that name`,
)
export const FilesAsText = defineError(
  'FilesAsText',
  400,
  () => 'A text field is named "files"; send each image as a file part, with a filename in its Content-Disposition',
)
export const EmptyFile = defineError('EmptyFile', 400, (number: number) => `File ${number} is empty`)
export const BrokenMultipart = defineError(
  'BrokenMultipart',
  400,
  () => 'The multipart body is broken or ends before its last boundary',
)
export const UnusablePart = defineError(
  'UnusablePart',
  400,
  (number: number, limit: number) =>
    `The headers of part ${number} are invalid: each part needs Content-Disposition: form-data with a name, and at most ${bytes(limit)} of headers in lines that end with CRLF`,
)
export const ReservedName = defineError(
  'ReservedName',
  400,
  () => 'A part has a reserved name, such as "constructor" or "__proto__"; rename it',
)
export const InvalidJsonField = defineError(
  'InvalidJsonField',
  400,
  (limit: number) => `A text field of type application/json is not valid JSON, or is larger than ${bytes(limit)}`,
)
export const UnsupportedImage = defineError(
  'UnsupportedImage',
  415,
  (number: number) => `File ${number} is not a JPEG, PNG, GIF, WebP or AVIF image`,
)
export const HeicImage = defineError(
  'HeicImage',
  415,
  (number: number) => `File ${number} is a HEIC image, which browsers cannot show; send it as JPEG or AVIF instead`,
)
export const SvgImage = defineError(
  'SvgImage',
  415,
  (number: number) => `File ${number} is an SVG document, which can run scripts; send it as PNG or WebP instead`,
)
export const BrokenImage = defineError(
  'BrokenImage',
  415,
  (number: number, type: string) =>
    `File ${number} starts like an image/${type.replace('jpg', 'jpeg')}, but its width and height cannot be read`,
)
export const UnremovableMetadata = defineError(
  'UnremovableMetadata',
  415,
  (number: number) =>
    `File ${number} is an AVIF image whose metadata cannot be removed, because its index is too large or comes too late; save it again without metadata, or with the index first`,
)
export const FileTooLarge = defineError(
  'FileTooLarge',
  413,
  (number: number, limit: number) => `File ${number} is larger than ${bytes(limit)}, the limit for one file`,
)
export const UploadTooLarge = defineError(
  'UploadTooLarge',
  413,
  (files: number, limit: number) =>
    `The body is larger than an upload may be: the limit is ${files} files of ${bytes(limit)} each`,
)
export const TooManyFiles = defineError(
  'TooManyFiles',
  413,
  (limit: number) => `The upload has more than ${limit} files, the limit for one story`,
)
export const TooManyFields = defineError(
  'TooManyFields',
  413,
  (limit: number) => `The request has more than ${limit} text fields, the limit for one request`,
)
export const FieldTooLarge = defineError(
  'FieldTooLarge',
  413,
  (limit: number) => `A text field is larger than ${bytes(limit)}, the limit for one field`,
)
export const TooManyPixels = defineError(
  'TooManyPixels',
  413,
  (number: number, width: number, height: number, limit: number) =>
    `File ${number} has ${width} × ${height} pixels; the limit is ${limit} pixels for one image`,
)
export const UploadStalled = defineError(
  'UploadStalled',
  408,
  (milliseconds: number) => `No bytes of the upload arrived for ${milliseconds / 1000} seconds`,
)
export const UploadTooSlow = defineError(
  'UploadTooSlow',
  408,
  (rate: number, milliseconds: number) =>
    `The upload was slower than ${bytes(rate)} per second for ${milliseconds / 1000} seconds`,
)
export const UploadTimeout = defineError(
  'UploadTimeout',
  408,
  (milliseconds: number) => `The upload took longer than ${milliseconds / 1000} seconds, the limit for one upload`,
)
export const UploadSwept = defineError(
  'UploadSwept',
  503,
  () =>
    'The upload took so long that it was considered interrupted and removed; nothing of it is stored, so send it again',
  5,
)
export const ClientGone = defineError('ClientGone', 400, () => 'The connection closed before the upload was complete')
export const UploadsBusy = defineError(
  'UploadsBusy',
  503,
  () => 'Too many uploads are running; try again in a few seconds',
  5,
)
export const KeyInUse = defineError(
  'KeyInUse',
  409,
  () => 'The first upload with this Idempotency-Key is still running, or was interrupted; try again later',
  10,
)
export const KeyReused = defineError(
  'KeyReused',
  422,
  () => 'This Idempotency-Key was used for an upload with other images; use a new key for each story',
)
export const OutcomeUnknown = defineError(
  'OutcomeUnknown',
  503,
  () =>
    'The image store failed in the last step, so the outcome is unknown: the story is stored either completely or not at all; look at the list before you send it again',
  10,
)

// Authorization: RFC 6750 section 3
const CHALLENGE = 'Bearer realm="story-images"'
export class KeyMissing extends defineError(
  'KeyMissing',
  401,
  () => 'This request needs an API key, as "Authorization: Bearer KEY" or "X-API-Key: KEY"',
) {
  override headers = { 'www-authenticate': CHALLENGE }
}
export class KeyUnknown extends defineError('KeyUnknown', 401, () => 'There is no such API key') {
  override headers = { 'www-authenticate': `${CHALLENGE}, error="invalid_token"` }
}
export class ScopeMissing extends defineError(
  'ScopeMissing',
  403,
  (scope: string) => `This API key does not have the scope "${scope}"`,
) {
  constructor(scope: string) {
    super(scope)
    this.headers = { 'www-authenticate': `${CHALLENGE}, error="insufficient_scope", scope="${scope}"` }
  }
}
export const TicketInvalid = defineError(
  'TicketInvalid',
  403,
  () => 'This upload ticket is not valid; request a new one from whoever gave it to you',
)
export const TicketExpired = defineError(
  'TicketExpired',
  403,
  () => 'This upload ticket has expired; request a new one from whoever gave it to you',
)
export const TicketTooManyFiles = defineError(
  'TicketTooManyFiles',
  413,
  (limit: number) => `The upload has more than ${limit} files, the limit of this upload ticket`,
)
export const TicketTooManyBytes = defineError(
  'TicketTooManyBytes',
  413,
  (limit: number) => `The files are larger than ${bytes(limit)} in total, the limit of this upload ticket`,
)
export const SignatureInvalid = defineError(
  'SignatureInvalid',
  403,
  () => 'The signature of this URL is not valid: the path, "expires" or "signature" was changed',
)
export const SignatureExpired = defineError('SignatureExpired', 403, () => 'This signed URL has expired')
export class TooManyRequests extends defineError(
  'TooManyRequests',
  429,
  (seconds: number) => `Too many requests; try again in ${seconds} seconds`,
) {
  constructor(seconds: number) {
    super(seconds)
    this.headers = { 'retry-after': String(seconds) }
  }
}

// Requests by pages of other sites, on servers without keys
/** RFC 9110 section 15.5.20. */
export const UnknownHost = defineError(
  'UnknownHost',
  421,
  (host: string) =>
    `This server does not answer to the host name ${quoted(host)}; if the name is its own, add it to ALLOWED_HOSTS`,
)
export const WrongOrigin = defineError(
  'WrongOrigin',
  403,
  (method: string, origin: string | undefined) =>
    `Pages of ${origin === undefined ? 'another site' : quoted(origin)} may not send ${method} requests to this server; to allow them, add the origin to CORS_ORIGINS`,
)

// Bodies of JSON
export const NotJson = defineError('NotJson', 415, () => 'Send the body as application/json')
export const BrokenJson = defineError('BrokenJson', 400, () => 'The body is not a JSON object')
export const JsonTooLarge = defineError(
  'JsonTooLarge',
  413,
  (limit: number) => `The body is larger than ${bytes(limit)}, the limit for this request`,
)
export const JsonTimeout = defineError(
  'JsonTimeout',
  408,
  (milliseconds: number) => `The body took longer than ${milliseconds / 1000} seconds to arrive`,
)
export const BadMember = defineError(
  'BadMember',
  400,
  (name: string, allowed: string) => `The member ${quoted(name)} of the body must be ${allowed}`,
)
export const UnknownMember = defineError(
  'UnknownMember',
  400,
  (name: string, known: readonly string[]) =>
    `The body has an unknown member ${quoted(name)}; it may have ${known.join(', ')}`,
)

// Unknown resources and malformed requests
export const StoryNotFound = defineError('StoryNotFound', 404, (id: string) => `There is no story ${quoted(id)}`)
export const StoryNotKept = defineError(
  'StoryNotKept',
  404,
  (id: string) => `There is no story ${quoted(id)}, and nothing is kept from which it could be restored whole`,
)
export const DeletedNotKept = defineError(
  'DeletedNotKept',
  404,
  () => 'This server keeps nothing of deleted stories, so none of them can be restored',
)
export const RestoreInterrupted = defineError(
  'RestoreInterrupted',
  503,
  () => 'The story is being deleted, or its deletion was interrupted in the last five minutes; try again later',
  60,
)
export const PurgeUnderWay = defineError(
  'PurgeUnderWay',
  503,
  (minutes: number) =>
    `Stories are being deleted for good; if that was interrupted, the first sweep after ${minutes} minutes allows restores again`,
  300,
)
export const VersionsHidden = defineError(
  'VersionsHidden',
  500,
  () =>
    'What is kept of deleted stories can be neither restored nor deleted for good: the server may not list versions (s3:ListBucketVersions)',
)
export const RestoreUnderWay = defineError(
  'RestoreUnderWay',
  503,
  () =>
    'Something was being restored at the same time, or in the last five minutes; run this again later to delete all of it',
  300,
)
export const ImageNotFound = defineError('ImageNotFound', 404, (path: string) => `There is no image ${quoted(path)}`)
export const PreconditionFailed = defineError(
  'PreconditionFailed',
  412,
  () => 'The image is not the one that If-Match or If-Unmodified-Since asks for',
)
export const RouteNotFound = defineError(
  'RouteNotFound',
  404,
  (method: string, path: string) => `There is no route ${method} ${quoted(path)}`,
)
/** The path has routes for other methods only; `Allow` names those (RFC 9110 section 15.5.6). */
export class MethodNotAllowed extends defineError(
  'MethodNotAllowed',
  405,
  (method: string, path: string, allowed: readonly string[]) =>
    `${quoted(path)} does not support ${method}, only ${allowed.join(' and ')}`,
) {
  constructor(method: string, path: string, allowed: readonly string[]) {
    super(method, path, allowed)
    this.headers = { allow: allowed.join(', ') }
  }
}
export const BadQuery = defineError(
  'BadQuery',
  400,
  (name: string, allowed: string) => `The query parameter "${name}" must be ${allowed}`,
)
export const BadRequest = defineError('BadRequest', 400, (what: string) => what)
export const MissingHost = defineError('MissingHost', 400, () => 'An HTTP/1.1 request needs exactly one Host header')
export const ExpectationFailed = defineError(
  'ExpectationFailed',
  417,
  () => 'The only expectation that this server supports is "100-continue"',
)
export const HeadersTooLarge = defineError(
  'HeadersTooLarge',
  431,
  () => 'There are too many request headers, or they are larger than 16 KiB',
)
export const UnreadableImage = defineError(
  'UnreadableImage',
  422,
  () => 'The image cannot be decoded, so it has no variants; without "w" it is sent as it is',
)
export const HugeImage = defineError(
  'HugeImage',
  422,
  () =>
    'The image is too large for variants: it has too many bytes, pixels or frames, or a side of more than 65535 pixels, or would take too much memory or time; without "w" it is sent as it is',
)
export const RangeNotSatisfiable = defineError(
  'RangeNotSatisfiable',
  416,
  () => 'The requested range is outside the image',
)

// Failures of the server and its store
export const ServerBusy = defineError(
  'ServerBusy',
  503,
  () => 'The server is overloaded; try again in a few seconds',
  5,
)
export const ShuttingDown = defineError('ShuttingDown', 503, () => 'The server is shutting down', 5)
export const StoreBusy = defineError(
  'StoreBusy',
  503,
  () => 'The image store is overloaded; try again in a few seconds',
  5,
)
export const StoreUnavailable = defineError(
  'StoreUnavailable',
  503,
  () => 'The image store cannot be reached; try again in a few seconds',
  5,
)
export const StoreFull = defineError('StoreFull', 507, () => 'The image store is full', 300)
/** The store responded with an error: no bucket, no permission, a file system error. */
export const StoreFailure = defineError('StoreFailure', 500, () => 'The image store failed to do this')
/** Some keys could not be deleted. The log shows them. */
export class DeleteFailure extends StoreFailure {
  constructor(
    readonly keys: readonly string[],
    options?: ErrorOptions,
  ) {
    super(options)
  }
}
/** The key is not valid in this store, for instance because it would leave the store's folder. */
export const InvalidKey = defineError('InvalidKey', 500, () => 'The image store cannot hold this key')
export const ObjectExists = defineError('ObjectExists', 409, () => 'This object already exists')
export class ObjectNotFound extends defineError('ObjectNotFound', 404, () => 'There is no such object') {
  constructor(
    readonly key: string,
    options?: ErrorOptions,
  ) {
    super(options)
  }
}
export const InternalError = defineError('InternalError', 500, () => 'The server failed to process this request')

/** Quotes text of the client, cut to a length that fits a sentence. */
function quoted(text: string): string {
  return text.length > 200 ? `"${text.slice(0, 200)}…"` : `"${text}"`
}

function bytes(count: number): string {
  for (const [unit, size] of [
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const) {
    if (count >= size && count % size === 0) return `${count / size} ${unit}`
  }
  return `${count} bytes`
}
