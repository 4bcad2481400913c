/**
 * An S3 server that is far away: it holds a library, for lists and deletions, and responds every call after a while. Its pages are
 * slices of one text that is written at the start, so a page costs it less than a millisecond.
 *
 * Started as a process, with PORT, DELAY (milliseconds), SPREAD and IMAGES. `GET /_stats` responds `{calls, left}`: calls since
 * the last time, and keys that are not deleted; `GET /_reset` brings the deleted ones back.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { makeLibrary, type Spread } from './library.ts'

const PAGE = 1000
const library = makeLibrary(process.env.SPREAD as Spread, Number(process.env.IMAGES))
const delay = Number(process.env.DELAY)
const { ids, names } = library
const width = names.length
const total = ids.length * width
const deleted = new Uint8Array(total)
let left = total
let calls = 0

/** Key number `index` in the order of keys. */
function key(index: number): string {
  return `stories/${ids[Math.floor(index / width)]}/${names[index % width]}`
}

// Every entry of every page, one after another
const offsets = new Uint32Array(total + 1)
const entries = Buffer.concat(
  ids.map((id, story) => {
    const modified = new Date(library.time(id)).toISOString()
    const parts = names.map((name, index) => {
      const etag = `&quot;${(story * width + index).toString(16).padStart(32, '0')}&quot;`
      return Buffer.from(
        `<Contents><Key>stories/${id}/${name}</Key><LastModified>${modified}</LastModified><ETag>${etag}</ETag>` +
          '<Size>204800</Size><StorageClass>STANDARD</StorageClass></Contents>',
      )
    })
    parts.forEach((part, index) => {
      const at = story * width + index
      offsets[at + 1] = (offsets[at] ?? 0) + part.length
    })
    return Buffer.concat(parts)
  }),
)

createServer({ keepAliveTimeout: 600_000 }, (request, response) => {
  if (request.url === '/_stats') {
    response.end(JSON.stringify({ calls, left }))
    calls = 0
    return
  }
  if (request.url === '/_reset') {
    deleted.fill(0)
    left = total
    response.end()
    return
  }
  calls += 1
  const url = new URL(request.url ?? '/', 'http://store')
  let body = ''
  request.on('data', (chunk) => {
    body += chunk
  })
  request.once('end', () => setTimeout(() => respond(request, url, body, response), delay))
}).listen(Number(process.env.PORT), '127.0.0.1')

function respond(request: IncomingMessage, url: URL, body: string, response: ServerResponse): void {
  response.setHeader('content-type', 'application/xml')
  if (request.method === 'GET') {
    list(url.searchParams, response)
    return
  }
  if (request.method === 'POST') {
    for (const [, name = ''] of body.matchAll(/<Key>([^<]*)<\/Key>/g)) remove(name)
    response.end('<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>')
    return
  }
  // Tombstones, which nobody has to find again
  if (request.method === 'PUT') {
    response.setHeader('etag', '"0"').end()
    return
  }
  const name = decodeURIComponent(url.pathname.slice(url.pathname.indexOf('/', 1) + 1))
  const index = firstFrom(name)
  const found = index < total && key(index) === name && !deleted[index]
  if (found && request.method === 'DELETE') remove(name)
  response.writeHead(request.method === 'DELETE' ? 204 : found ? 200 : 404).end()
}

function remove(name: string): void {
  const index = firstFrom(name)
  if (index === total || key(index) !== name || deleted[index]) return
  deleted[index] = 1
  left -= 1
}

/** ListObjectsV2 (AWS, "ListObjectsV2"); a continuation token is the number of the next key. */
function list(query: URLSearchParams, response: ServerResponse): void {
  const prefix = query.get('prefix') ?? ''
  const most = Math.min(PAGE, Number(query.get('max-keys') ?? PAGE))
  const token = query.get('continuation-token')
  const after = query.get('start-after')
  let index = token !== null ? Number(token) : firstFrom(prefix)
  // The byte 0 follows a key before every other key does
  if (token === null && after !== null && after >= prefix) index = firstFrom(`${after}\0`)
  const end = firstFrom(`${prefix}\uffff`)
  const parts: Buffer[] = []
  let count = 0
  if (query.get('delimiter') === '/' && prefix === 'stories/') {
    let text = ''
    for (; index < end && count < most; index = (Math.floor(index / width) + 1) * width) {
      const story = Math.floor(index / width)
      if (deleted.subarray(index, (story + 1) * width).every(Boolean)) continue
      text += `<CommonPrefixes><Prefix>stories/${ids[story]}/</Prefix></CommonPrefixes>`
      count += 1
    }
    parts.push(Buffer.from(text))
  } else {
    while (index < end && count < most) {
      if (deleted[index]) {
        index += 1
        continue
      }
      const start = index
      while (index < end && count < most && !deleted[index]) {
        index += 1
        count += 1
      }
      parts.push(entries.subarray(offsets[start], offsets[index]))
    }
  }
  while (index < end && deleted[index]) index += 1
  const more = index < end
  response.write(
    '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' +
      `<Name>bench</Name><Prefix>${prefix}</Prefix><KeyCount>${count}</KeyCount><MaxKeys>${most}</MaxKeys>` +
      (query.has('encoding-type') ? '<EncodingType>url</EncodingType>' : '') +
      `<IsTruncated>${more}</IsTruncated>` +
      (more ? `<NextContinuationToken>${index}</NextContinuationToken>` : ''),
  )
  for (const part of parts) response.write(part)
  response.end('</ListBucketResult>')
}

/** The number of the first key that is not below a text; the number of keys when there is none. */
function firstFrom(text: string): number {
  let low = 0
  let high = total
  while (low < high) {
    const middle = (low + high) >>> 1
    if (key(middle) < text) low = middle + 1
    else high = middle
  }
  return low
}
