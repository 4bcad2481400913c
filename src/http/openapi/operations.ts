import { type TObject, type TSchema, Type } from 'typebox'
import * as failures from '../../errors.ts'
import { CONTENT_TYPES } from '../../images/types.ts'
import { parseSize, REQUEST_FORMATS } from '../../layout/variant.ts'
import {
  deleted,
  errors,
  Failure,
  header,
  IMAGE_PATHS,
  Images,
  ImagesQuery,
  noStore,
  PageQuery,
  restored,
  STORY,
  StoryId,
  StoryIds,
  Uploaded,
  written,
} from '../schemas.ts'
import type { AllowedSizes } from '../variant-request.ts'

/** Schemas of routes: Fastify checks query parameters and writes JSON by them, and the OpenAPI document is made of them. */

export const MEDIA_TYPES = Object.values(CONTENT_TYPES)
const MIB = 2 ** 20
/** A file part. Bytes have no type in OpenAPI 3.1, but without this form of 3.0 generated clients send them as text. */
const BINARY = { type: 'string', format: 'binary' }
/** JSON has no bytes. */
const BYTES = '(the bytes of the image)'

const story = { params: Type.Object({ story_id: StoryId }), failures: () => [new failures.StoryNotFound(STORY)] }

export const listStorySchema = {
  ...story,
  operationId: 'listStory',
  summary: 'List the images of one story',
  response: {
    200: written({ ...Images, description: 'The images of the story', headers: { 'Cache-Control': noStore } }),
    ...errors(401, 403, 404, 429, 503),
  },
}

export const deleteStorySchema = {
  ...story,
  operationId: 'deleteStory',
  summary: 'Delete every image of a story',
  response: { 200: deleted('Images deleted successfully'), ...errors(401, 403, 404, 429, 503) },
}

export const restoreStorySchema = {
  ...story,
  operationId: 'restoreStory',
  summary: 'Restore a deleted story',
  response: {
    200: restored('Images restored successfully'),
    ...errors(401, 403, 429, 503, 507),
    404: {
      ...Failure,
      description: 'There is no story with this id, and no deleted one that can be restored',
    },
  },
  failures: () => [
    new failures.StoryNotKept(STORY),
    new failures.DeletedNotKept(),
    new failures.RestoreInterrupted(),
    new failures.PurgeUnderWay(65),
    new failures.StoreFull(),
  ],
}

const Link = header(
  'URL of the next page, with rel="next"; not sent with the last page (RFC 8288)',
  `<?limit=100&cursor=${STORY}>; rel="next"`,
)

/** The parts of a schema that the lists of all stories share. */
const listOf = (items: TSchema) => ({
  response: {
    200: written({ ...items, description: 'The list, or a page of it', headers: { Link, 'Cache-Control': noStore } }),
    ...errors(400, 401, 403, 429, 503),
  },
  failures: () => [new failures.BadQuery('limit', 'a whole number of stories from 1 to 1000')],
})

export const listImagesSchema = {
  ...listOf(Images),
  operationId: 'listImages',
  summary: 'List the images of every story',
  querystring: ImagesQuery,
}

export const listStoryIdsSchema = {
  ...listOf(StoryIds),
  operationId: 'listStoryIds',
  summary: 'List the id of every story',
  querystring: PageQuery,
}

