import type { Readable } from 'node:stream'
import { type TSchema, Type } from 'typebox'
import { createdAt, publicPath, STORY_ID_PATTERN, type Story } from '../layout/story.ts'

/** Responses have only the members of the contract. */
const only = { additionalProperties: false } as const

/** Id of the story in examples. */
export const STORY = '01a205ad-87f4-77cd-a8d8-f60e2cbf53b1'
export const IMAGE_PATHS = ['1.jpg', '2.png'].map((name) => `/images/stories/${STORY}/${name}`)

/** The id of a story. One schema, so that generated clients have one type for it. */
export const StoryId = Type.String({
  format: 'uuid',
  pattern: STORY_ID_PATTERN,
  description: 'A UUID in lower case',
  examples: [STORY],
})

/** The JSON of the contract. A schema with a title is one of the OpenAPI document's components. */
export const Image = Type.Object(
  {
    id: Type.String({ description: 'Number of the image in its story, starting at "1"' }),
    story_id: StoryId,
    path: Type.String({ description: 'Path of the image, relative to the root of the server' }),
    created_at: Type.String({ format: 'date-time', description: 'UTC, to the second' }),
  },
  { ...only, title: 'Image' },
)
export const Images = Type.Array(Image, {
  examples: [
    IMAGE_PATHS.map((path, index) => ({
      id: String(index + 1),
      story_id: STORY,
      path,
      created_at: '2026-11-22T23:53:08Z',
    })),
  ],
})
export const StoryIds = Type.Array(StoryId, {
  examples: [[STORY, '2acfa514-2915-4a9d-8a3a-338d52bd0d9e']],
})

export const Uploaded = Type.Object(
  {
    story_id: StoryId,
    image_paths: Type.Array(Type.String()),
    image_count: Type.Integer({ minimum: 1 }),
  },
  {
    ...only,
    title: 'Story',
    examples: [{ story_id: STORY, image_paths: IMAGE_PATHS, image_count: IMAGE_PATHS.length }],
  },
)

const done = (title: string, message: string) =>
  Type.Object(
    { success: Type.Boolean(), message: Type.String() },
    { ...only, title, examples: [{ success: true, message }] },
  )

/** The response to a deletion. */
export const deleted = (message: string) => ({
  ...done('Deleted', message),
  headers: {
    'Restorable-Until': header(
      'Until when what was deleted can be restored, at the latest; `unknown` if the store does not say. Not sent if the store did not keep it, or if the server may not list its versions',
      'Mon, 07 Dec 2026 10:30:00 GMT',
    ),
  },
})
export const restored = (message: string) => done('Restored', message)

export const Failure = Type.Object({ detail: Type.String() }, { ...only, title: 'Failure' })

/** A header of a response, for the OpenAPI document. */
export const header = (description: string, example: string, pattern?: string) =>
  Type.String({ description, examples: [example], ...(pattern && { pattern }) })
export const noStore = header('No cache stores the response', 'no-store')

/** The descriptions end the sentence 'The query parameter "limit" must be …'. */
export const PageQuery = Type.Object({
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1000,
      description: 'a whole number of stories from 1 to 1000',
      examples: [100],
    }),
  ),
  cursor: Type.Optional(
    Type.String({
      pattern: STORY_ID_PATTERN,
      description: 'taken unchanged from the Link header of an earlier response',
      examples: [STORY],
    }),
  ),
})

/** Lists of images can also begin with the newest story. */
export const ImagesQuery = Type.Object({
  ...PageQuery.properties,
  order: Type.Optional(
    Type.String({
      pattern: '^newest$',
      description: '"newest", or left out for the order of ids',
      examples: ['newest'],
    }),
  ),
})

/** The schema of a response that the route serializes itself. */
export const written = (schema: TSchema) => Type.Unsafe<string | Readable>(schema)

/** Error responses, for the `response` schema of a route. */
export function errors<const Status extends number>(...statuses: Status[]): Record<Status, typeof Failure> {
  return Object.fromEntries(statuses.map((status) => [status, Failure])) as Record<Status, typeof Failure>
}

/** Returns the images of a story as JSON, without the brackets of an array. No value has a character that JSON escapes. */
export function imagesJson(story: Story): string {
  const timeOf = createdAt(story)
  // In few pieces, because each concatenation makes an object
  const about = `","story_id":"${story.id}","path":"${publicPath('')}`
  let end = ''
  let modified: string | undefined
  let text = ''
  for (const image of story.images) {
    if (image.modified !== modified) {
      modified = image.modified
      end = `","created_at":"${timeOf(image)}"}`
    }
    text += `${text === '' ? '' : ','}{"id":"${image.number}${about}${image.key}${end}`
  }
  return text
}
