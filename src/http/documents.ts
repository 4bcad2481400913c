import { type TSchema, Type } from 'typebox'
import { CONTENT_TYPES } from '../stories/image-format.ts'
import { STORY_ID_PATTERN } from '../stories/key.ts'
import { Failure, PageQuery, Uploaded } from './schemas.ts'

/** What the OpenAPI document says of routes whose requests or answers are more than the JSON that Fastify checks and writes. */

export const MEDIA_TYPES = Object.values(CONTENT_TYPES)

const StoryId = Type.String({ pattern: STORY_ID_PATTERN, description: 'A UUID in lower case' })
export const storyDocument = { params: Type.Object({ story_id: StoryId }) }

const Link = Type.String({ description: 'With rel="next": the URL of the next page, while there is more (RFC 8288)' })

/** What the document says of a list in pages. */
export const pageDocument = (list: TSchema) => ({
  querystring: Type.Object({
    ...PageQuery.properties,
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'A whole number of stories' })),
  }),
  response: { 200: { ...list, description: 'The list, or a page of it', headers: { Link } } },
})

/** What the document says of an upload, whose body is read as a stream. */
export const uploadDocument = {
  headers: Type.Object({
    'idempotency-key': Type.Optional(
      Type.String({
        pattern: '^[!-~]{1,255}$',
        description: 'Makes one story however often the upload is sent with it; a new one for each story',
      }),
    ),
  }),
  body: Type.Object(
    {
      files: Type.Array(Type.Unsafe<Buffer>({ type: 'string', format: 'binary' }), {
        minItems: 1,
        description: 'The images, one part for each',
      }),
    },
    {
      description: 'Text fields of up to 1 KiB under names of their own are not looked at',
      maxProperties: 17,
    },
  ),
  response: {
    200: {
      ...Uploaded,
      description: 'The story is stored and listed',
      headers: {
        'Idempotent-Replayed': Type.String({ pattern: '^true$', description: 'An earlier upload made this story' }),
      },
    },
  },
}

/** Where to go from an upload. */
export const storyLinks = {
  200: {
    story: { operationId: 'listStory', parameters: { story_id: '$response.body#/story_id' } },
    removal: { operationId: 'deleteStory', parameters: { story_id: '$response.body#/story_id' } },
  },
}

const text = (description: string, pattern?: string) => Type.String({ description, ...(pattern && { pattern }) })

const imageHeaders = {
  ETag: text('Names these bytes'),
  'Last-Modified': text('When the image was stored'),
  'Cache-Control': text('How long the image may be cached'),
  'Cache-Tag': text('The id of the story', STORY_ID_PATTERN),
}
const sentHeaders = {
  ...imageHeaders,
  'Content-Length': text('Bytes of the body', '^[0-9]+$'),
  'Accept-Ranges': text('Ranges of bytes can be asked for', '^bytes$'),
  'X-Image-Width': text('Pixels as displayed; none for an image that was copied in', '^[1-9][0-9]*$'),
  'X-Image-Height': text('Pixels as displayed; none for an image that was copied in', '^[1-9][0-9]*$'),
}
const imageBytes = Object.fromEntries(
  MEDIA_TYPES.map((type) => [type, { schema: { type: 'string', contentMediaType: type } }]),
)
const conditions = {
  'if-none-match': Type.Optional(text('ETags of the copies that the client has')),
  'if-modified-since': Type.Optional(text('The date of the copy that the client has')),
}
const imageParams = Type.Object({
  story_id: StoryId,
  name: text('Number and type of the image', '^[1-9][0-9]{0,8}\\.(jpg|jpeg|png|gif|webp|avif)$'),
})
const NotModified = { type: 'null', description: 'The copy of the client is good', headers: imageHeaders }

/** What the document says of an image, whose bytes go past Fastify. */
export const imageDocument = {
  params: imageParams,
  headers: Type.Object({
    range: Type.Optional(text('One range of bytes, as in `bytes=0-99`')),
    'if-range': Type.Optional(text('The ETag or date that the range is of')),
    ...conditions,
  }),
  response: {
    200: { description: 'The image', headers: sentHeaders, content: imageBytes },
    206: {
      description: 'The range of the image',
      headers: { ...sentHeaders, 'Content-Range': text('Which bytes these are, and of how many') },
      content: imageBytes,
    },
    304: NotModified,
    416: { ...Failure, headers: { 'Content-Range': text('Of how many bytes the image is', '^bytes \\*/[0-9]+$') } },
  },
}

/** The same for its headers alone. */
export const imageHeadDocument = {
  params: imageParams,
  headers: Type.Object(conditions),
  response: { 200: { type: 'null', description: 'There is the image', headers: sentHeaders }, 304: NotModified },
}
