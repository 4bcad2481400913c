import createFetchClient, { type Client as FetchClient } from 'openapi-fetch'
import type { components, paths } from './api.ts'
import { contentOf } from './error.ts'
import { type Story, type UploadOptions, upload } from './upload.ts'

export type { components, operations, paths } from './api.ts'
export { ApiError } from './error.ts'
export type { OnProgress } from './send.ts'
export type { Story, UploadOptions } from './upload.ts'

export type Image = components['schemas']['Image']

export interface ClientOptions {
  /** Where the server is; empty for the origin of the page. */
  readonly baseUrl: string
  /** An API key, where the server has some. Not for pages: whoever can read a page can read the key. */
  readonly key?: string | undefined
  /** Takes the place of the platform's `fetch`, for a proxy or a test. Browsers tell no progress to one. */
  readonly fetch?: typeof globalThis.fetch | undefined
}

export interface ListOptions {
  /** How many stories one request asks for, 1 to 1000; 100 unless given. */
  readonly limit?: number | undefined
  /** The newest story first, and not the order of ids. */
  readonly order?: 'newest' | undefined
  readonly signal?: AbortSignal | undefined
}

/** A story in a list, with its images in order. */
export interface ListedStory {
  readonly story_id: string
  readonly images: readonly Image[]
}

/** Every call of the API by its method and path, as `openapi-fetch` makes them, and what takes more than one call. */
export interface Client extends FetchClient<paths> {
  /**
   * Uploads images as one story, and tries again when that can help.
   *
   * @param images in their order: files of a form, or of `fs.openAsBlob`
   * @throws {ApiError} @throws {TypeError} without a connection
   */
  upload(images: Iterable<Blob>, options?: UploadOptions): Promise<Story>
  /**
   * Every story, read page by page as the loop goes on.
   *
   * @throws {ApiError} @throws {TypeError} without a connection
   */
  listStories(options?: ListOptions): AsyncGenerator<ListedStory>
}

/**
 * A client of one server.
 *
 * @throws {TypeError} for a key that can't be one
 */
export function createClient({ baseUrl, key, fetch }: ClientOptions): Client {
  // Or `fetch` would quote it in its error
  if (key !== undefined && !/^[!-~]+$/.test(key))
    throw new TypeError('The key has to be visible ASCII characters, without spaces or a line end')
  const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` }
  const client = createFetchClient<paths>({ baseUrl, headers, ...(fetch && { fetch }) })

  async function* listStories({ limit = 100, order, signal }: ListOptions = {}): AsyncGenerator<ListedStory> {
    let cursor: string | undefined
    do {
      const query = { limit, ...(order && { order }), ...(cursor && { cursor }) }
      const { data, error, response } = await client.GET('/api/v1/images', {
        params: { query },
        parseAs: 'text',
        ...(signal && { signal }),
      })
      yield* storiesOf(contentOf(response, data ?? JSON.stringify(error ?? null), isPage))
      cursor = nextCursor(response.headers.get('link'))
    } while (cursor !== undefined)
  }

  return {
    ...client,
    upload: (images, options) => {
      const url = baseUrl.replace(/\/$/, '') + (options?.uploadUrl ?? '/api/v1/images/upload')
      return upload({ url, headers, fetch }, images, options)
    },
    listStories,
  }
}

function isPage(content: unknown): content is readonly Image[] {
  return Array.isArray(content)
}

/** A page holds whole stories, one after another. */
function* storiesOf(page: readonly Image[]): Generator<ListedStory> {
  let images: Image[] = []
  for (const image of page) {
    const [first] = images
    if (first && first.story_id !== image.story_id) {
      yield { story_id: first.story_id, images }
      images = []
    }
    images.push(image)
  }
  const [first] = images
  if (first) yield { story_id: first.story_id, images }
}

/** Of a `Link` to the next page (RFC 8288). */
function nextCursor(link: string | null): string | undefined {
  const url = /<([^>]*)>\s*;\s*rel="next"/.exec(link ?? '')?.[1]
  return url === undefined ? undefined : (new URL(url, 'http://server').searchParams.get('cursor') ?? undefined)
}
