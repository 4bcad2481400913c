import { type TObject, type TSchema, Type } from 'typebox'
import * as failures from '../../errors.ts'
import { CONTENT_TYPES } from '../../images/types.ts'
import { FORMATS } from '../../variants/variant.ts'
import { Failure, header, IMAGE_PATHS, Images, noStore, PageQuery, STORY, StoryId, Uploaded } from '../schemas.ts'

/** What the OpenAPI document says of routes whose requests or answers are more than the JSON that Fastify checks and writes. */

export const MEDIA_TYPES = Object.values(CONTENT_TYPES)
const MIB = 2 ** 20
/** A file part. Bytes have no type in OpenAPI 3.1, but without this form of 3.0 generated clients send them as text. */
const BINARY = { type: 'string', format: 'binary' }
/** JSON has no bytes. */
const BYTES = '(the bytes of the image)'

const noStory = () => [new failures.StoryNotFound(STORY)]
export const storyDocument = { params: Type.Object({ story_id: StoryId }), failures: noStory }

/** What the document says of the list of one story. */
export const storyListDocument = {
  ...storyDocument,
  response: { 200: { ...Images, description: 'The images of the story', headers: { 'Cache-Control': noStore } } },
}

const Link = header(
  'URL of the next page, with rel="next"; not sent with the last page (RFC 8288)',
  `<?limit=100&cursor=${STORY}>; rel="next"`,
)

/** What a schema says is allowed. */
const allowed = (schema: TSchema) => ('description' in schema ? String(schema.description) : '')

/** What the document says of a list in pages. */
export const pageDocument = (list: TSchema, query: TObject = PageQuery) => ({
  querystring: Type.Object({
    ...query.properties,
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1000, description: 'Most stories of a page', examples: [100] }),
    ),
  }),
  response: {
    200: { ...list, description: 'The list, or a page of it', headers: { Link, 'Cache-Control': noStore } },
  },
  failures: () => [new failures.BadQuery('limit', allowed(PageQuery.properties.limit))],
})

/** What the document says of an upload, whose body is read as a stream. */
export const uploadDocument = {
  headers: Type.Object({
    'idempotency-key': Type.Optional(
      Type.String({
        pattern: '^[!-~]{1,255}$',
        description: 'Uploads with the same key make one story; use a new key for each story',
        examples: ['8e03978e-40d5-43e8-bc93-6894a57f9324'],
      }),
    ),
  }),
  body: Type.Object(
    {
      files: Type.Array(Type.Unsafe<Buffer>(BINARY), {
        minItems: 1,
        description: 'The images, one part each',
      }),
    },
    {
      description: 'Text fields of up to 1 KiB with other names are ignored',
      maxProperties: 17,
      examples: [{ files: [BYTES, BYTES] }],
    },
  ),
  response: {
    200: {
      ...Uploaded,
      description: 'The story is stored and listed',
      headers: {
        'Idempotent-Replayed': header('An earlier upload made this story', 'true', '^true$'),
      },
    },
  },
  failures: () => [
    new failures.NoFiles(),
    new failures.NoBoundary(),
    new failures.WrongPartName(2),
    new failures.FilesAsText(),
    new failures.EmptyFile(2),
    new failures.BrokenMultipart(),
    new failures.UploadStalled(30_000),
    new failures.UploadTimeout(3_600_000),
    new failures.KeyInUse(),
    new failures.FileTooLarge(2, 50 * MIB),
    new failures.TooManyFiles(100),
    new failures.UploadTooLarge(100, 50 * MIB),
    new failures.TooManyPixels(2, 20_000, 20_000, 268_000_000),
    new failures.TicketTooManyFiles(5),
    new failures.TicketTooManyBytes(10 * MIB),
    new failures.NotMultipart(),
    new failures.CompressedBody(),
    new failures.UnsupportedImage(2),
    new failures.HeicImage(2),
    new failures.SvgImage(2),
    new failures.BrokenImage(2, 'jpg'),
    new failures.KeyReused(),
    new failures.UploadsBusy(),
    new failures.UploadSwept(),
    new failures.OutcomeUnknown(),
    new failures.TicketInvalid(),
    new failures.TicketExpired(),
    new failures.StoreFull(),
  ],
}

/**
 * What the document says of a route that takes JSON, which is checked by hand.
 *
 * @param limit most bytes of the body
 */
export const jsonDocument = (body: TObject, limit: number) => ({
  body,
  failures: () => [
    new failures.BrokenJson(),
    ...Object.entries(body.properties)
      .slice(0, 1)
      .map(([name, schema]) => new failures.BadMember(name, allowed(schema))),
    new failures.UnknownMember('size', Object.keys(body.properties)),
    new failures.JsonTimeout(10_000),
    new failures.JsonTooLarge(limit),
    new failures.NotJson(),
  ],
})

/** Where to go from an upload. */
export const storyLinks = {
  200: {
    story: { operationId: 'listStory', parameters: { story_id: '$response.body#/story_id' } },
    removal: { operationId: 'deleteStory', parameters: { story_id: '$response.body#/story_id' } },
  },
}

