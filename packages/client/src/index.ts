import createFetchClient, { type Client as FetchClient } from 'openapi-fetch'
import type { components, paths } from './api.ts'
import { contentOf, has } from './error.ts'
import type { ImageSource } from './form.ts'
import { parseHttpDate } from './http-date.ts'
import { type Story, type UploadOptions, upload } from './upload.ts'

export type { components, operations, paths } from './api.ts'
export { ApiError, ImageReadError } from './error.ts'
export type { ImageSource, UploadProgress } from './form.ts'
export type { Retry, Story, UploadOptions } from './upload.ts'

type Schemas = components['schemas']
export type Image = Schemas['Image']

export interface ClientOptions {
  /** The URL of the server; empty for the origin of the page. */
  readonly baseUrl: string
  /** The URL of the CDN that serves images, the server's `PUBLIC_IMAGE_URL`; by default `baseUrl`. */
  readonly imageUrl?: string | undefined
  /** An API key, where the server has some. Not for public pages: whoever can read a page can read the key. */
  readonly key?: string | undefined
  /** Replaces the platform's `fetch`, for a proxy or a test. Browsers report no progress to one. */
  readonly fetch?: typeof globalThis.fetch | undefined
}

export interface CallOptions {
  /** Ends the call. */
  readonly signal?: AbortSignal | undefined
}

export interface ListOptions extends CallOptions {
  /** Stories of one request, 1 to 1000; 100 by default. */
  readonly limit?: number | undefined
  /** The newest story first; by default the order of ids. */
  readonly order?: 'newest' | undefined
}

export interface PageOptions extends ListOptions {
  /** The cursor of the page before; none for the first page. */
  readonly cursor?: string | undefined
}

export interface SignOptions extends CallOptions {
  /** Seconds that the URLs are valid; 3600 by default. */
  readonly expiresIn?: number | undefined
}

/** Another size or format of an image. */
export interface Variant {
  /** At most this many pixels wide. `width`, or `width` x `height`, must be one of the server's `VARIANT_SIZES`. */
  readonly width: number
  /** Crops the image to this many pixels and `width`. */
  readonly height?: number | undefined
  /** `auto` by default. */
  readonly format?: 'auto' | 'jpeg' | 'webp' | 'avif' | undefined
}

/** What a deletion has left. */
export interface Deletion {
  /** Whether `restoreStory` can bring back what was deleted. */
  readonly isRestorable: boolean
  /** The latest time at which `restoreStory` can bring back what was deleted; undefined if it can't, or the server does not say. */
  readonly restorableUntil: Date | undefined
}

/** A story in a list, with its images in order. */
export interface ListedStory {
  readonly story_id: string
  readonly images: readonly Image[]
}

export interface Page {
  readonly stories: readonly ListedStory[]
  /** The cursor of the next page; undefined if this is the last one. */
  readonly cursor: string | undefined
}

/**
 * Every call of the API by its method and path, as `openapi-fetch` makes them, and methods that throw: an `ApiError` for a response that
 * is not a success, a `TypeError` without a connection, the reason of the signal.
 */
export interface Client extends FetchClient<paths> {
  /**
   * Uploads images as one story, and retries where that can help.
   *
   * @param images in their order: files of a form, or of `fs.openAsBlob`
   * @throws {ImageReadError} for an image that can't be read
   */
  upload(images: Iterable<Blob | ImageSource>, options?: UploadOptions): Promise<Story>
  /** Lists every story; reads the next page when the loop gets there. */
  listStories(options?: ListOptions): AsyncGenerator<ListedStory>
  /** Lists the stories of one page. */
  listPage(options?: PageOptions): Promise<Page>
  getStory(id: string, options?: CallOptions): Promise<ListedStory>
  deleteStory(id: string, options?: CallOptions): Promise<Deletion>
  deleteAllStories(options?: CallOptions): Promise<Deletion>
  /** Brings a deleted story back, with all its images. A story that is there is a success. */
  restoreStory(id: string, options?: CallOptions): Promise<void>
  /** Returns the URL of an image, or of a variant of it, for its path, or for a URL that `signUrls` has returned. */
  imageUrl(path: string, variant?: Variant): string
  /** Signs URLs of private images, each for the path at the same place. */
  signUrls(paths: readonly string[], options?: SignOptions): Promise<readonly string[]>
}

/**
 * Creates a client of one server.
 *
 * @throws {TypeError} for a key that can't be sent
 */