/** The body is read as a stream. */
export const uploadSchema = {
  operationId: 'uploadStory',
  summary: 'Upload the images of a new story',
  consumes: ['multipart/form-data'],
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
        description:
          'The images, one part each. They are stored without the place where they were taken, or without what else STRIP_METADATA says',
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
    ...errors(400, 401, 403, 408, 409, 413, 415, 422, 429, 503, 507),
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
    new failures.UnremovableMetadata(2),
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
 * The parts of a schema that routes with a JSON body share. The route checks the body.
 *
 * @param limit most bytes of the body
 */
export const jsonSchema = <Body extends TObject>(body: Body, limit: number) => ({
  consumes: ['application/json'],
  body,
  failures: () => [
    new failures.BrokenJson(),
    ...Object.entries(body.properties as Record<string, { description?: string }>)
      .slice(0, 1)
      .map(([name, { description = '' }]) => new failures.BadMember(name, description)),
    new failures.UnknownMember('size', Object.keys(body.properties)),
    new failures.JsonTimeout(10_000),
    new failures.JsonTooLarge(limit),
    new failures.NotJson(),
  ],
})

/** Operations on an uploaded story. */
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
  'x-amz-meta-cache-tag': StoryId,
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
/** Returns these numbers, each once, in order. */
const inOrder = (numbers: readonly number[]) => [...new Set(numbers)].sort((a, b) => a - b)

const variantQuery = ({ widths, crops }: AllowedSizes) => {
  const boxes = crops.map(parseSize)
  return Type.Object({
    w: Type.Optional(
      Type.Unsafe<number>({
        type: 'integer',
        enum: inOrder([...widths.map(Number), ...boxes.map(({ width }) => width)]),
        description: `Returns a variant of the image, at most this many pixels wide: ${widths.join(', ')}${boxes.length > 0 ? ' without `h`' : ''}`,
        examples: [boxes[0]?.width ?? Number(widths[0])],
      }),
    ),
    // An enumeration must have a value
    ...(boxes.length > 0 && {
      h: Type.Optional(
        Type.Unsafe<number>({
          type: 'integer',
          enum: inOrder(boxes.map(({ height }) => height)),
          description: `Crops the variant to \`w\` x \`h\` pixels: ${crops.join(', ')}`,
          examples: [boxes[0]?.height],
        }),
      ),
    }),
    format: Type.Optional(
      Type.Unsafe<string>({
        type: 'string',
        enum: REQUEST_FORMATS,
        description: 'Only with `w`. `auto` is AVIF or WebP if `Accept` names it, and otherwise JPEG, PNG or GIF',
        examples: ['webp'],
      }),
    ),
  })
}
const NotModified = { type: 'null', description: "The client's copy is current", headers: imageHeaders }

/** The parts of a schema that an image and its headers share. The route checks the query. */
const imageSchema = (allowed: AllowedSizes) => ({
  params: imageParams,
  querystring: variantQuery(allowed),
  failures: () => [
    new failures.ImageNotFound(IMAGE_PATHS[0] ?? ''),
    new failures.PreconditionFailed(),
    new failures.RangeNotSatisfiable(),
    new failures.UnreadableImage(),
    new failures.HugeImage(),
    new failures.SignatureInvalid(),
    new failures.SignatureExpired(),
  ],
})

/** The bytes are sent without Fastify. */
export const getImageSchema = (allowed: AllowedSizes) => ({
  operationId: 'getImage',
  summary: 'Get an image',
  ...imageSchema(allowed),
  headers: Type.Object({
    range: Type.Optional(header('One range of bytes', 'bytes=0-99')),
    'if-range': Type.Optional(header('ETag or date of the image that the range belongs to', ETAG)),
    ...conditions,
  }),
  response: {
    200: { description: 'The image', headers: sentHeaders, content: imageBytes },
    206: {
      description: 'The range of the image',
      headers: { ...sentHeaders, 'Content-Range': header('The range and the size of the image', 'bytes 0-99/48213') },
      content: imageBytes,
    },
    304: NotModified,
    ...errors(401, 403, 404, 412, 416, 422, 429, 503),
    416: {
      ...Failure,
      headers: { 'Content-Range': header('Size of the image in bytes', 'bytes */48213', '^bytes \\*/[0-9]+$') },
    },
  },
})

export const headImageSchema = (allowed: AllowedSizes) => ({
  operationId: 'headImage',
  summary: 'Get the headers of an image',
  ...imageSchema(allowed),
  headers: Type.Object(conditions),
  response: {
    200: { type: 'null', description: 'The headers of the image', headers: sentHeaders },
    304: NotModified,
    ...errors(401, 403, 404, 412, 422, 429, 503),
  },
})
