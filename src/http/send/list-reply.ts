import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { Static } from 'typebox'
import { type Listed, pageOf } from '../../stories/list.ts'
import type { ImagesQuery } from '../schemas.ts'

/**
 * Returns a JSON array with an item for every story. Streams it while it reads the store or, if the query has a limit, returns one page
 * with a `Link` to the next (RFC 8288).
 *
 * Reads the first page of the store before the headers are sent, so that a store out of reach is a 503 and not a broken array.
 *
 * @param list the stories after the query's cursor, or their ids
 */
export async function storiesReply<Item extends Listed>(
  reply: FastifyReply,
  query: Static<typeof ImagesQuery>,
  list: AsyncGenerator<Item[]>,
  json: (item: Item) => string,
): Promise<string | Readable> {
  reply.type('application/json; charset=utf-8').header('cache-control', 'no-store')
  if (query.limit !== undefined) {
    const { items, next } = await pageOf(list, query.limit, json)
    if (next !== undefined) {
      // Relative to the request, because a proxy may have changed its path
      const order = query.order === undefined ? '' : `order=${query.order}&`
      reply.header('link', `<?${order}limit=${query.limit}&cursor=${next}>; rel="next"`)
    }
    return `[${items.join(',')}]`
  }
  const first = await list.next()
  return Readable.from(arrayOf(first, list, json, reply), { objectMode: false })
}

async function* arrayOf<Item>(
  first: IteratorResult<Item[]>,
  pages: AsyncGenerator<Item[]>,
  json: (item: Item) => string,
  reply: FastifyReply,
): AsyncGenerator<string> {
  try {
    let text = '['
    let separator = ''
    for (let page = first; !page.done; page = await pages.next()) {
      for (const item of page.value) {
        text += separator + json(item)
        separator = ','
      }
      if (text !== '') yield text
      text = ''
    }
    yield `${text}]`
  } catch (error) {
    // An HTTP/1.0 proxy would take a regular end of the connection for the end of the list
    reply.raw.socket?.resetAndDestroy()
    throw error
  } finally {
    await pages.return(undefined)
  }
}