export function createClient({ baseUrl, imageUrl = baseUrl, key, fetch }: ClientOptions): Client {
  // `fetch` would quote it in its error
  if (key !== undefined && !/^[!-~]+$/.test(key))
    throw new TypeError('The API key has to be visible ASCII characters, without spaces or a line end')
  const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` }
  const client = createFetchClient<paths>({ baseUrl, headers, redirect: 'manual', ...(fetch && { fetch }) })

  async function listPage({ limit = 100, order, cursor, signal }: PageOptions = {}): Promise<Page> {
    const query = { limit, ...(order && { order }), ...(cursor && { cursor }) }
    const call = await client.GET('/api/v1/images', { ...asText(signal), params: { query } })
    return { stories: storiesOf(read(call, isList)), cursor: nextCursor(call.response.headers.get('link')) }
  }

  async function* listStories(options?: ListOptions): AsyncGenerator<ListedStory> {
    let cursor: string | undefined
    do {
      const page = await listPage({ ...options, cursor })
      yield* page.stories
      cursor = page.cursor
    } while (cursor !== undefined)
  }

  return {
    ...client,
    upload: (images, options) => {
      const url = baseUrl.replace(/\/$/, '') + (options?.uploadUrl ?? '/api/v1/images/upload')
      return upload({ url, headers, fetch }, images, options)
    },
    listStories,
    listPage,
    async getStory(story_id, { signal } = {}) {
      const params = { path: { story_id } }
      const call = await client.GET('/api/v1/images/{story_id}', { ...asText(signal), params })
      return { story_id, images: read(call, isList) }
    },
    async deleteStory(story_id, { signal } = {}) {
      const params = { path: { story_id } }
      return deletionOf(await client.DELETE('/api/v1/images/{story_id}', { ...asText(signal), params }))
    },
    async deleteAllStories({ signal } = {}) {
      return deletionOf(await client.DELETE('/api/v1/images', asText(signal)))
    },
    async restoreStory(story_id, { signal } = {}) {
      const params = { path: { story_id } }
      read(await client.POST('/api/v1/images/{story_id}/restore', { ...asText(signal), params }), isDone)
    },
    imageUrl(path, variant) {
      const url = /^https?:\/\//.test(path) ? path : imageUrl.replace(/\/$/, '') + path
      if (!variant) return url
      const { width, height, format = 'auto' } = variant
      const size = height === undefined ? `w=${width}` : `w=${width}&h=${height}`
      return `${url}${url.includes('?') ? '&' : '?'}${size}&format=${format}`
    },
    async signUrls(paths, { expiresIn = 3600, signal } = {}) {
      const body = { paths: [...paths], expires_in: expiresIn }
      return read(await client.POST('/api/v1/signed-urls', { ...asText(signal), body }), isSigned).urls
    },
  }
}

function asText(signal: AbortSignal | undefined) {
  return { parseAs: 'text' as const, ...(signal && { signal }) }
}

/** A call whose body was left as text. */
interface Call {
  readonly response: Response
  readonly data?: string
  readonly error?: unknown
}

/** Returns the content of a call. */
function read<Content>({ response, data, error }: Call, isExpected: (content: unknown) => content is Content): Content {
  return contentOf(response, data ?? JSON.stringify(error ?? null), isExpected)
}

function isList(content: unknown): content is readonly Image[] {
  return Array.isArray(content) && content.every((image) => has(image, 'story_id'))
}

function isDone(content: unknown): content is Schemas['Deleted'] | Schemas['Restored'] {
  return has(content, 'success')
}

/** Reads what `Restorable-Until` says of a deletion: an HTTP-date, or `unknown`. */
function deletionOf(call: Call): Deletion {
  read(call, isDone)
  const until = call.response.headers.get('restorable-until')
  const time = parseHttpDate(until ?? '')
  return { isRestorable: until !== null, restorableUntil: time === undefined ? undefined : new Date(time) }
}

function isSigned(content: unknown): content is Schemas['SignedUrls'] {
  return has(content, 'urls')
}

/** Groups the images of a page, which has those of a story one after another. */
function storiesOf(page: readonly Image[]): readonly ListedStory[] {
  const stories: { story_id: string; images: Image[] }[] = []
  for (const image of page) {
    const last = stories.at(-1)
    if (last?.story_id === image.story_id) last.images.push(image)
    else stories.push({ story_id: image.story_id, images: [image] })
  }
  return stories
}

/** Parses the `Link` to the next page (RFC 8288). */
function nextCursor(link: string | null): string | undefined {
  const url = /<([^>]*)>\s*;\s*rel="next"/.exec(link ?? '')?.[1]
  return url === undefined ? undefined : (new URL(url, 'http://server').searchParams.get('cursor') ?? undefined)
}
