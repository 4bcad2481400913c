import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { Static } from 'typebox'
import type { ObjectStore } from '../store/object-store.ts'
import type { Story } from '../stories/key.ts'
import { listStories, pageOfStories } from '../stories/list.ts'
import type { PageQuery } from './schemas.ts'

/**
 * Answers with a JSON array of something about every story: streamed while the store is read, or one page with a `Link` to the
 * next one (RFC 8288) when the client asks for a limit.
 *
 * The first page of the store is read before the headers go out, so a store out of reach is a 503 and not a broken array.
 */
export async function storiesReply(
  reply: FastifyReply,
  store: ObjectStore,
  query: Static<typeof PageQuery>,
  json: (story: Story) => string,
): Promise<string | Readable> {
  reply.type('application/json; charset=utf-8').header('cache-control', 'no-store')
  if (query.limit !== undefined) {
    const { stories, more } = await pageOfStories(store, query.limit, query.cursor)
    const last = stories.at(-1)
    if (more && last) {
      const [path] = reply.request.url.split('?', 1)
      reply.header('link', `<${path}?limit=${query.limit}&cursor=${last.id}>; rel="next"`)
    }
    return `[${stories.map(json).join(',')}]`
  }
  const pages = listStories(store, query.cursor)
  const first = await pages.next()
  return Readable.from(arrayOf(first, pages, json, reply), { objectMode: false })
}

async function* arrayOf(
  first: IteratorResult<Story[]>,
  pages: AsyncGenerator<Story[]>,
  json: (story: Story) => string,
  reply: FastifyReply,
): AsyncGenerator<string> {
  try {
    let text = '['
    let separator = ''
    for (let page = first; !page.done; page = await pages.next()) {
      for (const story of page.value) {
        text += separator + json(story)
        separator = ','
      }
      if (text !== '') yield text
      text = ''
    }
    yield `${text}]`
  } catch (error) {
    // A plain end would look like success to a proxy that speaks HTTP/1.0 to us
    reply.raw.socket?.resetAndDestroy()
    throw error
  } finally {
    await pages.return(undefined)
  }
}