const ETAG = '"0b3f5a8c11e94c63b8a1f3b2cbb0a1de"'
const DATE = 'Sun, 22 Nov 2026 23:53:08 GMT'

const imageHeaders = {
  ETag: header('Identifies these bytes', ETAG),
  'Last-Modified': header('When the image was stored', DATE),
  'Cache-Control': header('How long the image may be cached', 'public, max-age=86400, immutable'),
  'Cache-Tag': StoryId,
  Vary: header('For a variant whose format is `auto`', 'Accept'),
  'Access-Control-Allow-Origin': header('Pages of any origin may read the pixels', '*', '^\\*$'),
  'Access-Control-Expose-Headers': header(
    'Headers that they may read',
    'Content-Length, Content-Range, ETag, Last-Modified, X-Image-Width, X-Image-Height',
  ),
  'Cross-Origin-Resource-Policy': header('Isolated pages may embed the image', 'cross-origin'),
  'Content-Security-Policy': header('An image that is opened as a page runs no script', "default-src 'none'; sandbox"),
  'Accept-Ranges': header('Ranges of bytes are supported', 'bytes', '^bytes$'),
  'X-Image-Width': header('Width in pixels as displayed; missing for an imported image', '1024', '^[1-9][0-9]*$'),
  'X-Image-Height': header('Height in pixels as displayed; missing for an imported image', '768', '^[1-9][0-9]*$'),
}
const sentHeaders = { ...imageHeaders, 'Content-Length': header('Bytes of the body', '48213', '^[0-9]+$') }
const imageBytes = Object.fromEntries(
  MEDIA_TYPES.map((type) => [
    type,
    {
      // Bytes as they are have no type of JSON (OpenAPI 3.1.1, "Migrating binary descriptions from OAS 3.0")
      schema: { contentMediaType: type },
      example: BYTES,
    },
  ]),
)
const conditions = {
  'if-match': Type.Optional(header('ETags, one of which the image must have', ETAG)),
  'if-unmodified-since': Type.Optional(header('Date after which the image must not have changed', DATE)),
  'if-none-match': Type.Optional(header("ETags of the client's copies", ETAG)),
  'if-modified-since': Type.Optional(header("Date of the client's copy", DATE)),
}
const imageParams = Type.Object({
  story_id: StoryId,
  name: header('Number and type of the image', '1.jpg', '^[1-9][0-9]{0,8}\\.(jpg|jpeg|png|gif|webp|avif)$'),
})
/** What the document says of asking for a smaller form of an image. */
const variantQuery = (widths: readonly number[]) =>
  Type.Object({
    w: Type.Optional(
      Type.Unsafe<number>({
        type: 'integer',
        enum: widths,
        description: 'Returns a variant of the image, at most this many pixels wide',
        examples: [widths[0]],
      }),
    ),
    format: Type.Optional(
      Type.Unsafe<string>({
        type: 'string',
        enum: FORMATS,
        description: 'Only with `w`. `auto` is AVIF or WebP if `Accept` names it, and otherwise JPEG, PNG or GIF',
        examples: ['webp'],
      }),
    ),
  })
const NotModified = { type: 'null', description: "The client's copy is current", headers: imageHeaders }

const imageFailures = () => [
  new failures.ImageNotFound(IMAGE_PATHS[0] ?? ''),
  new failures.PreconditionFailed(),
  new failures.RangeNotSatisfiable(),
  new failures.UnreadableImage(),
  new failures.HugeImage(),
  new failures.SignatureInvalid(),
  new failures.SignatureExpired(),
]

/**
 * What the document says of an image, whose bytes go past Fastify.
 *
 * @param widths that smaller forms of it can have
 */
export const imageDocument = (widths: readonly number[]) => ({
  params: imageParams,
  querystring: variantQuery(widths),
  headers: Type.Object({
    range: Type.Optional(header('One range of bytes', 'bytes=0-99')),
    'if-range': Type.Optional(header('ETag or date of the image that the range belongs to', ETAG)),
    ...conditions,
  }),
  failures: imageFailures,
  response: {
    200: { description: 'The image', headers: sentHeaders, content: imageBytes },
    206: {
      description: 'The range of the image',
      headers: {
        ...sentHeaders,
        'Content-Range': header('The range and the size of the image', 'bytes 0-99/48213'),
      },
      content: imageBytes,
    },
    304: NotModified,
    416: {
      ...Failure,
      headers: { 'Content-Range': header('Size of the image in bytes', 'bytes */48213', '^bytes \\*/[0-9]+$') },
    },
  },
})

/** The same for its headers alone. */
export const imageHeadDocument = (widths: readonly number[]) => ({
  params: imageParams,
  querystring: variantQuery(widths),
  headers: Type.Object(conditions),
  failures: imageFailures,
  response: { 200: { type: 'null', description: 'The headers of the image', headers: sentHeaders }, 304: NotModified },
})
