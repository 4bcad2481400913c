import { type Answer, Server, type ServerOptions } from './server.ts'
import { UsageError } from './stopped.ts'

/** Stories of the first request, of which the top is soon there, and of each further one: the most that a server gives. */
const FIRST_PAGE = 100
const PAGE = 1000

interface Image {
  readonly id: string
  readonly story_id: string
  readonly path: string
  readonly created_at: string
}

/** Prints the stories of a server, page after page as they arrive, or the images of one story. */
export async function ls(
  id: string | undefined,
  options: ServerOptions & { readonly limit?: number },
  signal: AbortSignal,
): Promise<boolean> {
  if (id !== undefined && options.limit !== undefined) throw new UsageError('--limit is for the list of all stories')
  const server = await Server.open(options, signal)
  if (id !== undefined) {
    const { body } = await server.ask<Image[]>('GET', `api/v1/images/${id}`, 'story_id')
    if (!options.json) console.log('IMAGE  CREATED               URL')
    for (const image of body) {
      const columns = [image.id.padEnd(5), image.created_at, server.urlOf(image.path)]
      console.log(options.json ? JSON.stringify(image) : columns.join('  '))
    }
    return true
  }
  let missing = options.limit ?? Number.POSITIVE_INFINITY
  let next: string | undefined = `?order=newest&limit=${Math.min(FIRST_PAGE, missing)}`
  for (let isFirst = true; next !== undefined && missing > 0; isFirst = false) {
    const page: Answer<Image[]> = await server.ask('GET', `api/v1/images${next}`, 'story_id')
    const stories = storiesOf(page.body).slice(0, missing)
    missing -= stories.length
    if (isFirst && !options.json) console.log('STORY                                 CREATED               IMAGES')
    for (const images of stories) console.log(options.json ? storyJson(images) : storyRow(images))
    // Nobody reads on
    if (signal.aborted) return false
    // Of the URL only the query: a proxy may serve the paths elsewhere
    const following = /\?[^>]*(?=>; rel="next")/.exec(String(page.headers.link))?.[0]
    next = following?.replace(/\blimit=\d+/, `limit=${Math.min(PAGE, missing)}`)
  }
  return true
}

/** The images of an answer, story by story. */
function storiesOf(images: readonly Image[]): [Image, ...Image[]][] {
  const stories: [Image, ...Image[]][] = []
  for (const image of images) {
    const last = stories.at(-1)
    if (last?.[0].story_id === image.story_id) last.push(image)
    else stories.push([image])
  }
  return stories
}

function storyRow(images: [Image, ...Image[]]): string {
  return [images[0].story_id, images[0].created_at, String(images.length).padStart(6)].join('  ')
}

function storyJson(images: [Image, ...Image[]]): string {
  const { story_id, created_at } = images[0]
  return JSON.stringify({
    story_id,
    created_at,
    image_count: images.length,
    image_paths: images.map(({ path }) => path),
  })
}
