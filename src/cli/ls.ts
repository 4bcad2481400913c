import type { Client, ListedStory } from '../../packages/client/src/index.ts'
import { onServer, type ServerOptions, urlOf } from './on-server.ts'
import { UsageError } from './stopped.ts'

/** Stories of the first page, which is soon there, and of each later one: the most that a server allows. */
const FIRST_PAGE = 100
const PAGE = 1000

type Options = ServerOptions & { readonly limit?: number }

/** Prints the stories of a server, page after page as they arrive, or the images of one story. */
export async function ls(id: string | undefined, options: Options, signal: AbortSignal): Promise<boolean> {
  if (id !== undefined && options.limit !== undefined) throw new UsageError('--limit is for the list of all stories')
  return onServer(options, (client) =>
    id === undefined ? listStories(client, options, signal) : listImages(client, id, options, signal),
  )
}

async function listImages(client: Client, id: string, options: Options, signal: AbortSignal): Promise<true> {
  const { images } = await client.getStory(id, { signal })
  const { json } = options
  if (!json) console.log('IMAGE  CREATED               URL')
  for (const image of images) {
    const columns = [image.id.padEnd(5), image.created_at, urlOf(image.path, options)]
    console.log(json ? JSON.stringify(image) : columns.join('  '))
  }
  return true
}

async function listStories(client: Client, { limit, json }: Options, signal: AbortSignal): Promise<boolean> {
  let missing = limit ?? Number.POSITIVE_INFINITY
  let cursor: string | undefined
  do {
    const size = cursor === undefined ? FIRST_PAGE : PAGE
    const page = await client.listPage({ order: 'newest', limit: Math.min(size, missing), cursor, signal })
    const stories = page.stories.slice(0, missing)
    missing -= stories.length
    if (cursor === undefined && !json) console.log('STORY                                 CREATED               IMAGES')
    for (const story of stories) console.log(json ? storyJson(story) : storyRow(story))
    // The reader of standard output is gone
    if (signal.aborted) return false
    cursor = page.cursor
  } while (cursor !== undefined && missing > 0)
  return true
}

function storyRow({ story_id, images }: ListedStory): string {
  return [story_id, images[0]?.created_at, String(images.length).padStart(6)].join('  ')
}

function storyJson({ story_id, images }: ListedStory): string {
  return JSON.stringify({
    story_id,
    created_at: images[0]?.created_at,
    image_count: images.length,
    image_paths: images.map(({ path }) => path),
  })
}
